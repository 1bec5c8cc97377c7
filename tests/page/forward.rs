//! A port of a pod, forwarded to this machine as an operator does it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Stdio};

use crate::kubectl;

/// Ends with this.
pub struct Forward {
    kubectl: Child,
    pub port: u16,
    /// Without a reader of what it says kubectl ends.
    _said: BufReader<ChildStdout>,
}

impl Forward {
    pub fn to(namespace: &str, pod: &str) -> Self {
        Self::at(namespace, pod, 0)
    }

    /// At this port of this machine; 0 is any.
    pub fn at(namespace: &str, pod: &str, port: u16) -> Self {
        let ports = if port == 0 { ":8080".to_owned() } else { format!("{port}:8080") };
        let mut kubectl = kubectl::command()
            .args(["port-forward", "-n", namespace, pod, &ports, "--address", "127.0.0.1"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let mut said = BufReader::new(kubectl.stdout.take().expect("it is piped"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it is text");
        let port =
            line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|l| l.split(' ').next()?.parse().ok());
        let port = port.unwrap_or_else(|| panic!("kubectl port-forward said {line:?}"));
        Self { kubectl, port, _said: said }
    }

    pub fn url(&self) -> String {
        format!("http://localhost:{}/", self.port)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}
