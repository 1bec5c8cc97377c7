//! What was explored and found, in words.

use std::sync::atomic::Ordering;
use std::thread::available_parallelism;
use std::time::Instant;

use stateright::{Checker, Expectation, HasDiscoveries, Model as _, Path};

use crate::faults::Fault;
use crate::model::{Action, Model};
use crate::mutations::Mutation;
use crate::properties::{self, healed};
use crate::scenarios::{ALL, Scenario};
use crate::state::State;

/// What holds for all scenarios, beside what each says of itself.
const BOUNDS: &str = "\
Every order of these steps is explored, up to so many faults at any places: a pod is created, starts, goes; \
each watch of each replica shows a pod or the book, as late as you like; a replica plans, saves, takes the lease, \
notices that it lost it; an eviction reaches the API server; its answer reaches Torch. Time passes where nothing \
else can happen, or as a fault. Bounds: the nodes are StatefulSets of one pod with the default policy; a watch \
shows the newest state; probes, looks and files take no time and do not fail; who lost the lease without noticing \
acts on what it saw before; of two evictions of one pod the earlier one is answered first.
";

/// Figures of all that was explored.
#[derive(Default)]
pub struct Figures {
    /// Different states.
    pub states: usize,
    /// Steps to the farthest of them.
    pub depth: usize,
    /// What all took.
    pub seconds: u64,
    /// Whether Torch broke no rule.
    pub all_held: bool,
    /// How many deliberate faults were found.
    pub mutations_found: usize,
}

/// Explores the scenarios as Torch is, and then those in which each mutation should be found.
pub fn explore_all() -> Figures {
    println!("{BOUNDS}");
    let start = Instant::now();
    let mut figures = Figures { all_held: true, ..Figures::default() };
    for scenario in ALL {
        let (states, depth, held) = explore(scenario);
        figures.states += states;
        figures.depth = figures.depth.max(depth);
        figures.all_held &= held;
    }
    for mutation in Mutation::ALL {
        figures.mutations_found += usize::from(is_found(*mutation));
    }
    figures.seconds = start.elapsed().as_secs();
    figures
}

fn explore(scenario: &Scenario) -> (usize, usize, bool) {
    let start = Instant::now();
    let threads = available_parallelism().map_or(1, usize::from);
    let checker = check(scenario, None, threads);
    let (states, depth) = (checker.unique_state_count(), checker.max_depth());
    println!(
        "{}; {}: {} states, depth {depth}, {:.1} s",
        scenario.name,
        what_may_go_wrong(scenario),
        grouped(states),
        start.elapsed().as_secs_f64()
    );
    for property in checker.model().properties() {
        if property.expectation == Expectation::Sometimes && checker.discovery(property.name).is_none() {
            println!("NEVER SEEN: {}", property.name);
            return (states, depth, false);
        }
    }
    let broken = broken(&checker);
    if let Some((rule, path)) = &broken {
        println!("BROKEN: {rule}");
        tell(checker.model(), path);
    }
    (states, depth, broken.is_none())
}

fn is_found(mutation: Mutation) -> bool {
    for scenario in ALL.iter().filter(|scenario| mutation.shows_in(scenario.name)) {
        let checker = check(scenario, Some(mutation), 1);
        if let Some((rule, path)) = broken(&checker) {
            println!("\n{mutation:?} breaks \"{rule}\", with {}:", scenario.name);
            tell(checker.model(), &path);
            return true;
        }
    }
    println!("\nNOT FOUND: {mutation:?}");
    false
}

fn check(scenario: &Scenario, mutation: Option<Mutation>, threads: usize) -> impl Checker<Model> + use<> {
    let model = Model::new(*scenario, mutation);
    let checker =
        model.checker().threads(threads).finish_when(HasDiscoveries::AnyFailures).spawn_bfs().join();
    checker.model().found.store(false, Ordering::Relaxed);
    checker
}

fn broken(checker: &impl Checker<Model>) -> Option<(&'static str, Path<State, Action>)> {
    let mut rules = checker.model().properties().into_iter();
    rules.find_map(|rule| {
        let is_broken = rule.expectation == Expectation::Always;
        Some((rule.name, checker.discovery(rule.name).filter(|_| is_broken)?))
    })
}

/// The steps that lead to where a rule is broken, or to where all goes on without end or stops too early.
fn tell(model: &Model, path: &Path<State, Action>) {
    let last = path.last_state();
    path.clone().into_actions().iter().for_each(|action| println!("  {action}"));
    if last.broken.is_none() {
        println!("  and with no further fault:");
        properties::how_it_ends(model, &healed(last)).iter().for_each(|action| println!("  {action}"));
        println!("  and so on, or no further");
    }
}

fn what_may_go_wrong(scenario: &Scenario) -> String {
    let times = match scenario.faults {
        1 => "one fault".to_owned(),
        n => format!("{n} faults"),
    };
    if scenario.may == Fault::ALL {
        return format!("{times} of any kind");
    }
    let kinds: Vec<String> = scenario.may.iter().map(|fault| format!("{fault:?}")).collect();
    format!("{times} of {}", kinds.join(", "))
}

/// A number in groups of three digits.
pub fn grouped(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).expect("digits")).collect();
    groups.join(" ")
}
