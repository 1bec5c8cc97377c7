//! The soak: many pairs and a random fault every few seconds; at the end all must be connected, and every
//! node that ran early must have been restarted once, and no other. A node whose pod came without the variable
//! but whose file was there when its command began has not run early.

use std::collections::{BTreeMap, HashSet};
use std::env;
use std::fmt::Write as _;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use serde_json::Value;

use crate::bed::Bed;
use crate::kubectl;
use crate::node::Node;
use crate::pods::Pod;
use crate::torch::Torch;
use crate::trouble::{self, Hand, Trouble};
use crate::wait::{check, eventually};

const PAIRS: usize = 20;

/// So many nodes start at once.
const AT_ONCE: usize = 8;

/// How long all may take to be right at the end.
const WITHIN: Duration = Duration::from_secs(300);

/// How long nothing may happen then.
const QUIET: Duration = Duration::from_secs(20);

pub fn run() -> ExitCode {
    let seconds = number("SOAK_SECONDS").unwrap_or(1800);
    let seed = number("SOAK_SEED").unwrap_or_else(|| fastrand::u64(..1_000_000));
    println!("soak: {PAIRS} pairs, {seconds} s, SOAK_SEED={seed}");
    let (bed, pairs) = (Bed::make("soak"), pairs());
    // Half of the nodes start before Torch; the others while it has to deal with those.
    let (first, second) = pairs.split_at(PAIRS / 2);
    start(&bed, first);
    let torch = Torch::deploy(&bed, &configuration(&pairs));
    start(&bed, second);

    let hand = Hand { bed: &bed, rng: Rng::new(), deleted: HashSet::new() };
    let mut soak = Soak { hand, tried: BTreeMap::new() };
    soak.trouble_for(Duration::from_secs(seconds), Rng::with_seed(seed));
    let begun = Instant::now();
    eventually("all is right at the end", WITHIN, || right(&bed, &torch, &pairs));
    let again = begun.elapsed();
    bed.pods.stay_as_they_are(QUIET);
    soak.tell(&pairs, again)
}

fn number(name: &str) -> Option<u64> {
    let text = env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

fn pairs() -> Vec<[Node; 2]> {
    (0..PAIRS).map(|i| [Node::bridge(&format!("bridge-{i}")), Node::light(&format!("full-{i}"))]).collect()
}

fn configuration(pairs: &[[Node; 2]]) -> String {
    let mut text = String::from("restart: {settle: 10m}\nmutualPeers:\n");
    for [bridge, full] in pairs {
        let (bridge, full) = (&bridge.name, &full.name);
        writeln!(text, "  - peers: [{{nodeName: {bridge}}}, {{nodeName: {full}}}]").expect("a String grows");
    }
    text
}

fn start(bed: &Bed, pairs: &[[Node; 2]]) {
    let nodes: Vec<&Node> = pairs.iter().flatten().collect();
    nodes.chunks(AT_ONCE).for_each(|some| bed.start_ready(some.iter().copied()));
}

/// Whether every node has its variable and its place in the book, waits for nothing, and is connected.
fn right(bed: &Bed, torch: &Torch, pairs: &[[Node; 2]]) -> Result<(), String> {
    let list = torch.curl("/list", "")?;
    check(list.status == 200, || format!("{list:?}"))?;
    let nodes = list.json()["body"].take();
    let nodes = nodes.as_array().ok_or("/list is no list")?;
    let wrong = nodes.iter().find(|n| n["variable"] == Value::Null || n["waitsFor"] != Value::Null);
    wrong.map_or(Ok(()), |node| Err(node.to_string()))?;
    check(nodes.len() == 2 * PAIRS, || format!("{} nodes on /list", nodes.len()))?;
    pairs.iter().try_for_each(|[bridge, full]| bed.connected(&bridge.name, &full.name))
}

struct Soak<'a> {
    hand: Hand<'a>,
    /// What was tried, and how often.
    tried: BTreeMap<&'static str, usize>,
}

impl Soak<'_> {
    /// What is made when follows from the seed alone; whom it befalls, also from who is there.
    fn trouble_for(&mut self, time: Duration, mut order: Rng) {
        let end = Instant::now() + time;
        while Instant::now() < end {
            let Trouble { name, make } = *order.choice(trouble::ALL).expect("there are some");
            self.hand.rng = order.fork();
            println!("soak: {:4.0} s to go: {name}", (end - Instant::now()).as_secs_f64());
            make(&mut self.hand);
            *self.tried.entry(name).or_default() += 1;
            sleep(Duration::from_millis(order.u64(1000..6000)));
        }
    }

    fn tell(&self, pairs: &[[Node; 2]], again: Duration) -> ExitCode {
        let history = self.hand.bed.pods.now();
        let pods: Vec<&Pod> = pairs.iter().flatten().flat_map(|node| history.of(&node.name)).collect();
        let (bare, others): (Vec<&Pod>, Vec<&Pod>) =
            pods.into_iter().partition(|pod| pod.variable("TRUSTED_PEERS").is_none());
        let (by_file, early): (Vec<&Pod>, Vec<&Pod>) =
            bare.into_iter().partition(|pod| pod.stays() && self.runs_with_peers(pod));
        // By what is gone: the last state of a pod that went while the API server was away was seen by nobody.
        let is_restarted = |pod: &&&Pod| !pod.stays() && !self.hand.deleted.contains(pod.uid());
        let missed = early.iter().filter(|pod| !is_restarted(pod));
        let extra: Vec<&&Pod> = others.iter().filter(is_restarted).collect();
        let restarts = early.iter().filter(is_restarted).count() + extra.len();
        let wrong: Vec<String> = missed
            .map(|pod| format!("{} was early, and not restarted", pod.name()))
            .chain(extra.iter().map(|pod| format!("{} was restarted without need", pod.name())))
            .collect();
        let tried: Vec<String> = self.tried.iter().map(|(name, n)| format!("{n} × {name}")).collect();
        println!("soak: tried {}", tried.join(", "));
        wrong.iter().for_each(|line| println!("soak: WRONG: {line}"));
        println!(
            "soak: {PAIRS} pairs connected, {} faults, {} early nodes, {restarts} restarts, {} extra, {} by the file, right again after {:.1} s",
            self.tried.values().sum::<usize>(),
            early.len(),
            extra.len(),
            by_file.len(),
            again.as_secs_f64()
        );
        if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    /// Whether the pod's command was given its peers, as the kernel says.
    fn runs_with_peers(&self, pod: &Pod) -> bool {
        let environment = ["sh", "-c", "tr '\\0' '\\n' </proc/1/environ"];
        let command = [&["exec", "-n", self.hand.bed.name(), pod.name(), "--"], &environment[..]].concat();
        let said = kubectl::attempt(&command, None);
        said.is_ok_and(|lines| lines.lines().any(|line| line.starts_with("TRUSTED_PEERS=/")))
    }
}
