use std::time::{Duration, Instant};

use jiff::ToSpan as _;

use super::*;
use crate::config;
use crate::peers::{Owner, Restart};

const PEERS: [&str; 4] = [
    "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV",
    "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA",
    "12D3KooWHdiAxVd8uMQR1hGWXccidmfCwLqcMpGwR6QcTP6QRMuD",
    "12D3KooWJWoaqZhDaoEFshF7Rh1bpY9ohihFhzcW6d69Lr2NASuq",
];

/// A cluster as far as the plan sees it, and a leader that carries acts out by hand.
struct Sim {
    config: Config,
    book: Book,
    noted: HashSet<String>,
    pods: Pods,
    services: BTreeSet<String>,
    memory: Memory,
    now: Timestamp,
    made: u32,
}

impl Sim {
    fn new(config: &str) -> Self {
        Self {
            config: config::parse(config).unwrap(),
            book: Book::default(),
            noted: HashSet::new(),
            pods: Pods::new(),
            services: BTreeSet::new(),
            memory: Memory::default(),
            now: "2026-11-24T12:00:00Z".parse().unwrap(),
            made: 0,
        }
    }

    fn pair() -> Self {
        Self::new("mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}]}]")
    }

    /// A pod `<set>-0` of a StatefulSet, running since now, with or without the variable in its spec.
    fn start(&mut self, set: &str, variable: Option<&str>) -> String {
        self.made += 1;
        let name = format!("{set}-0");
        let uid = format!("uid-{}", self.made);
        let container = Container {
            name: "da".into(),
            variable: variable.map(String::from),
            id: Some(format!("container-{}", self.made)),
            running: Some(self.now),
            restarts: 0,
            exited_after: None,
        };
        let pod = Pod {
            name: name.clone(),
            uid: uid.clone(),
            version: String::new(),
            workload: Some(set.into()),
            owner: Some(Owner { kind: "StatefulSet".into(), name: set.into(), ..Owner::default() }),
            phase: "Running".into(),
            ip: Some([10, 0, 0, 1].into()),
            subdomain: Some(set.into()),
            created: self.now,
            deleting: false,
            ready: true,
            opted_out: false,
            injected: variable.is_some(),
            containers: [container].into(),
        };
        self.services.insert(set.into());
        self.pods.insert(name, Box::new(pod));
        uid
    }

    fn pod(&mut self, name: &str) -> &mut Pod {
        self.pods.get_mut(name).unwrap()
    }

    /// Its container has exited after so many seconds and waits for its next try.
    fn crash(&mut self, name: &str, after: i64) {
        let container = &mut self.pod(name).containers[0];
        container.running = None;
        container.restarts += 1;
        container.exited_after = Some(SignedDuration::from_secs(after));
    }

    fn world(&self) -> World<'_> {
        World {
            config: &self.config,
            book: &self.book,
            noted: &self.noted,
            pods: &self.pods,
            services: &self.services,
            memory: &self.memory,
            unsaved: None,
            now: self.now,
        }
    }

    fn plan(&mut self) -> Plan {
        let mut book = self.book.clone();
        tidy(&mut book, self.world());
        self.book = book;
        plan(self.world())
    }

    fn pass(&mut self, seconds: i64) {
        self.now += seconds.seconds();
    }

    fn learn(&mut self, name: &str) {
        let pod = &self.pods[name];
        let settings = self.config.settings(pod.who()).unwrap();
        let place = self.pods.keys().position(|n| n == name).unwrap();
        let known = Known {
            address: address(pod, settings, &self.services, &PEERS[place % PEERS.len()].parse().unwrap()),
            workload: pod.workload.clone(),
            container: pod.containers[0].id.clone().unwrap(),
            learned: self.now,
        };
        self.book.nodes.insert(name.into(), known);
    }

    /// Carries out what a plan says, except evictions and checks; looks see `process`.
    fn carry_out(&mut self, plan: &Plan, process: &Process) {
        for act in &plan.acts {
            match act {
                Act::Probe { pod, .. } => self.learn(pod),
                Act::Look { pod } => {
                    let (uid, container) = self.ids(pod);
                    let look =
                        Look { container: (*container).into(), at: self.now, process: process.clone() };
                    self.memory.trace_mut(&uid).looked = Some(look);
                }
                Act::Deliver { pod } => {
                    let (uid, container) = self.ids(pod);
                    let (container, value) = ((*container).into(), (*self.value(pod)).into());
                    let delivered = Delivered { container, value, outcome: Delivery::Written };
                    self.memory.trace_mut(&uid).delivered = Some(delivered);
                }
                Act::Note { pod, reason } => {
                    let mut book = self.book.clone();
                    note(&mut book, &self.pods[pod], *reason, self.world());
                    self.book = book;
                    self.noted = self.book.restarts.values().map(|r| r.uid.clone()).collect();
                }
                Act::Check { .. } | Act::Evict { .. } => {}
            }
        }
    }

    fn ids(&self, pod: &str) -> (String, String) {
        let pod = &self.pods[pod];
        (pod.uid.clone(), pod.containers[0].id.clone().unwrap())
    }

    /// Plans and carries out until a plan asks for nothing new; the pods that are to be evicted then.
    fn settle(&mut self, process: &Process) -> Vec<String> {
        self.pass(2);
        for _ in 0..20 {
            let plan = self.plan();
            let open = plan.acts.iter().any(|a| !matches!(a, Act::Check { .. } | Act::Evict { .. }));
            if !open {
                return evictions(&plan);
            }
            self.carry_out(&plan, process);
        }
        panic!("the plan never comes to rest");
    }

    fn lacking(&mut self) -> Vec<String> {
        self.settle(&Process::Lacks)
    }

    /// What a node's peers would be given.
    fn value(&self, name: &str) -> String {
        let who = Who { pod: name, workload: Some(name.trim_end_matches("-0")) };
        join(&Roster::of(&self.config, &self.book).trusted_peers(&self.config, &self.book, who))
    }

    /// The eviction, and the recreation by the StatefulSet with the webhook in between.
    fn recreate(&mut self, name: &str, injected: bool) {
        let value = self.value(name);
        self.start(name.trim_end_matches("-0"), injected.then_some(value.as_str()));
    }

    fn waits(&mut self, name: &str) -> Option<&'static str> {
        let plan = self.plan();
        plan.nodes.iter().find(|n| n.pod == name).unwrap().waits_for.as_ref().map(Wait::reason)
    }
}

