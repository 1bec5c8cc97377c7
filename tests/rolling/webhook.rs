//! What the API server itself counts of its calls to Torch's webhook.

use crate::kubectl;

const WEBHOOK: &str = "name=\"inject.torch.celestia.org\"";

/// The calls since the API server began.
#[derive(Default)]
pub struct Calls {
    /// All.
    pub total: u64,
    /// Those that were not answered with 200.
    pub not_200: u64,
    /// Pods that were admitted although the call failed.
    pub failed_open: u64,
    /// Pods that were rejected.
    pub rejected: u64,
    /// What all calls took.
    seconds: f64,
}

impl Calls {
    pub fn now() -> Self {
        let mut calls = Self::default();
        for line in kubectl::run(&["get", "--raw", "/metrics"]).lines().filter(|l| l.contains(WEBHOOK)) {
            calls.add(line);
        }
        calls
    }

    pub fn since(self, before: &Self) -> Self {
        Self {
            total: self.total - before.total,
            not_200: self.not_200 - before.not_200,
            failed_open: self.failed_open - before.failed_open,
            rejected: self.rejected - before.rejected,
            seconds: self.seconds - before.seconds,
        }
    }

    /// The mean time of a call.
    pub fn mean_ms(&self) -> f64 {
        self.seconds * 1000.0 / self.total as f64
    }

    fn add(&mut self, line: &str) {
        let Some((series, value)) = line.rsplit_once(' ') else { return };
        let value: f64 = value.parse().expect("a metric's value is a number");
        let count = value as u64;
        match series.split('{').next() {
            Some("apiserver_admission_webhook_request_total") => {
                self.total += count;
                self.not_200 += if series.contains("code=\"200\"") { 0 } else { count };
            }
            Some("apiserver_admission_webhook_fail_open_count") => self.failed_open += count,
            Some("apiserver_admission_webhook_rejection_count") => self.rejected += count,
            Some("apiserver_admission_webhook_admission_duration_seconds_sum") => self.seconds += value,
            _ => {}
        }
    }
}
