//! Containers and claims of nodes that fail.

use std::fs;
use std::time::{Duration, Instant};

use crate::account::{self, Account, End, NODES};
use crate::bed::Bed;
use crate::direct;
use crate::events;
use crate::kubectl;
use crate::node::Node;
use crate::torch::{PAIR, Torch};
use crate::wait::{SOON, check, eventually};

const BRIDGE: &str = NODES[0];
const FULL: &str = NODES[1];

/// A node that goes on until the file `$until` is there.
const UNTIL: &str = "
    /bin/sh /scripts/start.sh celestia light start --rpc.skip-auth & node=$!
    trap 'kill $node; wait $node; exit 0' TERM
    while [ ! -e $until ]; do sleep 0.1; done
";

pub fn oom_killed() {
    let bed = Bed::make("f-oom");
    let eats = format!("until=/home/celestia/eat; {UNTIL} rm $until; exec tail /dev/zero");
    let [bridge, full] = Node::pair();
    let (torch, account) = account::settled(&bed, &[bridge, full.script(&eats).memory("64Mi")]);

    let begun = Instant::now();
    bed.exec(FULL, &["touch", "/home/celestia/eat"]);
    let killed = bed.pods.wait("its container is killed and runs again", SOON, |pods| {
        let pod = pods.current(FULL)?;
        check(pod.container_restarts() == 1 && pod.is_ready(), || "not yet".into())?;
        Ok(pod.text("/status/containerStatuses/0/lastState/terminated/reason").to_owned())
    });
    assert_eq!(killed, "OOMKilled");
    let what = "its container, started again by the kubelet, is learned anew; no pod is touched".into();
    let fault = "a node is killed for its memory".into();
    account.close(
        &bed,
        &torch,
        begun,
        End { fault, what, own: [0, 0], within: Duration::from_secs(30), kills: 0 },
    );
}

pub fn crash_loops() {
    let bed = Bed::make("f-crash");
    // Each character in the file is an exit to come.
    let exits = format!(
        "until=/home/celestia/exits
         [ ! -e $until ] || {{ left=$(cat $until); left=${{left#x}}; echo $left >$until
           [ -n \"$left\" ] || rm $until; exit 1; }}
         {UNTIL} exit 1"
    );
    let [bridge, full] = Node::pair();
    let (torch, account) = account::settled(&bed, &[bridge, full.script(&exits)]);

    bed.exec(FULL, &["/bin/sh", "-c", "echo xx >/home/celestia/exits"]);
    bed.pods.wait("it keeps exiting", SOON, |pods| {
        let pod = pods.current(FULL)?;
        let waits = pod.text("/status/containerStatuses/0/state/waiting/reason");
        check(waits == "CrashLoopBackOff", || format!("{waits:?}"))
    });
    bed.pods.wait("it runs again", Duration::from_secs(180), |pods| {
        let pod = pods.ready(FULL)?;
        check(pod.container_restarts() == 3, || "not yet".into())
    });
    let what = "left alone by Torch through 3 exits, since it has its variable; its address stays".into();
    let fault = "a node's container crash-loops".into();
    account.close(
        &bed,
        &torch,
        Instant::now(),
        End { fault, what, own: [0, 0], within: Duration::from_secs(30), kills: 0 },
    );
}

pub fn claim_cannot_be_mounted() {
    let bed = Bed::make("f-claim");
    bed.start_ready(&Node::pair());
    // Of both, since either may be the first.
    let directories = NODES.map(|node| directory_of(&bed, &format!("data-{node}-0")));
    let away = |directory: &String| format!("{directory}.away");
    let rename = |from: &str, to: &str| fs::rename(from, to).expect("it is a directory of this machine");
    directories.iter().for_each(|directory| rename(directory, &away(directory)));

    let torch = Torch::deploy(&bed, PAIR);
    let account = Account::open(&bed, &torch);
    let first = bed.pods.wait("one waits for its volume", SOON, |pods| {
        let waits = |node: &&str| {
            pods.current(node).is_ok_and(|pod| {
                pod.text("/status/containerStatuses/0/state/waiting/reason") == "ContainerCreating"
            })
        };
        NODES.into_iter().find(waits).ok_or_else(|| "none does".into())
    });
    let other = if first == NODES[0] { NODES[1] } else { NODES[0] };
    let turn = eventually("the other waits for its turn", SOON, || {
        let why = direct::waits_for(&bed, &torch, other)?;
        check(why.contains(first), || why.clone())?;
        Ok(why)
    });
    bed.pods.stay_as_they_are(Duration::from_secs(8));
    assert_eq!(bed.pods.restarts(other), 0, "both were taken down");

    directories.iter().for_each(|directory| rename(&away(directory), directory));
    let what =
        format!("its new pod hangs in ContainerCreating, {other} waits: “{turn}”; then one restart each");
    let fault = "the claim of a node that is being restarted cannot be mounted".into();
    // The kubelet tries a mount again after up to 16 s by then.
    account.close(
        &bed,
        &torch,
        Instant::now(),
        End { fault, what, own: [0, 0], within: Duration::from_secs(75), kills: 0 },
    );
}

/// Where a claim's volume is.
fn directory_of(bed: &Bed, claim: &str) -> String {
    let claim = kubectl::get(bed.name(), &format!("pvc/{claim}")).unwrap_or_else(|why| panic!("{why}"));
    let volume = claim["spec"]["volumeName"].as_str().expect("its pod runs");
    kubectl::run(&["get", "pv", volume, "-o", "jsonpath={.spec.local.path}"])
}

pub fn exec_hangs() {
    let bed = Bed::make("f-exec");
    // Whoever runs `sh` in the container runs this, and waits as long as the file is there.
    let hangs = "
        mkdir -p /tmp/bin; [ -n \"${TRUSTED_PEERS:-}\" ] || touch /tmp/hang
        printf '#!/bin/dash\nwhile [ -e /tmp/hang ]; do sleep 0.2; done\nexec /bin/dash \"$@\"\n' >/tmp/bin/sh
        chmod +x /tmp/bin/sh
        exec /bin/sh /scripts/start.sh celestia light start --rpc.skip-auth";
    let [bridge, full] = Node::pair();
    let full = full.script(hangs).env("PATH", "/tmp/bin:/usr/local/bin:/usr/bin:/bin");
    bed.start_ready(&[bridge, full]);
    let torch = Torch::deploy(&bed, PAIR);
    let account = Account::open(&bed, &torch);
    let node = torch.wait_node(FULL, "/waitsFor/message", |why| why.contains("did not end within"));
    let why = node["waitsFor"]["message"].as_str().unwrap_or_default().to_owned();
    torch.wait_node(BRIDGE, "/variable", |from| from == "spec");
    events::wait(&bed, &format!("{FULL}-0"), "did not end within");
    assert_eq!(bed.pods.restarts(FULL), 0, "it may have the variable for all that Torch knows");

    bed.exec(FULL, &["rm", "/tmp/hang"]);
    let what = format!(
        "its address is learned by the handshake, it is not restarted unseen: “{why}”; {BRIDGE} goes on"
    );
    let fault = "exec into a node hangs".into();
    account.close(
        &bed,
        &torch,
        Instant::now(),
        End { fault, what, own: [0, 0], within: Duration::from_secs(60), kills: 0 },
    );
}