fn evictions(plan: &Plan) -> Vec<String> {
    plan.acts
        .iter()
        .filter_map(|a| if let Act::Evict { pod, .. } = a { Some(pod.clone()) } else { None })
        .collect()
}

#[test]
fn an_address_is_dialled_where_it_or_its_container_is_new() {
    let mut sim = Sim::pair();
    let uid = sim.start("a", None);
    sim.learn("a-0");
    let checked = |sim: &mut Sim| sim.plan().acts.contains(&Act::Check { pod: "a-0".into() });
    let reach = |sim: &mut Sim| sim.plan().nodes[0].reach.clone();
    assert_eq!((checked(&mut sim), reach(&mut sim)), (true, None));
    let known = sim.book.nodes["a-0"].clone();
    let trace = sim.memory.trace_mut(&uid);
    trace.check.begin(&known);
    trace.check.succeed(Some(sim.now + 60.seconds()));
    trace.reached = Some(Reached { known: (&known).into(), reach: Reach::Reachable });
    assert_eq!((checked(&mut sim), reach(&mut sim)), (false, Some(Reach::Reachable)));

    sim.pod("a-0").containers[0].id = Some("another".into());
    sim.learn("a-0");
    assert_eq!((checked(&mut sim), reach(&mut sim)), (true, None), "what was dialled was another");
    sim.pod("a-0").containers[0].id = Some(known.container);
    sim.learn("a-0");
    assert_eq!((checked(&mut sim), reach(&mut sim)), (false, Some(Reach::Reachable)));
    sim.pass(60);
    assert!(checked(&mut sim), "as when it was out of the configuration meanwhile");
}

/// The kubelet says when a container began.
#[test]
fn the_end_of_time_does_no_harm() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", None);
    sim.pod("a-0").containers[0].running = Some(Timestamp::MAX);
    assert!(!sim.plan().acts.contains(&Act::Look { pod: "a-0".into() }));
}

#[test]
fn an_early_pair_is_restarted_once_each_one_after_the_other() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", None);
    assert_eq!(sim.lacking(), ["a-0"]);
    assert_eq!(sim.waits("b-0"), Some("turn"));

    sim.pod("a-0").deleting = true;
    assert_eq!(sim.lacking(), [""; 0]);
    sim.pods.remove("a-0");
    assert_eq!(sim.lacking(), [""; 0], "gone and not back yet");
    sim.recreate("a-0", true);
    sim.pod("a-0").ready = false;
    assert_eq!(sim.lacking(), [""; 0], "back and not ready yet");
    sim.pod("a-0").ready = true;
    assert_eq!(sim.lacking(), ["b-0"]);

    sim.recreate("b-0", true);
    assert_eq!(sim.lacking(), [""; 0]);
    sim.pass(3600);
    assert_eq!(sim.lacking(), [""; 0]);
    let states = sim.plan().nodes;
    assert!(states.iter().all(|n| n.restarts == 1 && n.waits_for.is_none()), "{states:#?}");
}

#[test]
fn nothing_is_evicted_before_its_restart_is_saved() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", None);
    assert_eq!(sim.lacking(), ["a-0"]);
    sim.noted.clear();
    assert_eq!(evictions(&sim.plan()), [""; 0]);
}

