//! Since when CAs are published.

use std::collections::HashMap;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use tokio::time::Instant;

/// The CAs that everybody can know, each since when.
#[derive(Default)]
pub struct Roots(HashMap<CertificateDer<'static>, Instant>);

impl Roots {
    /// Those in every one of `bundles` are there now, and no others.
    pub fn note(&mut self, bundles: &[Vec<CertificateDer<'static>>]) {
        let (now, before) = (Instant::now(), std::mem::take(&mut self.0));
        let Some((first, others)) = bundles.split_first() else { return };
        let everywhere = first.iter().filter(|ca| others.iter().all(|bundle| bundle.contains(ca)));
        self.0 = everywhere.map(|ca| (ca.clone(), before.get(ca).copied().unwrap_or(now))).collect();
    }

    /// Those that have been there for so long.
    pub fn settled(&self, least: Duration) -> Vec<CertificateDer<'static>> {
        self.0.iter().filter(|(_, since)| since.elapsed() >= least).map(|(ca, _)| ca.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ca_settles_where_it_stays_in_every_bundle() {
        let of = |bundles: &[&str]| -> Vec<Vec<CertificateDer<'static>>> {
            bundles.iter().map(|b| b.bytes().map(|byte| vec![byte].into()).collect()).collect()
        };
        let minute = Duration::from_secs(60);
        let mut roots = Roots::default();
        let mut after_a_minute_of = async |bundles: &[&str]| {
            roots.note(&of(bundles));
            tokio::time::advance(minute).await;
            roots.note(&of(bundles));
            let mut settled: Vec<u8> = roots.settled(minute).iter().map(|ca| ca[0]).collect();
            settled.sort_unstable();
            String::from_utf8(settled).unwrap()
        };
        assert_eq!(after_a_minute_of(&["ab", "bc"]).await, "b");
        assert_eq!(after_a_minute_of(&["ab"]).await, "ab");
        assert_eq!(after_a_minute_of(&["", "ab"]).await, "");
        assert_eq!(after_a_minute_of(&[]).await, "");
        roots.note(&of(&["a"]));
        assert!(roots.settled(minute).is_empty(), "it was away");
    }
}
