//! A port of a pod, forwarded to this machine as an operator does it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::kubectl;

/// Ends with this.
pub struct Forward {
    kubectl: Child,
    pub port: u16,
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
        let out = kubectl.stdout.take().expect("it is piped");
        let line = BufReader::new(out).lines().map_while(Result::ok).next().unwrap_or_default();
        let port =
            line.strip_prefix("Forwarding from 127.0.0.1:").and_then(|l| l.split(' ').next()?.parse().ok());
        Self { kubectl, port: port.unwrap_or_else(|| panic!("kubectl port-forward said {line:?}")) }
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