#[test]
fn a_leader_that_remembers_nothing_but_the_book_goes_on_where_it_was() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", None);
    assert_eq!(sim.lacking(), ["a-0"]);
    sim.memory = Memory::default();
    assert_eq!(sim.lacking(), ["a-0"], "noted and not done: the same pod");
    let note = sim.book.restarts["a-0"].clone();
    assert_eq!((note.attempts, note.total), (1, 1), "not counted twice");

    sim.recreate("a-0", true);
    sim.memory = Memory::default();
    assert_eq!(sim.lacking(), ["b-0"], "done: never again");
}

#[test]
fn a_node_whose_process_has_the_variable_is_left_alone() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", Some("/dns/x"));
    assert_eq!(sim.settle(&Process::Has("/dns/old".into())), [""; 0]);
    let plan = sim.plan();
    assert_eq!(plan.nodes[0].variable, Some(VariableFrom::Process));
    assert_eq!(plan.nodes[1].variable, Some(VariableFrom::Spec));
}

#[test]
fn a_restart_rests_on_a_fresh_look() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", Some("/dns/x"));
    let plan = sim.plan();
    sim.carry_out(&plan, &Process::Lacks);
    assert_eq!(sim.settle(&Process::Has("/dns/b".into())), [""; 0], "it asked /gen after the first look");
}

#[test]
fn nobody_overtakes_a_node_that_is_being_looked_at() {
    let mut sim = Sim::pair();
    let uid = sim.start("a", None);
    sim.start("b", None);
    sim.learn("a-0");
    sim.learn("b-0");
    sim.pass(3);
    let look = Look { container: "container-2".into(), at: sim.now, process: Process::Lacks };
    sim.memory.trace_mut("uid-2").looked = Some(look);
    sim.memory.trace_mut(&uid).look.begin("container-1");
    assert_eq!((sim.waits("a-0"), sim.waits("b-0")), (Some("look"), Some("turn")));
}

#[test]
fn where_no_shell_can_look_the_spec_decides() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", Some("/dns/x"));
    assert_eq!(sim.settle(&Process::Unseen), ["a-0"]);
}

#[test]
fn a_look_that_fails_restarts_nobody() {
    let mut sim = Sim::pair();
    let uid = sim.start("a", None);
    sim.start("b", Some("/dns/x"));
    sim.learn("a-0");
    sim.learn("b-0");
    sim.pass(5);
    let pace = Pace { first: SignedDuration::from_secs(60), most: SignedDuration::from_secs(60) };
    let trace = sim.memory.trace_mut(&uid);
    trace.look.begin("container-1");
    trace.look.fail("forbidden".into(), sim.now, pace, 1.0);
    assert_eq!(evictions(&sim.plan()), [""; 0]);
    assert_eq!(sim.waits("a-0"), Some("look"));
}

#[test]
fn an_incomplete_group_is_restarted_once_it_has_settled() {
    let mut sim = Sim::new("mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}, {nodeName: missing}]}]");
    sim.start("a", None);
    sim.start("b", None);
    assert_eq!(sim.lacking(), [""; 0]);
    assert_eq!(sim.waits("a-0"), Some("group"));
    sim.pass(115);
    assert_eq!(sim.lacking(), [""; 0]);
    sim.pass(10);
    assert_eq!(sim.lacking(), ["a-0"]);
}

#[test]
fn the_plan_wakes_when_the_group_has_settled() {
    let mut sim = Sim::new(
        "mutualPeers: [{restart: {settle: 30s}, peers: [{nodeName: a}, {nodeName: b}, {nodeName: c}]}]",
    );
    sim.start("a", None);
    sim.start("b", None);
    sim.lacking();
    sim.lacking();
    let learned = sim.book.nodes["b-0"].learned;
    assert_eq!(sim.plan().wake, Some(learned + 30.seconds()));
}

#[test]
fn a_node_that_cannot_start_is_restarted_as_soon_as_a_peer_is_known() {
    let mut sim = Sim::new("mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}, {nodeName: missing}]}]");
    sim.start("a", Some("/dns/x"));
    sim.start("b", None);
    sim.crash("b-0", 1);
    let plan = sim.plan();
    assert!(plan.acts.contains(&Act::Probe { pod: "b-0".into(), lurk: true }));
    assert_eq!(sim.waits("b-0"), Some("peers"));
    sim.learn("a-0");
    assert_eq!(sim.lacking(), ["b-0"]);
}

#[test]
fn a_node_that_ends_after_a_long_run_is_not_one_that_cannot_start() {
    let mut sim = Sim::new("mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}, {nodeName: missing}]}]");
    sim.start("a", Some("/dns/x"));
    sim.start("b", None);
    sim.learn("a-0");
    sim.crash("b-0", 3600);
    assert_eq!(sim.lacking(), [""; 0]);
}

