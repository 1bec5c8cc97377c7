//! Replicas of Torch that die, or stand still, while two nodes are being restarted.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::account::{Account, End, NODES};
use crate::bed::Bed;
use crate::kubectl;
use crate::node::Node;
use crate::pods::{History, Pod};
use crate::runner::Fault;
use crate::signals;
use crate::torch::{PAIR, Torch};
use crate::wait::{SOON, check, eventually};

/// How soon a Lease that nobody renews passes on.
const LEASE: Duration = Duration::from_secs(15);

const WITHIN: Duration = Duration::from_secs(60);

/// The replica that is killed at a given place.
const FIRST: &str = "torch-first";

/// Where it is killed.
#[derive(Clone, Copy)]
enum Place {
    BeforeNote,
    BeforeEviction,
    AfterEviction,
}

pub fn faults() -> Vec<Fault> {
    vec![
        Fault::new("leader-before-note", || leader_killed(Place::BeforeNote)),
        Fault::new("leader-before-eviction", || leader_killed(Place::BeforeEviction)),
        Fault::new("leader-after-eviction", || leader_killed(Place::AfterEviction)),
        Fault::new("both-killed", both_killed),
        Fault::new("follower-killed", follower_killed),
        Fault::new("leader-stopped", leader_stopped),
    ]
}

impl Place {
    fn failpoint(self) -> &'static str {
        match self {
            Self::BeforeNote => "before-note",
            Self::BeforeEviction => "before-evict",
            Self::AfterEviction => "after-evict",
        }
    }

    fn fault(self) -> &'static str {
        match self {
            Self::BeforeNote => "leader killed before the note",
            Self::BeforeEviction => "leader killed between note and eviction",
            Self::AfterEviction => "leader killed after the eviction",
        }
    }

    /// Whether the leader has come so far.
    fn is_reached(self, bed: &Bed, torch: &Torch) -> Result<(), String> {
        let history = bed.pods.now();
        let mut pods = NODES.iter().flat_map(|node| history.of(node));
        let noted = torch.book().to_string().contains("restart_");
        let going = pods.any(|pod| !pod.stays());
        let log = || bed.kubectl(&["logs", FIRST]);
        match self {
            Self::BeforeNote => check(log().contains("to be restarted"), || "nothing is decided".into()),
            Self::BeforeEviction => check(noted, || "nothing is noted".into()),
            Self::AfterEviction => check(going, || "nothing is evicted".into()),
        }
    }
}

/// One replica leads and is to stand still at a place; two others follow. It is killed there.
fn leader_killed(place: Place) {
    let bed = Bed::make(&format!("f-{}", place.failpoint()));
    let torch = Torch::deploy(&bed, PAIR);
    torch.scale(0);
    torch.wait_gone();
    bed.apply(&first(&bed, &format!("{}=pause", place.failpoint())));
    wait_leader(&bed, |leader| leader == FIRST);
    torch.scale(2);
    bed.pods.wait("two follow", SOON, |pods| {
        let ready = pods.all_of_torch().filter(|pod| pod.stays() && pod.is_ready()).count();
        check(ready == 2, || format!("{ready} are ready"))
    });
    let account = Account::open(&bed, &torch);
    bed.start_ready(&Node::pair());

    eventually("the leader stands at the place", SOON, || place.is_reached(&bed, &torch));
    let account = account.with_addresses(&torch);
    let noted = torch.book().to_string().contains("restart_");
    signals::send(&bed, &pod_of(&bed, FIRST), "KILL");
    let begun = Instant::now();
    let next = wait_leader(&bed, |leader| leader != FIRST);
    let what = format!(
        "{}; {next} leads {:.0} s later; one restart each",
        if noted { "its note is in the book" } else { "its note is not in the book" },
        begun.elapsed().as_secs_f64()
    );
    let end = End { fault: place.fault().into(), what, own: [0, 0], within: WITHIN, kills: 0 };
    account.close(&bed, &torch, begun, end);
}

