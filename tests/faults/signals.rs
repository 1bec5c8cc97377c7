//! Signals to Torch's own processes, which are found from outside: nothing in its container could send one.

use std::fs;
use std::process::Command;

use crate::bed::Bed;
use crate::pods::Pod;

/// Sends a signal, such as `KILL`, to the process of a pod of Torch's.
#[track_caller]
pub fn send(bed: &Bed, pod: &Pod, signal: &str) {
    let pid = process(bed.name(), pod.name()).unwrap_or_else(|| panic!("{} has no process", pod.name()));
    let sent = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()), "cannot send {signal} to {}", pod.name());
}

/// The same, where it may be gone by now.
pub fn try_send(bed: &Bed, pod: &Pod, signal: &str) {
    if let Some(pid) = process(bed.name(), pod.name()) {
        let _ = Command::new("kill").args([&format!("-{signal}"), &pid]).status();
    }
}

fn process(namespace: &str, pod: &str) -> Option<String> {
    let all = fs::read_dir("/proc").expect("there is /proc").filter_map(Result::ok);
    let mut pids = all.filter_map(|entry| entry.file_name().into_string().ok());
    pids.find(|pid| is_torch(pid, &format!("POD_NAMESPACE={namespace}"), &format!("POD_NAME={pod}")))
}

/// Whether a process is `torch serve` with these variables.
fn is_torch(pid: &str, namespace: &str, pod: &str) -> bool {
    let read = |file| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let has = |bytes: &[u8], variable: &str| bytes.split(|b| *b == 0).any(|v| v == variable.as_bytes());
    if !read("cmdline").starts_with(b"/torch\0serve\0") {
        return false;
    }
    let environ = read("environ");
    has(&environ, namespace) && has(&environ, pod)
}
