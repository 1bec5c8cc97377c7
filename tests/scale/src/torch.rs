//! Torch as a process of this machine, and what the kernel says of it.

use std::fs::{self, File};
use std::io::Read as _;
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use nix::time::{clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

/// A Torch that runs, until it is dropped.
pub struct Torch {
    process: Child,
    plain: SocketAddr,
    directory: PathBuf,
}

impl Torch {
    /// Starts the `torch` that lies beside this program.
    pub fn start(namespace: &str, kubeconfig: &serde_json::Value, config: &str) -> anyhow::Result<Self> {
        let directory = std::env::temp_dir().join(namespace);
        fs::create_dir_all(&directory).context("cannot make a directory for its files")?;
        let file = |name: &str| directory.join(name);
        fs::write(file("kubeconfig"), kubeconfig.to_string())?;
        fs::write(file("config.yaml"), config)?;
        let log = File::create(file("log"))?;
        let (listen, plain) = (free_address()?, free_address()?);
        let process = Command::new(std::env::current_exe()?.with_file_name("torch"))
            .args(["serve", "--namespace", namespace, "--config"])
            .arg(file("config.yaml"))
            .args(["--listen", &listen.to_string(), "--plain-listen", &plain.to_string()])
            .args(["--log", "warn"])
            .env("KUBECONFIG", file("kubeconfig"))
            .env("POD_NAME", "torch-scale")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("cannot start torch")?;
        Ok(Self { process, plain, directory })
    }

    /// How many nodes it knows; none as long as it does not answer.
    pub fn known(&self) -> usize {
        let metrics = self.metrics().unwrap_or_default();
        let mut lines = metrics.lines();
        let value = lines.find_map(|line| line.strip_prefix("torch_nodes{outcome=\"known\"} "));
        value.and_then(|n| n.parse().ok()).unwrap_or_default()
    }

    fn metrics(&self) -> std::io::Result<String> {
        let mut stream = TcpStream::connect(self.plain)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: torch\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// The time that it has worked on all processors: by its clock, since /proc counts in hundredths of a second.
    pub fn cpu(&self) -> anyhow::Result<Duration> {
        let id = Pid::from_raw(self.process.id().try_into()?);
        let clock = clock_getcpuclockid(id).with_context(|| self.has_ended())?;
        Ok(clock_gettime(clock).with_context(|| self.has_ended())?.into())
    }

    /// Its memory, now and at most, in MiB.
    pub fn memory(&self) -> anyhow::Result<(f64, f64)> {
        let status = self.proc("status")?;
        let field = |name| {
            let value = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            let kib: f64 = value.and_then(|kib| kib.parse().ok()).context("the kernel does not tell")?;
            Ok::<_, anyhow::Error>(kib / 1024.0)
        };
        Ok((field("VmRSS:")?, field("VmHWM:")?))
    }

    fn proc(&self, file: &str) -> anyhow::Result<String> {
        let path = Path::new("/proc").join(self.process.id().to_string()).join(file);
        fs::read_to_string(path).ok().filter(|text| !text.is_empty()).with_context(|| self.has_ended())
    }

    fn has_ended(&self) -> String {
        format!("torch has ended: {}", self.last_words())
    }

    fn last_words(&self) -> String {
        let log = fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(10)..].join("\n")
    }
}

impl Drop for Torch {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.directory);
    }
}

fn free_address() -> std::io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