#[test]
fn who_has_no_owner_opted_out_or_is_told_so_is_never_restarted() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", Some("/dns/x"));
    sim.pod("a-0").owner = None;
    assert_eq!(sim.lacking(), [""; 0]);
    assert_eq!(sim.waits("a-0"), Some("owner"));
    sim.pod("a-0").owner = Some(Owner { kind: "Job".into(), name: "a".into(), ..Owner::default() });
    assert_eq!(sim.lacking(), [""; 0]);

    sim.start("a", None);
    sim.pod("a-0").opted_out = true;
    assert_eq!(sim.lacking(), [""; 0]);
    assert_eq!(sim.waits("a-0"), Some("optedOut"));

    sim.start("a", None);
    sim.config =
        config::parse("mutualPeers: [{restart: {when: []}, peers: [{nodeName: a}, {nodeName: b}]}]").unwrap();
    assert_eq!(sim.lacking(), [""; 0]);
    assert_eq!(sim.waits("a-0"), Some("restartOff"));
}

#[test]
fn a_budget_holds_one_node_and_not_its_group() {
    let mut sim = Sim::pair();
    let uid = sim.start("a", None);
    sim.start("b", None);
    assert_eq!(sim.lacking(), ["a-0"]);
    let pace = Pace { first: SignedDuration::from_secs(60), most: SignedDuration::from_secs(60) };
    let trace = sim.memory.trace_mut(&uid);
    trace.budget = true;
    trace.evict.fail("the budget".into(), sim.now, pace, 1.0);
    assert_eq!(sim.waits("a-0"), Some("podDisruptionBudget"));
    assert_eq!(sim.lacking(), ["b-0"]);
    assert_eq!(sim.plan().nodes[0].restarts, 0, "an intention is not a restart");
    sim.pod("b-0").deleting = true;
    sim.pass(120);
    assert_eq!(sim.lacking(), [""; 0], "allowed by now, but it is b's turn");
    sim.recreate("b-0", true);
    assert_eq!(sim.lacking(), ["a-0"]);
}

/// Found by tests/model.
#[test]
fn a_pod_that_leaves_long_after_its_note_holds_its_turn_from_then() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", None);
    assert_eq!(sim.lacking(), ["a-0"]);
    sim.pass(400);
    sim.pods.remove("a-0");
    assert_eq!(sim.lacking(), [""; 0], "a budget held it up for longer than a successor has");
    sim.pass(200);
    assert_eq!(sim.lacking(), [""; 0]);
    sim.recreate("a-0", false);
    assert_eq!(sim.lacking(), ["a-0"], "its backoff of a minute, from then on, has passed");
}

/// Found by tests/model: each waited for the other's turn.
#[test]
fn two_intentions_in_a_group_do_not_wait_for_each_other() {
    let mut sim = Sim::new(
        "mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}]}, {peers: [{nodeName: b}, {nodeName: c}]}]",
    );
    for set in ["a", "b", "c"] {
        sim.start(set, None);
    }
    assert_eq!(sim.lacking(), ["a-0", "c-0"]);
    sim.config =
        config::parse("mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}, {nodeName: c}]}]").unwrap();
    assert_eq!(sim.lacking(), ["a-0"], "the first of the configuration");
    sim.memory.trace_mut("uid-3").evict.begin("uid-3");
    assert_eq!(sim.lacking(), [""; 0], "but for one whose eviction is under way");
}

/// Found by tests/model: a new leader saw two intentions.
#[test]
fn who_waits_for_a_budget_is_noted_anew_after_the_next() {
    let mut sim = Sim::pair();
    let uid = sim.start("a", None);
    sim.start("b", None);
    assert_eq!(sim.lacking(), ["a-0"]);
    let pace = Pace { first: SignedDuration::from_secs(60), most: SignedDuration::from_secs(60) };
    sim.memory.not_evicted.insert(uid.clone());
    let trace = sim.memory.trace_mut(&uid);
    trace.budget = true;
    trace.evict.fail("the budget".into(), sim.now, pace, 1.0);
    assert_eq!(sim.lacking(), ["b-0"]);
    let note = &sim.book.restarts["a-0"];
    assert_eq!((note.uid.as_str(), note.attempts, note.total), ("", 0, 0));
    sim.memory = Memory::default();
    assert_eq!(sim.lacking(), ["b-0"]);
}

/// Found by tests/model: the other's turn came while this one was leaving.
#[test]
fn an_intention_is_not_withdrawn_while_its_eviction_may_have_been_carried_out() {
    for answered in [false, true] {
        let mut sim = Sim::pair();
        let uid = sim.start("a", None);
        sim.start("b", None);
        assert_eq!(sim.lacking(), ["a-0"]);
        let value = sim.value("a-0");
        let evict = &mut sim.memory.trace_mut(&uid).evict;
        evict.begin(&uid);
        if answered {
            evict.succeed(Some(sim.now + 60.seconds()));
        }
        sim.pass(6);
        let look = |at| Look { container: "container-1".into(), at, process: Process::Has(value.clone()) };
        sim.memory.trace_mut(&uid).looked = Some(look(sim.now));
        assert_eq!(sim.lacking(), [""; 0], "it may be leaving, unseen");
        assert_eq!(sim.book.restarts["a-0"].uid, uid);
        sim.memory.trace_mut(&uid).evict.succeed(None);
        assert_eq!(sim.lacking(), ["b-0"]);
    }
}

