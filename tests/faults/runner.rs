//! Trying the faults, some at once, and what is said at the end.

use std::collections::VecDeque;
use std::env;
use std::process::ExitCode;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use crate::report;

/// How many are tried at once: each has a Torch and some nodes on this machine.
const AT_ONCE: usize = 6;

/// Something to go wrong.
pub struct Fault {
    name: String,
    try_it: Box<dyn Fn() + Send + Sync>,
}

impl Fault {
    pub fn new(name: impl Into<String>, try_it: impl Fn() + Send + Sync + 'static) -> Self {
        Self { name: name.into(), try_it: Box::new(try_it) }
    }

    /// What panics in it is told by the panic itself.
    fn run(&self) {
        eprintln!("{}: begins", self.name);
        let begun = Instant::now();
        let done = thread::scope(|scope| scope.spawn(|| (self.try_it)()).join());
        let end = if done.is_ok() { "done" } else { "FAILED" };
        eprintln!("{}: {end} after {:.0} s", self.name, begun.elapsed().as_secs_f64());
        if done.is_err() {
            report::add_failed(self.name.clone());
        }
    }
}

/// Tries the wanted ones of them: `together` some at once, then `alone` one after the other.
pub fn run(together: Vec<Fault>, alone: Vec<Fault>) -> ExitCode {
    let wanted: Vec<String> = env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let is_wanted = |fault: &Fault| wanted.is_empty() || wanted.iter().any(|w| fault.name.contains(w));

    let queue = Mutex::new(together.into_iter().filter(is_wanted).collect::<VecDeque<_>>());
    let next = || queue.lock().expect("no panic holds this lock").pop_front();
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(fault) = next() {
                    fault.run();
                }
            });
        }
    });
    for fault in alone.iter().filter(|fault| is_wanted(fault)) {
        fault.run();
    }
    report::print()
}
