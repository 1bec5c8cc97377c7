//! What was seen of the faults, as a table and in one line.

use std::process::ExitCode;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// What was seen of one fault.
pub struct Seen {
    /// What went wrong.
    pub fault: String,
    /// What could be seen of it, and what Torch did.
    pub what: String,
    /// How long it took until all was right again, once what was wrong was mended.
    pub again: Duration,
    /// How long that may take.
    pub within: Duration,
    /// Pods that ran without the variable.
    pub early: usize,
    /// How many nodes Torch restarted.
    pub restarts: usize,
    /// Addresses that the book lost.
    pub lost: usize,
}

/// All of them, as they come.
static REPORT: Mutex<Report> = Mutex::new(Report { seen: Vec::new(), failed: Vec::new() });

struct Report {
    seen: Vec<Seen>,
    failed: Vec<String>,
}

/// A fault was tried, and ended well.
pub fn add(seen: Seen) {
    locked().seen.push(seen);
}

/// A fault was tried, and did not.
pub fn add_failed(name: String) {
    locked().failed.push(name);
}

/// Prints all that was seen.
pub fn print() -> ExitCode {
    locked().print()
}

fn locked() -> MutexGuard<'static, Report> {
    REPORT.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

impl Report {
    fn print(&self) -> ExitCode {
        println!("| fault | what was seen | early nodes | restarts | lost addresses | right again after |");
        println!("|---|---|---|---|---|---|");
        for Seen { fault, what, again, within, early, restarts, lost } in &self.seen {
            let (again, within) = (again.as_secs_f64(), within.as_secs());
            println!(
                "| {fault} | {what} | {early} | {restarts} | {lost} | {again:.1} s (at most {within} s) |"
            );
        }
        if !self.failed.is_empty() {
            println!("FAILED: {}", self.failed.join(", "));
        }
        println!("{}", self.line());
        let is_well = self.failed.is_empty() && !self.seen.is_empty();
        if is_well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
    }

    fn line(&self) -> String {
        let extra: usize = self.seen.iter().map(|s| s.restarts.saturating_sub(s.early)).sum();
        let lost: usize = self.seen.iter().map(|s| s.lost).sum();
        let slowest = self.seen.iter().max_by_key(|s| s.again);
        let slowest = slowest.map_or_else(String::new, |s| {
            format!(", slowest recovery {:.1} s ({})", s.again.as_secs_f64(), s.fault)
        });
        let (tried, failed) = (self.seen.len() + self.failed.len(), self.failed.len());
        format!(
            "faults: {tried} tried, {failed} failed, {extra} extra restarts, {lost} lost addresses{slowest}"
        )
    }
}
