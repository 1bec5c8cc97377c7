use super::super::{cas, check, client_config, service_names, verify};
use super::*;

const LIVES: Lives = Lives::KEPT;

fn names() -> Vec<String> {
    service_names("torch", "da")
}

fn now() -> Timestamp {
    "2026-11-24T12:00:00Z".parse().unwrap()
}

fn days(n: i64) -> Timestamp {
    now() + SignedDuration::from_hours(24 * n)
}

fn made() -> Own {
    Own::make(&names(), now(), LIVES).unwrap()
}

/// What it becomes, or the same where nothing is due.
fn ahead(own: &Own, now: Timestamp, announced: bool) -> Own {
    let next = own.ahead(&names(), now, LIVES, announced).unwrap();
    if let Some(next) = &next {
        assert!(Own::read(&next.entries()).unwrap() == *next, "it does not survive the Secret");
    }
    next.unwrap_or_else(|| own.clone())
}

/// Whether who trusts the CAs of `trusting` takes what `showing` shows.
fn trusts(trusting: &str, showing: &Own, now: Timestamp) -> bool {
    verify(&showing.certified_key().unwrap(), &cas(trusting), "torch.da.svc", now).is_ok()
}

#[test]
fn what_is_made_is_usable_and_survives_the_secret() {
    let own = made();
    assert!(Own::read(&own.entries()).unwrap() == own);
    check(&own.certified_key().unwrap(), "torch.da.svc", now()).unwrap();
    client_config(&own.trust()).unwrap();
    assert!(trusts(&own.trust(), &own, now()));
    assert!(own.ahead(&names(), now(), LIVES, true).unwrap().is_none());
}

#[test]
fn a_certificate_is_renewed_at_two_thirds_of_its_life_under_the_same_ca() {
    let own = made();
    assert!(ahead(&own, days(59), true) == own);
    let renewed = ahead(&own, days(61), true);
    assert!(renewed.leaf != own.leaf);
    assert_eq!(renewed.trust(), own.trust());
    // Long asleep.
    let renewed = ahead(&own, days(100), true);
    assert!(trusts(&own.trust(), &renewed, days(100)));
    // For other names.
    let elsewhere = own.ahead(&service_names("torch", "other"), now(), LIVES, true).unwrap().unwrap();
    check(&elsewhere.certified_key().unwrap(), "torch.other.svc", now()).unwrap();
}

#[test]
fn a_new_ca_is_trusted_before_it_signs_and_the_old_one_until_its_last_certificate_has_ended() {
    let old = ahead(&made(), days(242), false);
    assert!(old.next.is_none());
    let announcing = ahead(&old, days(245), false);
    assert_eq!((announcing.ca == old.ca, announcing.trust().matches("BEGIN").count()), (true, 2));
    assert!(ahead(&announcing, days(250), false) == announcing, "nobody trusts the next one yet");

    let signed = ahead(&announcing, days(250), true);
    assert_eq!(Some(signed.ca.certificate.as_str()), announcing.next_ca());
    assert!(trusts(&announcing.trust(), &signed, days(250)), "signed before it was trusted");
    assert!(trusts(&signed.trust(), &announcing, days(250)), "replicas still show this one");
    let last = validity(&announcing.leaf.certificate).unwrap().until;
    let minute = SignedDuration::from_mins(1);
    assert!(trusts(&ahead(&signed, last - minute, true).trust(), &announcing, last - minute));
    assert_eq!(ahead(&signed, last, true).trust(), signed.ca.certificate);
}

