//! A server as a process on a processor of its own, and what the kernel says of it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;

/// The processor that servers run on.
const PROCESSOR: &str = "0";

/// How long a server may take to do what is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

/// Ticks of processor time in a second, as /proc counts them on every Linux.
const TICKS: f64 = 100.0;

/// A process, until it is dropped.
pub struct Process(Child);

impl Process {
    /// Starts a program.
    pub fn start(program: &Path, arguments: &[String]) -> anyhow::Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["--cpu-list", PROCESSOR]).arg(program).args(arguments).stdout(Stdio::null());
        command.spawn().map(Self).with_context(|| format!("cannot start {}", program.display()))
    }

    /// The processor time that it has taken, in seconds.
    pub fn cpu(&self) -> anyhow::Result<f64> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        let (_, fields) = stat.rsplit_once(')').context("/proc has another form")?;
        let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok());
        Ok(ticks.sum::<f64>() / TICKS)
    }

    /// Its memory in MiB: `VmRSS` what it has, `VmHWM` the most it has had.
    pub fn memory(&self, what: &str) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(what));
        let kib: f64 = line.and_then(|l| l.split_whitespace().nth(1)?.parse().ok()).context("no memory")?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Where it has ended by itself there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// Waits until something is so; says how long that took.
pub fn wait(what: &str, mut is_so: impl FnMut() -> bool) -> anyhow::Result<Duration> {
    let begun = Instant::now();
    while !is_so() {
        anyhow::ensure!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(begun.elapsed())
}

/// Whether somebody listens.
pub fn listens(address: IpAddr, port: u16) -> bool {
    TcpStream::connect((address, port)).is_ok()
}

/// What a path of a plain port answers, head and all; nothing where it does not.
pub fn ask(port: u16, path: &str) -> String {
    let mut answer = String::new();
    if let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) {
        let sent = write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let _ = sent.and_then(|()| stream.read_to_string(&mut answer));
    }
    answer
}
