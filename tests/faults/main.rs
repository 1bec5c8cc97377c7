//! Faults on the real cluster of `KUBECONFIG`, which must be that of `tests/cluster/up` on this machine:
//! daemons are killed, and processes of Torch.
//!
//! Of each fault it is counted from the UIDs of pods that no node was restarted once too often, from the
//! address book that no address was lost, and measured how soon all was right again. Arguments are the
//! names of the faults to try, or parts of them; without any, all are tried. `soak` tries random ones for a
//! long time.

use std::env;
use std::process::ExitCode;

#[path = "../e2e/bed.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod bed;
#[path = "../e2e/kubectl.rs"]
mod kubectl;
#[path = "../e2e/node.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod node;
#[path = "../e2e/pods.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod pods;
#[path = "../e2e/review.rs"]
mod review;
#[path = "../e2e/shell.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod shell;
#[path = "../e2e/torch.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod torch;
#[path = "../e2e/wait.rs"]
#[allow(dead_code, reason = "the end-to-end tests use the rest")]
mod wait;

mod account;
mod component;
mod direct;
mod events;
mod report;
mod rights;
mod runner;
mod signals;
mod soak;
mod trouble;

mod of_containers;
mod of_the_cluster;
mod of_the_role;
mod of_the_webhook;
mod of_torch;

use runner::Fault;

fn main() -> ExitCode {
    if env::args().nth(1).is_some_and(|argument| argument == "soak") {
        return soak::run();
    }
    let mut together = vec![
        Fault::new("webhook", of_the_webhook::without_endpoints),
        Fault::new("no-policy", of_the_webhook::without_endpoints_and_policy),
        Fault::new("oom", of_containers::oom_killed),
        Fault::new("crash-loop", of_containers::crash_loops),
        Fault::new("claim", of_containers::claim_cannot_be_mounted),
        Fault::new("exec-hangs", of_containers::exec_hangs),
    ];
    together.extend(of_torch::faults());
    together.extend(of_the_role::faults());
    // These hit every namespace.
    let alone = vec![
        Fault::new("api-server", of_the_cluster::api_server_away),
        Fault::new("kubelet", of_the_cluster::kubelet_stopped),
        Fault::new("dns", of_the_cluster::dns_away),
    ];
    runner::run(together, alone)
}
