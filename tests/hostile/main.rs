//! Attacks on one replica of Torch by the network, one way after another, while the API server and a client
//! from another address go on calling it: how long do their calls take, does any fail, and what does Torch
//! grow to? Arguments: the seconds for each attack, and the addresses of this machine to attack from. The attacks
//! are made by a process of their own, of low priority: an attacker has another machine.

#![allow(dead_code, reason = "the end-to-end tests' parts can do more than is needed here")]

#[path = "../e2e/bed.rs"]
mod bed;
#[path = "../e2e/kubectl.rs"]
mod kubectl;
#[path = "../e2e/node.rs"]
mod node;
#[path = "../e2e/pods.rs"]
mod pods;
#[path = "../e2e/shell.rs"]
mod shell;
#[path = "../e2e/torch.rs"]
mod torch;
#[path = "../e2e/wait.rs"]
mod wait;
#[path = "../rolling/webhook.rs"]
mod webhook;

mod attacks;
mod bodies;
mod calls;
mod process;
mod shapes;
mod target;

use std::env;
use std::net::Ipv4Addr;
use std::time::Duration;

use bed::Bed;
use calls::{Calls, Times};
use node::Node;
use process::Process;
use target::Target;
use torch::{PAIR, Torch};
use wait::{SOON, check};

/// What a call may take under attack: the webhook's time limit is 2 s.
const BOUND: Duration = Duration::from_secs(1);

/// The memory limit of `deploy/`, in MiB.
const MEMORY: f64 = 128.0;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let _ = rustls::crypto::ring::default_provider().install_default();
    match &arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [attacks::ATTACK, name, namespace, ip, from @ ..] => {
            attacks::run(name, Target::new(namespace, ip), &addresses(from))
        }
        [seconds, from @ ..] => measure(seconds.parse().expect("usage: hostile SECONDS ADDRESS..."), from),
        [] => panic!("usage: hostile SECONDS ADDRESS..."),
    }
}

fn addresses(from: &[&str]) -> Vec<Ipv4Addr> {
    from.iter().map(|address| address.parse().expect("an IPv4 address")).collect()
}

fn measure(seconds: u64, from: &[&str]) {
    let bed = Bed::make("hostile");
    let torch = Torch::deploy(&bed, PAIR);
    // All that comes is for one.
    torch.scale(1);
    bed.pods.wait("one replica is left", SOON, |pods| {
        let left = pods.all_of_torch().filter(|pod| !pod.gone).count();
        check(left == 1, || format!("{left} are"))
    });
    torch.wait_ready();
    bed.start_ready([&Node::bridge("da-bridge-1")]);
    torch.wait_address("da-bridge-1", &bed.address("da-bridge-1"));
    without_policy(&bed);

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let leader = torch.leader().unwrap_or_else(|why| panic!("{why}"));
    let process = Process::of(bed.name(), leader.name());
    let target = Target::new(bed.name(), leader.ip());
    let within = Duration::from_secs(seconds);

    println!(
        "{:<24} {:>7} {:>7} {:>9} {:>9} {:>9} {:>7} {:>9}",
        "attack", "opened", "calls", "p50", "p99", "API p99", "failed", "memory"
    );
    let before = webhook::Calls::now();
    let quiet = runtime.block_on(calls::during(&target, within));
    row("none", 0, &quiet, &process);
    let (mut all, mut opened) = (Calls::default(), 0);
    for name in attacks::names() {
        let attacker = attacks::Attacker::begin(name, bed.name(), leader.ip(), from);
        let calls = runtime.block_on(calls::during(&target, within));
        let by_it = attacker.end();
        opened += by_it;
        row(name, by_it, &calls, &process);
        all.add(calls);
    }
    let webhook = webhook::Calls::now().since(&before);
    let shapes = runtime.block_on(shapes::send_all(&target));
    for shape in &shapes.lines {
        println!("{shape}");
    }

    let log = bed.kubectl(&["logs", leader.name(), "--tail=-1"]);
    let restarts = torch.leader().map_or(99, |leader| leader.container_restarts());
    let (direct, api) = (all.direct.times(), all.api.times());
    let quiet = (quiet.direct.times(), quiet.api.times());
    println!(
        "hostile: {} attacks by {opened} connections: {} calls, p50 {} p99 {} (quiet {} {}), {} creations by the API server, p50 {} p99 {} \
         (quiet {} {}), {} failed, {} failed open; {} of {} smuggled requests answered; {restarts} restarts, {:.0} of \
         {MEMORY:.0} MiB at most, {} kB of log",
        attacks::names().count(),
        all.direct.count(),
        ms(direct.p50),
        ms(direct.p99),
        ms(quiet.0.p50),
        ms(quiet.0.p99),
        all.api.count(),
        ms(api.p50),
        ms(api.p99),
        ms(quiet.1.p50),
        ms(quiet.1.p99),
        all.failed(),
        webhook.failed_open,
        shapes.answered,
        shapes.lines.len(),
        process.most(),
        log.len() / 1000,
    );
    assert_eq!((all.failed(), webhook.failed_open, webhook.rejected), (0, 0, 0), "calls failed");
    assert!(direct.p99 < BOUND && api.p99 < BOUND, "calls took too long");
    assert_eq!(shapes.answered, 0, "a request that stands in another's body was answered");
    assert!(restarts == 0 && process.most() < MEMORY, "Torch was brought down, or nearly");
    assert!(log.len() < 256 * 1024, "they filled Torch's log: {} bytes", log.len());
}

/// The webhook alone is to be seen: the policy would inject what it has missed.
fn without_policy(bed: &Bed) {
    let kinds = "mutatingadmissionpolicybinding,mutatingadmissionpolicy";
    kubectl::run(&["delete", "--ignore-not-found", kinds, &bed.namespace.outside()]);
}

fn row(name: &str, opened: usize, calls: &Calls, process: &Process) {
    let Times { p50, p99 } = calls.direct.times();
    let api = calls.api.times();
    println!(
        "{name:<24} {opened:>7} {:>7} {:>9} {:>9} {:>9} {:>7} {:>5.0} MiB",
        calls.direct.count(),
        ms(p50),
        ms(p99),
        ms(api.p99),
        calls.failed(),
        process.most()
    );
    for why in calls.why().iter().take(3) {
        println!("  {why}");
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}
