//! What the kernel says of Torch's process.

use std::fs;

/// A process of this machine.
pub struct Process(String);

impl Process {
    /// The one of a pod.
    pub fn of(namespace: &str, pod: &str) -> Self {
        let all = fs::read_dir("/proc").expect("there is /proc").filter_map(Result::ok);
        let mut pids = all.filter_map(|entry| entry.file_name().into_string().ok());
        let wanted = [format!("POD_NAMESPACE={namespace}"), format!("POD_NAME={pod}")];
        let pid = pids.find(|pid| {
            let environ = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
            wanted.iter().all(|wanted| environ.split(|b| *b == 0).any(|v| v == wanted.as_bytes()))
        });
        Self(pid.unwrap_or_else(|| panic!("{pod} has no process here")))
    }

    /// The most memory that it has had, in MiB.
    pub fn most(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: f64 = line.and_then(|l| l.split_whitespace().next()?.parse().ok()).unwrap_or(f64::INFINITY);
        kib / 1024.0
    }
}