/// Found by tests/model: it may be gone already, by the eviction of another replica.
#[test]
fn an_intention_that_is_not_looked_at_yet_comes_before_the_others() {
    let mut sim = Sim::pair();
    let uid = sim.start("b", None);
    sim.start("a", Some("/dns/x"));
    assert_eq!(sim.lacking(), ["b-0"]);
    sim.start("a", None);
    sim.learn("a-0");
    sim.pass(10);
    let look = Look { container: "container-3".into(), at: sim.now, process: Process::Lacks };
    sim.memory.trace_mut("uid-3").looked = Some(look);
    sim.memory.trace_mut(&uid).look.begin("container-1");
    assert_eq!(evictions(&sim.plan()), [""; 0]);
    assert_eq!(sim.waits("a-0"), Some("turn"));
}

#[test]
fn a_pod_that_somebody_else_deleted_is_not_a_restart_of_ours() {
    let mut sim = Sim::pair();
    let uid = sim.start("a", None);
    sim.start("b", Some("/dns/x"));
    assert_eq!(sim.lacking(), ["a-0"]);
    sim.memory.not_evicted.insert(uid);
    sim.start("a", None);
    assert_eq!(sim.lacking(), ["a-0"], "no backoff");
    assert_eq!((sim.book.restarts["a-0"].attempts, sim.book.restarts["a-0"].total), (1, 1));
}

#[test]
fn what_stands_in_the_way_of_one_restart_keeps_the_order() {
    let mut sim = Sim::pair();
    let uid = sim.start("a", None);
    sim.start("b", None);
    assert_eq!(sim.lacking(), ["a-0"]);
    let pace = Pace { first: SignedDuration::from_secs(60), most: SignedDuration::from_secs(60) };
    sim.memory.trace_mut(&uid).evict.fail("no webhook".into(), sim.now, pace, 1.0);
    assert_eq!(sim.lacking(), [""; 0]);
    assert_eq!(sim.waits("a-0"), Some("obstacle"));
    assert_eq!(sim.waits("b-0"), Some("turn"));
}

#[test]
fn restarts_that_do_not_help_back_off_and_end() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", Some("/dns/x"));
    let mut restarts = Vec::new();
    for _ in 0..24 * 3600 / 10 {
        sim.pass(8);
        if !sim.lacking().is_empty() {
            restarts.push(sim.now);
            sim.recreate("a-0", false);
        }
    }
    assert_eq!(restarts.len(), MAX_ATTEMPTS as usize);
    let waits: Vec<i64> = restarts.windows(2).map(|w| w[1].duration_since(w[0]).as_secs() / 60).collect();
    assert_eq!(waits, [1, 2, 4, 8]);
    assert_eq!(sim.waits("a-0"), Some("gaveUp"));

    sim.recreate("a-0", true);
    sim.lacking();
    assert_eq!(sim.book.restarts["a-0"].attempts, 0, "it helped in the end");
}

#[test]
fn a_successor_that_will_not_be_ready_does_not_hold_the_others_up() {
    for stuck in [true, false] {
        let mut sim = Sim::pair();
        sim.start("a", None);
        sim.start("b", None);
        assert_eq!(sim.lacking(), ["a-0"]);
        sim.recreate("a-0", true);
        sim.pod("a-0").ready = false;
        assert_eq!(sim.lacking(), [""; 0]);
        if stuck {
            sim.crash("a-0", 1);
        } else {
            sim.pass(301);
        }
        assert_eq!(sim.lacking(), ["b-0"]);
    }
}

#[test]
fn nodes_of_overlapping_groups_take_turns() {
    let mut sim = Sim::new(
        "mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}]}, {peers: [{nodeName: b}, {nodeName: c}]}, {peers: [{nodeName: d}, {nodeName: e}]}]",
    );
    for set in ["a", "b", "c", "d"] {
        sim.start(set, None);
    }
    sim.services.insert("e".into());
    assert_eq!(sim.lacking(), ["a-0", "c-0"], "a and c share no group; e is not there");
    sim.recreate("a-0", true);
    assert_eq!(sim.lacking(), ["c-0"], "b waits for c too");
}

#[test]
fn a_changed_key_replaces_the_address_and_restarts_nobody() {
    let mut sim = Sim::pair();
    sim.start("a", Some("/dns/x"));
    sim.start("b", Some("/dns/x"));
    sim.lacking();
    let before = sim.value("b-0");
    sim.start("a", Some("/dns/x"));
    let plan = sim.plan();
    assert!(plan.acts.contains(&Act::Probe { pod: "a-0".into(), lurk: false }), "a new container is probed");
    let pod = Pod::clone(&sim.pods["a-0"]);
    let settings = sim.config.settings(pod.who()).unwrap();
    let known = sim.book.nodes["a-0"].clone();
    let address = address(&pod, settings, &sim.services, &PEERS[3].parse().unwrap());
    let container = pod.containers[0].id.clone().unwrap();
    sim.book.nodes.insert("a-0".into(), Known { address, container, learned: sim.now, ..known });
    assert_ne!(sim.value("b-0"), before);
    assert!(sim.plan().acts.contains(&Act::Deliver { pod: "b-0".into() }), "its peer's file follows");
    assert_eq!(sim.lacking(), [""; 0]);
}