/// Three years, looked at every other day, with every pattern of when bundles are seen and replicas restarted:
/// what a replica shows, even one that has slept for a month, is trusted by whoever trusts what was published the time before.
#[test]
fn through_whole_lives_everything_shown_is_trusted() {
    for seed in 0..3 {
        fastrand::seed(seed);
        let mut own = made();
        let (mut asleep, mut slept_on, mut announced_on) = (own.clone(), 0, 0);
        let (mut cas, mut leaves) = (0, 0);
        for day in (1..3 * 365).step_by(2) {
            let published = own.trust();
            let announced = announced_on < day && fastrand::bool();
            let mut next = ahead(&own, days(day), announced);
            if next.next != own.next {
                announced_on = day;
            }
            assert!(
                trusts(&published, &next, days(day)),
                "seed {seed}, day {day}: shown before it is trusted"
            );
            assert!(trusts(&next.trust(), &own, days(day)), "seed {seed}, day {day}: forgotten too early");
            assert!(
                trusts(&next.trust(), &asleep, days(day)),
                "seed {seed}, day {day}: a sleeper is forgotten"
            );
            cas += usize::from(next.ca != own.ca);
            leaves += usize::from(next.leaf != own.leaf);
            if fastrand::u8(..30) == 0 {
                next = Own::read(&next.entries()).unwrap();
            }
            if day - slept_on >= 28 {
                (asleep, slept_on) = (next.clone(), day);
            }
            own = next;
        }
        assert!((4..=5).contains(&cas) && leaves >= 18, "seed {seed}: {cas} CAs, {leaves} certificates");
        assert!(own.previous.len() <= 1);
    }
}

#[test]
fn short_of_being_trusted_a_ca_is_used_to_its_end_and_not_beyond() {
    let first = made();
    let (mut own, mut writes) = (first.clone(), 0);
    for hour in (0..366 * 24).step_by(6) {
        let at = now() + SignedDuration::from_hours(hour);
        let next = ahead(&own, at, false);
        writes += usize::from(next != own);
        own = next;
        assert!(check(&own.certified_key().unwrap(), "torch.da.svc", at).is_ok(), "hour {hour}");
    }
    assert!(own.ca != first.ca && writes < 40, "{writes} writes");
}

#[test]
fn a_clock_that_jumps_leaves_something_to_show_and_the_old_ca_trusted() {
    let own = made();
    for at in [days(-30), days(3000)] {
        let jumped = ahead(&own, at, false);
        assert!(trusts(&jumped.trust(), &jumped, at));
        let back = ahead(&jumped, now(), false);
        assert!(trusts(&back.trust(), &back, now()));
    }
    // Back in time nothing is forgotten of what is shown.
    let early = ahead(&own, days(-30), false);
    assert!(trusts(&early.trust(), &own, now()));
}

#[test]
fn another_ca_that_comes_by_the_secret_does_not_end_trust_in_what_is_shown() {
    let (shown, stored) = (made(), made());
    let merged = stored.clone().remembering(&shown, now());
    assert!(trusts(&merged.trust(), &shown, now()) && trusts(&merged.trust(), &stored, now()));
    assert!(stored.clone().remembering(&shown, days(91)) == stored, "it has ended");
    assert!(merged.clone().remembering(&shown, now()) == merged);
    let read = Own::read(&merged.entries()).unwrap();
    assert!(read == merged);
    let third = made().remembering(&merged, now());
    assert!([&shown, &stored].iter().all(|before| trusts(&third.trust(), before, now())));
}

#[test]
fn what_does_not_fit_is_refused() {
    let (own, other) = (made(), made());
    let refused = |own: Own| Own::read(&own.entries()).err().map(|e| e.to_string()).unwrap_or_default();
    let with = |change: &dyn Fn(&mut Own)| {
        let mut own = own.clone();
        change(&mut own);
        refused(own)
    };
    assert_eq!(with(&|_| {}), "");
    assert!(with(&|own| own.leaf.key = other.leaf.key.clone()).contains("is not the key of"));
    assert!(with(&|own| own.ca = other.ca.clone()).contains("`tls.crt` is not signed by `ca.crt`"));
    assert!(with(&|own| own.ca.key = other.ca.key.clone()).contains("`ca.key` cannot be used"));
    assert!(with(&|own| own.leaf.certificate = "x".into()).contains("it holds no certificate"));
    assert!(with(&|own| own.leaf.key = "x".to_owned().into()).contains("`tls.key` cannot be used"));
    let mut entries = own.entries();
    entries.remove("ca.key");
    assert!(matches!(Own::read(&entries), Err(Error::Missing("ca.key"))));
}

#[test]
fn what_comes_next_and_came_before_is_no_reason_to_refuse_the_rest() {
    let own = ahead(&made(), days(245), false);
    let mut entries = own.entries();
    entries.insert("next-ca.key".into(), b"x".to_vec().into());
    entries.insert("previous.crt".into(), b"x".to_vec().into());
    let read = Own::read(&entries).unwrap();
    assert!(read.next.is_none() && read.previous.is_empty() && read.leaf == own.leaf);
}
