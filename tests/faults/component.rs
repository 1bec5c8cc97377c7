//! The daemons of the test bed's cluster.

use std::process::Command;

use crate::kubectl;
use crate::wait::{SOON, eventually};

/// What else waits for the API server, for half a minute and more once it has failed for long: in a cluster
/// of more than one API server nobody would, and what is measured is Torch.
const CLIENTS: [&str; 2] = ["controllers", "scheduler"];

/// Kills a daemon.
#[track_caller]
pub fn stop(name: &str) {
    run("stop", name);
}

/// Starts it again.
#[track_caller]
pub fn start(name: &str) {
    run("start", name);
}

/// A daemon that is stopped; started again in any case, since others need it.
pub struct Stopped(&'static str);

impl Stopped {
    #[track_caller]
    pub fn new(name: &'static str) -> Self {
        stop(name);
        Self(name)
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        start(self.0);
        if self.0 == "apiserver" {
            eventually("the API server is back", SOON, || {
                kubectl::attempt(&["get", "--raw", "/readyz"], None)
            });
            CLIENTS.iter().for_each(|client| run("restart", client));
        }
    }
}

#[track_caller]
fn run(action: &str, name: &str) {
    let done = Command::new("tests/cluster/component").args([action, name]).status();
    assert!(done.is_ok_and(|status| status.success()), "cannot {action} {name}");
}
