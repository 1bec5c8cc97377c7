//! kubectl, by which the tests do what a user would.

use std::env;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

/// kubectl for the cluster of `KUBECONFIG`, which must be set: without it a user's own would be taken.
pub fn command() -> Command {
    assert!(
        env::var_os("KUBECONFIG").is_some(),
        "set KUBECONFIG to the cluster to test on: `KUBECONFIG=$(tests/cluster/up)`"
    );
    let of_test_bed = test_bed().join("bin/kubectl");
    if of_test_bed.exists() { Command::new(of_test_bed) } else { Command::new("kubectl") }
}

/// The directory of the test bed.
pub fn test_bed() -> PathBuf {
    env::var_os("TORCH_CLUSTER_DIR").map_or_else(|| "/tmp/torch-cluster".into(), PathBuf::from)
}

/// Runs it; gives what it printed, or what it said in failing.
pub fn attempt(args: &[&str], input: Option<&str>) -> Result<String, String> {
    let mut child = command()
        .args(args)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cannot run kubectl: {e}"))?;
    if let Some(input) = input {
        let mut stdin = child.stdin.take().expect("it was asked for");
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("kubectl {}: {}", args.join(" "), text(&output.stderr).trim()))
    }
}

/// Runs what must succeed.
#[track_caller]
pub fn run(args: &[&str]) -> String {
    attempt(args, None).unwrap_or_else(|why| panic!("{why}"))
}

/// An object as it is now, or all of a kind.
pub fn get(namespace: &str, what: &str) -> Result<Value, String> {
    let text = attempt(&["get", "-n", namespace, what, "-o", "json"], None)?;
    serde_json::from_str(&text).map_err(|e| e.to_string())
}

/// Applies an object to a namespace.
#[track_caller]
pub fn apply(namespace: &str, object: &Value) {
    attempt(&["apply", "-n", namespace, "-f", "-"], Some(&object.to_string()))
        .unwrap_or_else(|why| panic!("{why}"));
}
