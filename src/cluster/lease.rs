//! The Lease by which the replicas agree on a leader.

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::Api;
use kube::api::PostParams;

use super::{Cluster, Error, call, found};

const NAME: &str = "torch";

/// The Lease as it was last seen; the default is that there is none.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen(Option<Lease>);

impl Seen {
    /// Who holds it; `None` where nobody does.
    pub fn holder(&self) -> Option<&str> {
        self.spec()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
    }

    /// Whether there is one at all.
    pub fn is_there(&self) -> bool {
        self.0.is_some()
    }

    fn spec(&self) -> Option<&LeaseSpec> {
        self.0.as_ref()?.spec.as_ref()
    }

    /// The same, held by `holder` from `now` on, or by nobody.
    fn held(&self, holder: Option<&str>, seconds: i32, now: Timestamp) -> Lease {
        let mut lease = self.0.clone().unwrap_or_default();
        lease.metadata.name = Some(NAME.into());
        let mut spec = lease.spec.take().unwrap_or_default();
        if spec.holder_identity.as_deref() != holder {
            spec.acquire_time = Some(MicroTime(now));
            let taken_over = i32::from(holder.is_some() && self.0.is_some());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(taken_over));
        }
        spec.holder_identity = Some(holder.unwrap_or_default().to_owned());
        spec.renew_time = Some(MicroTime(now));
        spec.lease_duration_seconds = Some(seconds);
        Lease { spec: Some(spec), ..lease }
    }
}

impl Cluster {
    /// The Lease as it is now.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn lease(&self) -> Result<Seen, Error> {
        let api: Api<Lease> = self.api();
        Ok(Seen(found(call(|| format!("get lease {NAME}"), api.get(NAME)).await)?))
    }

    /// Takes, renews or (without a holder) gives up the Lease, unless somebody else has written it since
    /// it was seen: then `None`.
    ///
    /// # Errors
    /// Where the call fails.
    pub async fn hold_lease(
        &self,
        seen: &Seen,
        holder: Option<&str>,
        seconds: i32,
    ) -> Result<Option<Seen>, Error> {
        let api: Api<Lease> = self.api();
        let (lease, params) = (seen.held(holder, seconds, Timestamp::now()), PostParams::default());
        let done = match seen.0 {
            Some(_) => call(|| format!("update lease {NAME}"), api.replace(NAME, &params, &lease)).await,
            None => call(|| format!("create lease {NAME}"), api.create(&params, &lease)).await,
        };
        match done {
            Ok(lease) => Ok(Some(Seen(Some(lease)))),
            Err(error) if error.is_overtaken() => Ok(None),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_takeover_counts_and_a_renewal_does_not() {
        let transitions = |lease: &Lease| lease.spec.as_ref().unwrap().lease_transitions;
        let now = Timestamp::UNIX_EPOCH;
        let first = Seen::default().held(Some("a"), 15, now);
        assert_eq!(transitions(&first), Some(0));
        let renewed = Seen(Some(first)).held(Some("a"), 15, now);
        assert_eq!(transitions(&renewed), Some(0));
        let free = Seen(Some(Seen(Some(renewed)).held(None, 1, now)));
        assert_eq!(free.holder(), None);
        assert_eq!(transitions(&free.held(Some("b"), 15, now)), Some(1));
    }
}
