//! Daemons of the cluster that are away for a while: one pair is settled by then, of another one node is
//! just being restarted.

use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::account::{self, Account, End, NODES};
use crate::bed::Bed;
use crate::component::Stopped;
use crate::direct;
use crate::events;
use crate::node::Node;
use crate::pods::Pod;
use crate::torch::{PAIR, Torch};
use crate::wait::{SOON, check, eventually};

/// The clients of the cluster, its DNS among them, back off for up to 30 s, and Torch dials an address that it
/// could not reach once a minute.
const AFTER_BACKOFF: Duration = Duration::from_secs(120);

const FULL: &str = NODES[1];

/// Most tests here touch no node themselves.
const NOTHING: [usize; 2] = [0, 0];

/// An early pair with a Torch that has evicted the first of the two.
fn in_between(bed: &Bed) -> (Torch<'_>, Account) {
    bed.start_ready(&Node::pair());
    let torch = Torch::deploy(bed, PAIR);
    let account = Account::open(bed, &torch);
    bed.pods.wait("the first pod goes", SOON, |pods| {
        let mut all = NODES.into_iter().flat_map(|node| pods.of(node));
        check(all.any(|pod| !pod.stays()), || "none does".into())
    });
    let account = account.with_addresses(&torch);
    (torch, account)
}

/// The end of a fault of which it says that all is right again, with so many restarts of their own.
fn end(own: [usize; 2], fault: &str, what: &str) -> End {
    End { own, within: AFTER_BACKOFF, fault: fault.to_owned(), what: what.to_owned(), kills: 0 }
}

pub fn api_server_away() {
    let (calm, busy) = (Bed::make("f-api-a"), Bed::make("f-api-b"));
    let (calm_torch, calm_account) = account::settled(&calm, &Node::pair());
    let (busy_torch, busy_account) = in_between(&busy);

    let away = Stopped::new("apiserver");
    let until = Instant::now() + Duration::from_secs(30);
    let pod = calm.pods.now().current(FULL).unwrap_or_else(|why| panic!("{why}")).clone();
    eventually("Torch goes on answering from memory", SOON, || {
        let answer = direct::review(&calm, &pod)?;
        check(answer["response"]["patch"].is_string(), || answer.to_string())
    });
    sleep(until.saturating_duration_since(Instant::now()));
    drop(away);
    let begun = Instant::now();
    calm_account.close(
        &calm,
        &calm_torch,
        begun,
        end(
            NOTHING,
            "API server away for 30 s, its watch cache new",
            "Torch answers from memory and does not restart; afterwards nothing happens",
        ),
    );
    busy_account.close(
        &busy,
        &busy_torch,
        begun,
        end(NOTHING, "the same, between two restarts", "the second restart comes afterwards"),
    );
}

pub fn kubelet_stopped() {
    let (calm, busy) = (Bed::make("f-kubelet-a"), Bed::make("f-kubelet-b"));
    let (calm_torch, calm_account) = account::settled(&calm, &Node::pair());
    let (busy_torch, busy_account) = in_between(&busy);

    let stopped = Stopped::new("kubelet");
    let until = Instant::now() + Duration::from_secs(60);
    busy.pods.wait("the machine is given up", SOON, |pods| {
        check(!pods.all_of_torch().any(Pod::is_ready), || "Torch is still called ready".into())
    });
    sleep(until.saturating_duration_since(Instant::now()));
    drop(stopped);
    let begun = Instant::now();
    calm_account.close(
        &calm,
        &calm_torch,
        begun,
        end(
            NOTHING,
            "kubelet stopped for a minute",
            "every pod is called not ready; nothing is restarted for that",
        ),
    );
    busy_account.close(
        &busy,
        &busy_torch,
        begun,
        end(
            NOTHING,
            "the same, between two restarts",
            "the evicted pod cannot go, and the other waits; then one restart each",
        ),
    );
}

pub fn dns_away() {
    let (calm, busy) = (Bed::make("f-dns-a"), Bed::make("f-dns-b"));
    let (calm_torch, calm_account) = account::settled(&calm, &Node::pair());
    busy.start_ready(&Node::pair());

    let away = Stopped::new("coredns");
    let busy_torch = Torch::deploy(&busy, PAIR);
    let busy_account = Account::open(&busy, &busy_torch);
    let recreated = calm.recreate(FULL);
    assert!(recreated.variable("TRUSTED_PEERS").is_some(), "the webhook needs no DNS");
    let why = eventually("no restart is made in vain", SOON, || {
        let why = direct::waits_for(&busy, &busy_torch, NODES[0])?;
        check(why.contains("the webhook cannot be reached"), || why.clone())?;
        Ok(why)
    });
    events::wait(&busy, NODES[0], "the webhook cannot be reached");
    events::wait(&calm, recreated.name(), &format!("{FULL}-0.{FULL}: "));
    drop(away);
    let begun = Instant::now();
    calm_account.close(
        &calm,
        &calm_torch,
        begun,
        end(
            [0, 1],
            "DNS away, a node recreated meanwhile",
            "it carries the variable; that its name does not resolve is an Event",
        ),
    );
    busy_account.close(
        &busy,
        &busy_torch,
        begun,
        end(
            NOTHING,
            "DNS away when Torch starts",
            &format!("both are learned by their IPs, and wait: “{why}”; then one restart each"),
        ),
    );
}
