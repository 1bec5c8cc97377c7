//! Running a command in a container.
//!
//! The channels of the WebSocket are read here and not by kube's `AttachedProcess`, which can hang for
//! ever (output that nobody drains while the status is awaited, a connection that is reset).

use std::time::Duration;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::Resource as _;
use kube::api::AttachParams;
use kube::core::Request;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{Cluster, in_words};

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;

/// How much of what a command complains about is kept.
const STDERR_LIMIT: usize = 512;

/// What a command that ended has printed.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// The beginning of what it complained about.
    pub stderr: String,
}

/// Why a command did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The API server or the kubelet did not take it.
    #[error("cannot create pods/exec in {pod}: {}", in_words(.why))]
    Connect {
        /// The pod.
        pod: String,
        /// Why.
        why: Box<kube::Error>,
    },
    /// The connection broke.
    #[error("the connection to the command in {pod} broke: {why}")]
    Broken {
        /// The pod.
        pod: String,
        /// How.
        why: String,
    },
    /// The container has no such program.
    #[error("{pod} cannot run the command: {message}")]
    NotRun {
        /// The pod.
        pod: String,
        /// What the runtime said.
        message: String,
    },
    /// It printed too much.
    #[error("the command in {pod} printed more than {limit} bytes")]
    TooMuch {
        /// The pod.
        pod: String,
        /// How much it may print.
        limit: usize,
    },
    /// It took too long.
    #[error("the command in {pod} did not end within {} s", .within.as_secs())]
    Deadline {
        /// The pod.
        pod: String,
        /// How long it may take.
        within: Duration,
    },
}

impl Cluster {
    /// Runs `command` in a container and waits until it ends: `within` that time, with `limit` bytes of
    /// output at most. The command is a list of arguments; no shell takes it apart.
    ///
    /// # Errors
    /// Where it does not come to its end; an exit code is no error.
    pub async fn exec(
        &self,
        pod: &str,
        container: &str,
        command: &[&str],
        limit: usize,
        within: Duration,
    ) -> Result<Output, ExecError> {
        let run = self.run(pod, container, command, limit);
        let deadline = || ExecError::Deadline { pod: pod.to_owned(), within };
        tokio::time::timeout(within, run).await.unwrap_or_else(|_| Err(deadline()))
    }

    async fn run(
        &self,
        pod: &str,
        container: &str,
        command: &[&str],
        limit: usize,
    ) -> Result<Output, ExecError> {
        let connect = |why| ExecError::Connect { pod: pod.to_owned(), why: Box::new(why) };
        let params = AttachParams::default().container(container).stdin(false).stdout(true).stderr(true);
        let request = Request::new(Pod::url_path(&(), Some(&self.namespace)))
            .exec(pod, command.iter().copied(), &params)
            .map_err(|e| connect(kube::Error::BuildRequest(e)))?;
        let stream = self.client.connect(request).await.map_err(connect)?.into_stream();
        collect(pod, stream, limit).await
    }
}

async fn collect(
    pod: &str,
    mut messages: impl Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
    limit: usize,
) -> Result<Output, ExecError> {
    let broken = |why: String| ExecError::Broken { pod: pod.to_owned(), why };
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    while let Some(message) = messages.next().await {
        let Message::Binary(bytes) = message.map_err(|e| broken(e.to_string()))? else {
            continue;
        };
        match bytes.split_first() {
            Some((&STDOUT, data)) => {
                stdout.extend_from_slice(data);
                if stdout.len() > limit {
                    return Err(ExecError::TooMuch { pod: pod.to_owned(), limit });
                }
            }
            Some((&STDERR, data)) => {
                let room = STDERR_LIMIT.saturating_sub(stderr.len());
                stderr.extend_from_slice(&data[..room.min(data.len())]);
            }
            Some((&STATUS, data)) => {
                let status = serde_json::from_slice(data).map_err(|e| broken(e.to_string()))?;
                let code = exit_code(pod, status)?;
                return Ok(Output { code, stdout, stderr: String::from_utf8_lossy(&stderr).into_owned() });
            }
            _ => {}
        }
    }
    Err(broken("it was closed before the command's status came".into()))
}

fn exit_code(pod: &str, status: Status) -> Result<i32, ExecError> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let message = status.message.unwrap_or_default();
    let causes = status.details.and_then(|d| d.causes).unwrap_or_default();
    let code = causes.into_iter().find(|c| c.reason.as_deref() == Some("ExitCode")).and_then(|c| c.message);
    match code.and_then(|c| c.parse().ok()) {
        Some(code) => Ok(code),
        None if is_not_run(&message) => Err(ExecError::NotRun { pod: pod.to_owned(), message }),
        None => Err(ExecError::Broken { pod: pod.to_owned(), why: message }),
    }
}

/// What containerd and CRI-O say, through runc and crun, of a program that is not there or not
/// executable.
fn is_not_run(message: &str) -> bool {
    ["executable file", "no such file or directory", "exec format error", "permission denied"]
        .iter()
        .any(|known| message.to_lowercase().contains(known))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use serde_json::json;

    fn frame(channel: u8, data: &[u8]) -> Result<Message, tungstenite::Error> {
        Ok(Message::Binary([&[channel], data].concat().into()))
    }

    fn status(status: serde_json::Value) -> Result<Message, tungstenite::Error> {
        frame(STATUS, status.to_string().as_bytes())
    }

    async fn run(messages: Vec<Result<Message, tungstenite::Error>>) -> Result<Output, ExecError> {
        collect("da-0", stream::iter(messages), 10).await
    }

    #[tokio::test]
    async fn output_and_exit_code_are_read() {
        let failed = status(json!({"status": "Failure", "message": "command terminated with exit code 7",
            "details": {"causes": [{"reason": "ExitCode", "message": "7"}]}}));
        let output =
            run(vec![frame(STDOUT, b"a"), frame(STDERR, &[b'x'; 9999]), frame(STDOUT, b"b"), failed]);
        let output = output.await.unwrap();
        assert_eq!((output.code, &output.stdout[..], output.stderr.len()), (7, &b"ab"[..], STDERR_LIMIT));
        let output = run(vec![status(json!({"status": "Success"}))]).await.unwrap();
        assert_eq!(output.code, 0);
    }

    #[tokio::test]
    async fn what_does_not_end_well_is_an_error() {
        let no_shell = "Internal error occurred: error executing command in container: failed to exec in container: \
            failed to start exec: OCI runtime exec failed: exec failed: unable to start container process: \
            exec: \"sh\": executable file not found in $PATH: unknown";
        let not_run = run(vec![status(json!({"status": "Failure", "message": no_shell}))]).await;
        assert!(matches!(not_run, Err(ExecError::NotRun { .. })), "{not_run:?}");
        let too_much = run(vec![frame(STDOUT, &[0; 11])]).await;
        assert!(matches!(too_much, Err(ExecError::TooMuch { .. })), "{too_much:?}");
        for cut in
            [vec![], vec![frame(STDOUT, b"a")], vec![frame(STATUS, b"{")], vec![Ok(Message::Close(None))]]
        {
            let broken = run(cut).await;
            assert!(matches!(broken, Err(ExecError::Broken { .. })), "{broken:?}");
        }
    }
}