#[test]
fn a_partial_or_changed_list_restarts_only_who_asked_for_it() {
    let config = |when: &str| {
        format!(
            "mutualPeers: [{{restart: {{when: [{when}]}}, peers: [{{nodeName: a}}, {{nodeName: b}}, {{nodeName: c}}]}}]"
        )
    };
    for (when, old, expected) in [
        ("early", "partial", vec![]),
        ("early, partial", "partial", vec!["a-0"]),
        ("early, partial", "changed", vec![]),
        ("early, changed", "changed", vec!["a-0"]),
        ("early, changed", "partial", vec![]),
    ] {
        let mut sim = Sim::new(&config(when));
        for set in ["a", "b", "c"] {
            sim.start(set, Some(""));
            sim.learn(&format!("{set}-0"));
        }
        for name in ["a-0", "b-0", "c-0"] {
            let whole = sim.value(name);
            sim.pod(name).containers[0].variable = Some(whole);
        }
        let whole = sim.value("a-0");
        let part = whole.split(',').next().unwrap().to_owned();
        sim.pod("a-0").containers[0].variable =
            Some(if old == "partial" { part } else { "/dns/other".into() });
        assert_eq!(sim.lacking(), expected, "{when}: {old}");
    }
}

#[test]
fn who_has_the_variable_and_lacks_a_peer_is_told_which() {
    let mut sim = Sim::new("mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}, {nodeName: c}]}]");
    sim.start("a", Some(""));
    for set in ["b", "c"] {
        sim.start(set, None);
        sim.learn(&format!("{set}-0"));
    }
    let whole = sim.value("a-0");
    let (known, lacked) = whole.split_once(',').unwrap();
    sim.pod("a-0").containers[0].variable = Some(known.into());
    let lacks: Vec<_> = sim.plan().nodes.into_iter().map(|node| node.lacks).collect();
    assert_eq!(lacks, [vec![lacked.parse().unwrap()], vec![], vec![]], "b and c have no variable at all");
    sim.pod("a-0").containers[0].variable = Some(whole);
    assert_eq!(sim.plan().nodes[0].lacks, []);
}

#[test]
fn a_restart_that_brings_an_old_value_backs_off_as_well() {
    let mut sim =
        Sim::new("mutualPeers: [{restart: {when: [early, changed]}, peers: [{nodeName: a}, {nodeName: b}]}]");
    sim.start("b", Some("/dns/own"));
    sim.pod("b-0").injected = false;
    sim.start("a", Some("/dns/old"));
    let mut restarts = 0;
    for _ in 0..2000 {
        sim.pass(8);
        let evicted = sim.lacking();
        assert!(evicted.iter().all(|pod| pod == "a-0"), "an author's own value is no reason");
        if !evicted.is_empty() {
            restarts += 1;
            sim.start("a", Some("/dns/old"));
        }
    }
    assert_eq!(restarts, MAX_ATTEMPTS);
}

#[test]
fn no_time_in_the_book_stops_the_work() {
    for at in [Timestamp::MIN, Timestamp::MAX] {
        let mut sim = Sim::pair();
        sim.start("a", None);
        sim.start("b", None);
        sim.lacking();
        for restart in sim.book.restarts.values_mut() {
            *restart = Restart { at, uid: "gone".into(), ..restart.clone() };
        }
        for known in sim.book.nodes.values_mut() {
            known.learned = at;
        }
        let mut evicted = Vec::new();
        for _ in 0..40 {
            sim.pass(8);
            evicted = sim.lacking();
        }
        assert!(!evicted.is_empty(), "{at}");
    }
}

/// Two nodes without a claim: whoever is restarted has another key, so the other's variable is wrong.
#[test]
fn nodes_that_change_with_every_restart_do_not_restart_each_other_for_ever() {
    let mut sim =
        Sim::new("mutualPeers: [{restart: {when: [early, changed]}, peers: [{nodeName: a}, {nodeName: b}]}]");
    sim.start("a", Some("/dns/old"));
    sim.start("b", Some("/dns/old"));
    let mut evictions = 0;
    for n in 0..2000 {
        sim.pass(3);
        for name in sim.lacking() {
            evictions += 1;
            sim.recreate(&name, true);
            let known = sim.book.nodes[&name].clone();
            let host = format!("{}-{n}", name.trim_end_matches("-0"));
            let address = Address::of(&host, 2121, &known.address.peer());
            sim.config = config::parse(&format!(
                "mutualPeers: [{{restart: {{when: [early, changed]}}, peers: [{{nodeName: a}}, {{nodeName: b}}]}}, {{peers: [{{nodeName: x{n}}}]}}]"
            ))
            .unwrap();
            let container = sim.pods[&name].containers[0].id.clone().unwrap();
            sim.services.clear();
            sim.pod(&name).subdomain = Some(host);
            sim.book.nodes.insert(name, Known { address, container, learned: sim.now, ..known });
        }
    }
    assert!((3..=2 * MAX_ATTEMPTS).contains(&evictions), "{evictions}");
}

