//! The probe `log`: a celestia-node says in its log where it listens, once it has started.

use super::exec::peer_id;
use crate::cluster::Cluster;
use crate::peers::PeerId;

/// How much of the log is read, in bytes: the lines stand near its beginning.
const LIMIT: i64 = 256 * 1024;

const HEADLINE: &str = "The p2p host is listening on:";

pub(super) async fn read(cluster: &Cluster, pod: &str, container: &str) -> Result<PeerId, String> {
    let log = cluster.log(pod, container, LIMIT).await.map_err(|e| e.to_string())?;
    listening(&log)
}

/// The id in the lines below the headline, each of them `*  <address>/p2p/<id>`.
///
/// # Errors
/// Where the headline is not there, or no single id below it.
pub fn listening(log: &str) -> Result<PeerId, String> {
    let mut lines = log.lines().skip_while(|line| !line.contains(HEADLINE));
    if lines.next().is_none() {
        return Err(format!("it does not say `{HEADLINE}` yet"));
    }
    let addresses: Vec<&str> = lines
        .skip_while(|line| line.trim().is_empty())
        .take_while(|line| line.contains("/p2p/"))
        .filter_map(|line| line.rsplit("/p2p/").next())
        .collect();
    peer_id(&addresses.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

    #[test]
    fn the_lines_below_the_headline_count_and_no_others() {
        let other = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";
        let log = format!(
            "connected to /ip4/1.2.3.4/tcp/1/p2p/{other}\n/_____/\n{HEADLINE}\n\n*  /ip4/10.0.0.1/udp/2121/quic-v1/p2p/{PEER}\n*  /ip6/::1/tcp/2121/p2p/{PEER}\n\nfound /ip4/1.2.3.4/tcp/1/p2p/{other}\n"
        );
        assert_eq!(listening(&log).unwrap().to_string(), PEER);
        assert!(listening("starting").unwrap_err().contains("yet"));
        assert!(listening(&format!("{HEADLINE}\nnothing")).is_err());
    }
}
