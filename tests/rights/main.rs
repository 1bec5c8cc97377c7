//! What the ServiceAccounts called `torch` were allowed on the test bed since a moment, by the API server's
//! audit log, against what `deploy/` grants: fails where something is granted that nobody has used.
//!
//! The argument is that moment, as `date -u +%FT%TZ` prints it.

#![allow(dead_code, reason = "the end-to-end tests' parts can do more than is needed here")]

#[path = "../e2e/kubectl.rs"]
mod kubectl;

mod granted;
mod used;

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;

use granted::Right;
use used::Log;

fn main() -> ExitCode {
    let since = env::args().nth(1).expect("usage: rights SINCE");
    let granted = granted::all();
    let log = Log::read(&since, &granted.bindings);
    let granted = &granted.rights;
    let uses: BTreeMap<&Right, u64> = granted.iter().map(|right| (right, log.uses(right))).collect();

    for (right, uses) in &uses {
        println!("{uses:>8}  {right}");
    }
    for (what, times) in &log.refused {
        println!(" refused  {what} ({times} times)");
    }
    let unused: Vec<&Right> = uses.iter().filter(|(_, uses)| **uses == 0).map(|(right, _)| *right).collect();
    for right in &unused {
        println!("  UNUSED  {right}");
    }
    println!(
        "rights: {} granted, {} used, {} unused; {} calls by them of {} Torches, {} kinds of calls refused",
        granted.len(),
        granted.len() - unused.len(),
        unused.len(),
        uses.values().sum::<u64>(),
        log.accounts.len(),
        log.refused.len(),
    );
    if unused.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