/// A replica like those of the Deployment that has a failpoint, and is not started again. The Service does
/// not send anybody to it.
fn first(bed: &Bed, failpoints: &str) -> Value {
    let deployment = kubectl::get(bed.name(), "deployment/torch").unwrap_or_else(|why| panic!("{why}"));
    let mut spec = deployment["spec"]["template"]["spec"].clone();
    spec["restartPolicy"] = json!("Never");
    let env = spec["containers"][0]["env"].as_array_mut().expect("it has some");
    env.push(json!({"name": "FAILPOINTS", "value": failpoints}));
    json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": FIRST}, "spec": spec})
}

fn both_killed() {
    let bed = Bed::make("f-both");
    let (torch, account) = between_two_restarts(&bed);
    let both: Vec<Pod> = bed.pods.now().all_of_torch().filter(|pod| pod.stays()).cloned().collect();
    assert_eq!(both.len(), 2);
    both.iter().for_each(|pod| signals::send(&bed, pod, "KILL"));
    let end = End {
        fault: "both replicas killed between two restarts".into(),
        what: "both run again at once; the second restart follows, none is doubled".into(),
        own: [0, 0],
        within: WITHIN,
        kills: 2,
    };
    account.close(&bed, &torch, Instant::now(), end);
}

fn follower_killed() {
    let bed = Bed::make("f-follower");
    let (torch, account) = between_two_restarts(&bed);
    let leader = wait_leader(&bed, |_| true);
    let follower = replica(&bed.pods.now(), |name| name != leader);
    signals::send(&bed, &follower, "KILL");
    let begun = Instant::now();
    let end = End {
        fault: "follower killed between two restarts".into(),
        what: "the leader goes on, and stays the leader".into(),
        own: [0, 0],
        within: WITHIN,
        kills: 1,
    };
    account.close(&bed, &torch, begun, end);
    assert_eq!(wait_leader(&bed, |_| true), leader);
}

/// It stands still for longer than its Lease lasts, and goes on where it was without knowing.
fn leader_stopped() {
    let bed = Bed::make("f-stopped");
    let (torch, account) = between_two_restarts(&bed);
    let leader = wait_leader(&bed, |_| true);
    let old = replica(&bed.pods.now(), |name| name == leader);
    signals::send(&bed, &old, "STOP");
    let stopped = Instant::now();
    let next = wait_leader(&bed, |holder| holder != leader);
    let took_over = stopped.elapsed();
    // Not so long that the kubelet kills what does not answer its probes.
    sleep((LEASE + Duration::from_secs(5)).saturating_sub(took_over));
    signals::send(&bed, &old, "CONT");
    let end = End {
        fault: "leader stopped past its Lease (SIGSTOP), then continued".into(),
        what: format!(
            "{next} leads {:.0} s later and restarts the second; the old one, back, does nothing",
            took_over.as_secs_f64()
        ),
        own: [0, 0],
        within: WITHIN,
        kills: 0,
    };
    account.close(&bed, &torch, Instant::now(), end);
    assert_eq!(wait_leader(&bed, |_| true), next, "the old one leads once more");
}

/// An early pair of which one has just come back from its restart.
fn between_two_restarts(bed: &Bed) -> (Torch<'_>, Account) {
    bed.start_ready(&Node::pair());
    let torch = Torch::deploy(bed, PAIR);
    let account = Account::open(bed, &torch);
    bed.pods.wait("the first has its next pod", SOON, |pods| {
        check(NODES.iter().any(|node| pods.of(node).len() == 2), || "not yet".into())
    });
    let account = account.with_addresses(&torch);
    (torch, account)
}

/// Waits for the Lease to be held by such a one.
#[track_caller]
fn wait_leader(bed: &Bed, is_so: impl Fn(&str) -> bool) -> String {
    eventually("the right one leads", SOON, || {
        let lease = kubectl::get(bed.name(), "lease/torch")?;
        let holder = lease["spec"]["holderIdentity"].as_str().unwrap_or_default();
        check(!holder.is_empty() && is_so(holder), || format!("{holder:?} does"))?;
        Ok(holder.to_owned())
    })
}

#[track_caller]
fn replica(pods: &History, is_so: impl Fn(&str) -> bool) -> Pod {
    let found = pods.all_of_torch().find(|pod| pod.stays() && is_so(pod.name()));
    found.expect("there are two").clone()
}

#[track_caller]
fn pod_of(bed: &Bed, name: &str) -> Pod {
    bed.pods.now().current(name).unwrap_or_else(|why| panic!("{why}")).clone()
}
