//! A shell inside the cluster, from which the tests call Torch and the nodes as other pods do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::sync::Mutex;

use serde_json::Value;

use crate::kubectl;

/// Ends what a command prints.
const END: &str = "--end-of-output--";

/// What has curl show the token of the shell's pod.
pub const TOKEN: &str =
    r#"-H "Authorization: Bearer $(cat /var/run/secrets/kubernetes.io/serviceaccount/token)""#;

/// A shell in a pod, kept open, since opening one takes far longer than what is done in it.
pub struct Shell {
    namespace: String,
    pod: String,
    session: Mutex<Session>,
}

struct Session {
    kubectl: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

/// An answer by HTTP.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// The lines of its head, in lower case.
    pub headers: Vec<String>,
    pub body: String,
}

impl Shell {
    pub fn open(namespace: &str, pod: &str) -> Self {
        let session = Mutex::new(Session::open(namespace, pod));
        Self { namespace: namespace.to_owned(), pod: pod.to_owned(), session }
    }

    /// Runs a command; gives what it prints, errors included. Where the shell is gone, as after a fault of
    /// the API server, the next command finds a new one.
    pub fn run(&self, command: &str) -> Result<String, String> {
        let mut session = self.session.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let printed = session.run(command);
        if printed.is_err() {
            *session = Session::open(&self.namespace, &self.pod);
        }
        printed
    }

    /// Runs curl with these arguments, written as in a shell.
    pub fn curl(&self, arguments: &str) -> Result<Answer, String> {
        let printed = self.run(&format!("curl -sSi --max-time 20 -H Expect: {arguments}"))?;
        Answer::read(&printed).ok_or_else(|| format!("curl {arguments}: {printed}"))
    }
}

impl Session {
    fn open(namespace: &str, pod: &str) -> Self {
        let mut kubectl = kubectl::command()
            .args(["exec", "-i", "-n", namespace, pod, "--", "sh"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        let stdin = kubectl.stdin.take().expect("it was asked for");
        let stdout = BufReader::new(kubectl.stdout.take().expect("it was asked for"));
        Self { kubectl, stdin, stdout }
    }

    fn run(&mut self, command: &str) -> Result<String, String> {
        writeln!(self.stdin, "{{ {command}\n}} 2>&1 </dev/null; printf '\\n{END}\\n'")
            .map_err(|e| format!("the shell is gone: {e}"))?;
        let mut printed = String::new();
        loop {
            let before = printed.len();
            let read = self.stdout.read_line(&mut printed).map_err(|e| e.to_string())?;
            if read == 0 {
                return Err(format!("the shell has ended: {printed}"));
            }
            if printed[before..].trim_end() == END {
                printed.truncate(before - 1);
                return Ok(printed);
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.kubectl.kill();
        let _ = self.kubectl.wait();
    }
}

impl Answer {
    fn read(printed: &str) -> Option<Self> {
        let (head, body) = printed.split_once("\r\n\r\n")?;
        let mut lines = head.lines();
        let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.split(' ').next()?.parse().ok()?;
        Some(Self { status, headers: lines.map(str::to_lowercase).collect(), body: body.to_owned() })
    }

    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("not JSON: {e}: {self:?}"))
    }
}

/// Text as one word of a shell's command.
pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
