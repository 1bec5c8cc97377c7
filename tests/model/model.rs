//! What may happen next, and what becomes of it.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use stateright::Property;

use crate::admits::Admits;
use crate::config::{self, Config};
use crate::faults::Fault;
use crate::mutations::Mutation;
use crate::real::{Names, pod_name};
use crate::scenarios::Scenario;
use crate::state::{Book, Each, History, Node, Phase, Replica, Secs, State};
use crate::{cluster, properties, replica, time, torch};

/// A scenario, ready to be explored.
pub struct Model {
    pub scenario: Scenario,
    pub configs: Vec<Config>,
    pub names: Names,
    pub mutation: Option<Mutation>,
    /// The states of which it is known that they end well.
    pub well: RwLock<HashSet<u64>>,
    /// What came of a leader's work, as often as it had the same before it.
    pub worked: RwLock<HashMap<u64, Arc<torch::Worked>>>,
    /// Whether a rule was found broken.
    pub found: AtomicBool,
    admits: Admits,
}

/// One step of somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The StatefulSet creates the pod; who answers the admission review gives it the variable, or nobody does.
    Create { node: usize, variable: bool },
    /// The container starts.
    Start(usize),
    /// The container starts again.
    StartAgain(usize),
    /// The pod is gone.
    Vanish(usize),
    /// A replica's watch shows the pod as it is now.
    See { replica: usize, node: usize },
    /// A replica's watch shows the book as it is now.
    ReadBook(usize),
    /// A replica takes up the configuration that is mounted.
    TakeConfig(usize),
    /// A replica takes the lease.
    Lead(usize),
    /// A replica notices that it lost the lease.
    Resign(usize),
    /// A leader plans and begins what is due.
    Work(usize),
    /// A leader saves its book.
    Save(usize),
    /// An eviction reaches the API server.
    Arrive(usize),
    /// Its answer reaches the leader.
    Answer(usize),
    /// Nothing happens until a leader's plan is due again.
    Pass,
    /// The webhook can be reached again.
    WebhookBack,
    /// Something goes wrong.
    Fault(Fault, usize),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let pod = |n: &usize| pod_name(*n);
        match self {
            Self::Create { node, variable: true } => write!(f, "{} is created, with the variable", pod(node)),
            Self::Create { node, variable: false } => {
                write!(f, "{} is created, without the variable", pod(node))
            }
            Self::Start(n) => write!(f, "{} starts", pod(n)),
            Self::StartAgain(n) => write!(f, "{} starts again", pod(n)),
            Self::Vanish(n) => write!(f, "{} is gone", pod(n)),
            Self::See { replica, node } => write!(f, "torch-{replica} sees {} as it is", pod(node)),
            Self::ReadBook(r) => write!(f, "torch-{r} sees the book as it is"),
            Self::TakeConfig(r) => write!(f, "torch-{r} takes up the configuration"),
            Self::Lead(r) => write!(f, "torch-{r} takes the lease"),
            Self::Resign(r) => write!(f, "torch-{r} notices that it lost the lease"),
            Self::Work(r) => write!(f, "torch-{r} plans, and begins what is due"),
            Self::Save(r) => write!(f, "torch-{r} saves its book"),
            Self::Arrive(c) => write!(f, "eviction {c} reaches the API server"),
            Self::Answer(c) => write!(f, "the answer to eviction {c} reaches Torch"),
            Self::Pass => write!(f, "time passes until the plan is due"),
            Self::WebhookBack => write!(f, "the webhook can be reached again"),
            Self::Fault(fault, i) => write!(f, "FAULT: {fault:?} {i}"),
        }
    }
}

impl Model {
    pub fn new(scenario: Scenario, mutation: Option<Mutation>) -> Self {
        let configs: Vec<Config> =
            scenario.configs.iter().map(|text| config::parse(text).expect("a good one")).collect();
        let names = Names::new();
        let admits = Admits::new(&configs, &names, scenario.nodes);
        Self {
            scenario,
            configs,
            names,
            mutation,
            well: RwLock::default(),
            worked: RwLock::default(),
            found: AtomicBool::new(false),
            admits,
        }
    }

    /// Torch leads and has seen what there is: nothing, or nodes that are there already and run.
    fn start(&self) -> State {
        let node = Node { pod: None, made: 0, key: 0, history: History::default() };
        let mut nodes = vec![node; self.scenario.nodes];
        if self.scenario.nodes_first {
            nodes.iter_mut().for_each(|node| cluster::create(node, false));
        }
        let replica = |r: usize| Replica {
            config: 0,
            seen: Book::default(),
            current: true,
            book: Book::default(),
            sent: Each::default(),
            reign: (r == 0).then(|| replica::reign(&nodes)),
        };
        let mut s = State {
            replicas: (0..self.scenario.replicas).map(replica).collect(),
            nodes: nodes.clone(),
            webhook: true,
            config: 0,
            stored: Book::default(),
            lease: Some(0),
            calls: Vec::new(),
            faults: self.scenario.faults,
            broken: None,
        };
        if self.scenario.nodes_first {
            for n in 0..nodes.len() {
                cluster::start(self, &mut s, n);
                replica::see(&mut s, 0, n);
            }
        }
        s
    }