#[test]
fn an_intention_is_withdrawn_when_the_node_helped_itself() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.start("b", Some("/dns/x"));
    assert_eq!(sim.lacking(), ["a-0"]);
    let value = sim.value("a-0");
    sim.pass(10);
    assert_eq!(sim.settle(&Process::Has(value)), [""; 0]);
    let note = &sim.book.restarts["a-0"];
    assert_eq!((note.uid.as_str(), note.attempts, note.total), ("", 0, 0));
}

#[test]
fn the_host_is_the_first_that_resolves() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    let services = |names: &[&str]| names.iter().map(|s| s.to_string()).collect::<BTreeSet<_>>();
    let mut settings = Settings::clone(&sim.config.groups[0].peers[0].settings);
    let pod = Pod::clone(&sim.pods["a-0"]);
    assert_eq!(host(&pod, &settings, &services(&["a-0", "a"])), ("a-0".into(), true));
    assert_eq!(host(&pod, &settings, &services(&["a"])), ("a-0.a".into(), true));
    assert_eq!(host(&pod, &settings, &services(&[])), ("a-0.a".into(), false));
    let plain = Pod { subdomain: None, ..pod.clone() };
    assert_eq!(host(&plain, &settings, &services(&["a"])), ("a".into(), true));
    assert_eq!(host(&plain, &settings, &services(&[])), ("a-0".into(), false));
    settings.host = Some("{pod}.da.svc".into());
    assert_eq!(host(&pod, &settings, &services(&["a-0"])), ("a-0.da.svc".into(), true));
}

#[test]
fn an_address_follows_its_host_and_who_is_not_meant_is_forgotten() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.learn("a-0");
    sim.services.insert("a-0".into());
    sim.plan();
    assert!(sim.book.nodes["a-0"].address.as_str().starts_with("/dns/a-0/tcp/"));
    sim.pods.clear();
    sim.plan();
    assert!(sim.book.nodes.contains_key("a-0"), "its peers need it while it is away");
    sim.config = config::parse("mutualPeers: [{peers: [{nodeName: b}]}]").unwrap();
    sim.plan();
    assert!(sim.book.nodes.is_empty());
}

#[test]
fn a_deployments_pod_is_forgotten_when_it_is_gone() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    let mut pod = sim.pods.remove("a-0").unwrap();
    pod.name = "a-954fb5869-x2x5z".into();
    pod.owner = Some(Owner { kind: "ReplicaSet".into(), name: "a-954fb5869".into(), ..Owner::default() });
    sim.pods.insert(pod.name.clone(), pod.clone());
    sim.learn(&pod.name);
    sim.plan();
    assert!(sim.book.nodes.contains_key(&pod.name));
    sim.pods.clear();
    sim.plan();
    assert!(sim.book.nodes.is_empty());
}

#[test]
fn a_fixed_address_is_known_without_a_pod() {
    let fixed = format!("/dns/far.example/tcp/2121/p2p/{}", PEERS[0]);
    let mut sim = Sim::new(&format!(
        "mutualPeers: [{{peers: [{{nodeName: a}}, {{nodeName: far, probe: [{{address: {fixed}}}]}}]}}]"
    ));
    sim.start("a", None);
    assert_eq!(sim.lacking(), ["a-0"]);
    assert_eq!(sim.value("a-0"), fixed);
}

#[test]
fn a_node_that_cannot_be_learned_says_why_before_anything_else() {
    let mut sim = Sim::pair();
    let uid = sim.start("a", None);
    sim.start("b", Some("/dns/x"));
    sim.learn("b-0");
    let pace = Pace { first: SignedDuration::from_secs(60), most: SignedDuration::from_secs(60) };
    let probe = &mut sim.memory.trace_mut(&uid).probe;
    probe.begin("container-1");
    probe.fail("dial: refused".into(), sim.now, pace, 1.0);
    let state = sim.plan().nodes.remove(0);
    assert_eq!(state.waits_for, Some(Wait::Address { why: Some("dial: refused".into()) }));
}

#[test]
fn a_node_without_its_container_or_pod_says_so() {
    let mut sim = Sim::pair();
    sim.start("a", None);
    sim.pod("a-0").containers[0].name = "other".into();
    assert_eq!(sim.lacking(), [""; 0]);
    assert_eq!(sim.waits("a-0"), Some("container"));
    assert_eq!(sim.waits("b"), Some("pod"));
}

#[test]
fn a_look_before_the_next_try_is_not_what_a_node_waits_for() {
    let mut sim = Sim::pair();
    for set in ["a", "b"] {
        sim.start(set, None);
        sim.learn(&format!("{set}-0"));
    }
    assert_eq!(sim.lacking(), ["a-0"]);
    let (uid, _) = sim.ids("a-0");
    let trace = sim.memory.trace_mut(&uid);
    (trace.budget, trace.evict.error) = (true, Some("it would violate the budget".into()));
    sim.pass(60);
    let looks = |plan: &Plan| plan.acts.contains(&Act::Look { pod: "a-0".into() });
    assert!(looks(&sim.plan()));
    assert_eq!((sim.waits("a-0"), sim.waits("b-0")), (Some("podDisruptionBudget"), Some("turn")));
}

#[test]
fn a_node_whose_container_never_started_waits_for_that() {
    let mut sim = Sim::pair();
    sim.start("a", Some("x"));
    sim.learn("a-0");
    let container = &mut sim.pod("a-0").containers[0];
    (container.id, container.running) = (None, None);
    assert_eq!(sim.waits("a-0"), Some("start"));
}

#[test]
fn a_container_that_is_meant_no_more_says_nothing_of_the_one_that_is() {
    let mut sim = Sim::pair();
    for set in ["a", "b"] {
        sim.start(set, Some("x"));
        sim.learn(&format!("{set}-0"));
    }
    sim.settle(&Process::Lacks);
    let file = |sim: &mut Sim| sim.plan().nodes.remove(0).file;
    assert_eq!((sim.waits("a-0"), file(&mut sim)), (None, Some(Delivery::Written)));
    sim.pod("a-0").containers[0].name = "other".into();
    assert_eq!((sim.waits("a-0"), file(&mut sim)), (Some("container"), None));
}

/// How long a plan takes: the shortest of some times, since the machine does other things as well.
fn time_of_a_plan(mut sim: Sim) -> Duration {
    let nodes = sim.pods.len();
    let time = |_| {
        let begun = Instant::now();
        assert_eq!(sim.plan().nodes.len(), nodes);
        begun.elapsed()
    };
    (0..4).map(time).min().expect("there are four")
}

/// A group of so many, all of them early and known.
fn of_one_group(size: usize) -> Sim {
    let peers: Vec<String> = (0..size).map(|n| format!("{{nodeName: node-{n}}}")).collect();
    let mut sim = Sim::new(&format!("mutualPeers: [{{peers: [{}]}}]", peers.join(", ")));
    for n in 0..size {
        let set = format!("node-{n}");
        sim.start(&set, None);
        sim.learn(&format!("{set}-0"));
    }
    sim
}

#[test]
fn the_work_for_a_group_grows_no_faster_than_its_pairs() {
    let (few, many) = (time_of_a_plan(of_one_group(50)), time_of_a_plan(of_one_group(400)));
    assert!(many < few * 8 * 8 * 3, "{few:?} for 50, {many:?} for 400");
}

/// So many nodes in groups of five, each with the one node that all groups share.
fn with_a_hub(nodes: usize) -> Sim {
    let group = |first: usize| {
        let own: Vec<_> = (first..first + 4).map(|n| format!("{{nodeName: n{n}}}")).collect();
        format!("{{peers: [{{nodeName: hub}}, {}]}}", own.join(", "))
    };
    let groups: Vec<_> = (0..nodes).step_by(4).map(group).collect();
    let mut sim = Sim::new(&format!("mutualPeers: [{}]", groups.join(", ")));
    for node in 0..nodes {
        sim.start(&format!("n{node}"), None);
    }
    sim.start("hub", None);
    let pods: Vec<String> = sim.pods.keys().cloned().collect();
    pods.iter().for_each(|pod| sim.learn(pod));
    for pod in sim.pods.values() {
        let restart = Restart {
            pod: pod.name.clone(),
            workload: pod.workload.clone(),
            uid: pod.uid.clone(),
            at: sim.now,
            left: None,
            refresh: false,
            attempts: 1,
            total: 1,
        };
        sim.book.restarts.insert(pod.name.clone(), restart);
    }
    sim
}

#[test]
fn a_large_mesh_costs_as_much_more_as_it_is_larger() {
    let (few, many) = (time_of_a_plan(with_a_hub(200)), time_of_a_plan(with_a_hub(3200)));
    assert!(many < few * 16 * 4, "{few:?} for 200, {many:?} for 3,200");
}

#[test]
fn of_many_that_are_missing_some_are_named() {
    let peers: Vec<_> = (0..14).map(|n| format!("{{nodeName: n{n}}}")).collect();
    let mut sim = Sim::new(&format!("mutualPeers: [{{peers: [{}]}}]", peers.join(", ")));
    for set in ["n0", "n1"] {
        sim.start(set, None);
        sim.learn(&format!("{set}-0"));
    }
    let plan = sim.plan();
    sim.pass(2);
    sim.carry_out(&plan, &Process::Lacks);
    let waits = sim.plan().nodes[0].waits_for.as_ref().map(Wait::to_string).unwrap();
    assert!(waits.contains("(n2, n3, n4, n5, n6, n7, n8, n9, n10, n11 and 2 more not known)"), "{waits}");
}