    /// What happens where nothing goes wrong.
    pub fn progress(&self, s: &State, actions: &mut Vec<Action>) {
        for n in 0..s.nodes.len() {
            self.progress_of_node(s, n, actions);
        }
        for r in 0..s.replicas.len() {
            progress_of_replica(s, r, actions);
        }
        for (c, call) in s.calls.iter().enumerate() {
            match call.answer {
                None => actions.push(Action::Arrive(c)),
                Some(_) if call.from == s.lease => actions.push(Action::Answer(c)),
                Some(_) => {}
            }
        }
    }

    fn progress_of_node(&self, s: &State, node: usize, actions: &mut Vec<Action>) {
        let Some(pod) = &s.nodes[node].pod else {
            for variable in [false, true] {
                if self.may_be_admitted(s, node, variable) {
                    actions.push(Action::Create { node, variable });
                }
            }
            return;
        };
        if pod.deleting {
            actions.push(Action::Vanish(node));
        } else if pod.container.phase == Phase::Waiting {
            actions.push(Action::Start(node));
        } else if pod.container.phase == Phase::Down && cluster::can_run(self, pod, node) {
            actions.push(Action::StartAgain(node));
        }
    }

    /// Any replica may be asked; nobody, while the webhook cannot be reached.
    fn may_be_admitted(&self, s: &State, node: usize, variable: bool) -> bool {
        if !s.webhook {
            return !variable;
        }
        s.replicas.iter().any(|r| self.admits.variable(r.config, node, &r.book) == variable)
    }

    /// Whether nothing can happen but that time passes.
    fn rests(&self, s: &State) -> bool {
        let mut actions = Vec::new();
        self.progress(s, &mut actions);
        let (work, other): (Vec<_>, Vec<_>) = actions.into_iter().partition(|a| matches!(a, Action::Work(_)));
        other.is_empty() && work.into_iter().all(|a| self.apply(s, a).is_none())
    }

    /// The state after an action; `None` where nothing changes.
    pub fn apply(&self, s: &State, action: Action) -> Option<State> {
        let mut next = s.clone();
        match action {
            Action::Create { node, variable } => cluster::create(&mut next.nodes[node], variable),
            Action::Start(n) | Action::StartAgain(n) => cluster::start(self, &mut next, n),
            Action::Vanish(n) => next.nodes[n].pod = None,
            Action::See { replica, node } => replica::see(&mut next, replica, node),
            Action::ReadBook(r) => replica::read_book(self, &mut next, r),
            Action::TakeConfig(r) => next.replicas[r].config = next.config,
            Action::Lead(r) => replica::lead(&mut next, r),
            Action::Resign(r) => replica::resign(&mut next, r),
            Action::Work(r) => {
                torch::work(self, &mut next, r);
            }
            Action::Save(r) => replica::save(&mut next, r),
            Action::Arrive(c) => cluster::arrive(self, &mut next, c),
            Action::Answer(c) => cluster::answer(&mut next, c),
            Action::Pass => time::advance(&mut next, self.next_wake(s)?),
            Action::WebhookBack => next.webhook = true,
            Action::Fault(fault, i) => Self::fault(&mut next, fault, i),
        }
        time::cut_off_ages(&mut next, self.scenario.nodes);
        (next != *s).then_some(next)
    }

    fn next_wake(&self, s: &State) -> Option<Secs> {
        let leaders = (0..s.replicas.len()).filter(|&r| s.replicas[r].reign.is_some());
        leaders.filter_map(|r| torch::work(self, &mut s.clone(), r)).min()
    }

    /// The state after something has gone wrong.
    fn fault(s: &mut State, fault: Fault, i: usize) {
        let before = s.clone();
        fault.happen(s, i);
        if *s != before {
            s.faults -= 1;
        }
    }
}

impl stateright::Model for Model {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.start()]
    }

    fn actions(&self, s: &State, actions: &mut Vec<Action>) {
        if self.found.load(Ordering::Relaxed) {
            return;
        }
        self.progress(s, actions);
        if self.rests(s) {
            actions.push(Action::Pass);
        }
        if !s.webhook {
            actions.push(Action::WebhookBack);
        }
        if s.faults > 0 {
            let places = |&fault: &Fault| (0..fault.places(s)).map(move |i| Action::Fault(fault, i));
            actions.extend(self.scenario.may.iter().flat_map(places));
        }
    }

    fn next_state(&self, s: &State, action: Action) -> Option<State> {
        self.apply(s, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        properties::all()
    }
}

fn progress_of_replica(s: &State, r: usize, actions: &mut Vec<Action>) {
    let replica = &s.replicas[r];
    let holds_lease = s.lease == torch::index(r);
    let leads = replica.reign.is_some();
    // Who lost the lease without noticing it stood still meanwhile: by its own clock the lease had ended in time.
    // It may still act on what it saw before.
    if holds_lease || !leads {
        if !replica.current {
            actions.push(Action::ReadBook(r));
        }
        if replica.config != s.config {
            actions.push(Action::TakeConfig(r));
        }
    } else {
        actions.push(Action::Resign(r));
    }
    let Some(reign) = &replica.reign else {
        if holds_lease || s.lease.is_none() {
            actions.push(Action::Lead(r));
        }
        return;
    };
    if holds_lease {
        let stale = (0..s.nodes.len()).filter(|&n| reign.view[n] != replica::seen(s.nodes[n].pod.as_ref()));
        actions.extend(stale.map(|node| Action::See { replica: r, node }));
    }
    if replica.current && replica.book != replica.seen {
        actions.push(Action::Save(r));
    }
    actions.push(Action::Work(r));
}
