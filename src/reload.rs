//! Takes up changes of files while Torch runs: of the configuration, and of the CA for clients.
//!
//! A file is read again and compared: a mounted ConfigMap changes by a swap of directories, which a
//! watch of the file misses.

mod client_ca;

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::config::{self, Config, MAX_FILE};
use crate::telemetry::{Health, Metrics};

pub use client_ca::ClientCa;

/// How often files are looked at. A kubelet takes up to a minute to bring a change of a ConfigMap.
const EVERY: Duration = Duration::from_secs(2);

/// One byte more than a configuration may hold, for that to be seen.
const MOST: u64 = MAX_FILE as u64 + 1;

/// The name of this part in the health report.
const PART: &str = "configuration";

/// The file, and what it held when it was last taken or refused.
pub struct Reload {
    path: PathBuf,
    seen: String,
    /// What is wrong with it, if it was refused.
    refused: String,
    config: watch::Sender<Arc<Config>>,
}

/// Why there is no configuration to begin with.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// What it says cannot be used.
    #[error("the configuration {path} is refused: {problems}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problems: config::Problems,
    },
}

impl Reload {
    /// Reads the file for the first time.
    ///
    /// # Errors
    /// Where it cannot be read or used.
    pub async fn begin(path: &Path) -> Result<Self, Error> {
        let text = read(path).await?;
        let parsed = config::parse(&text);
        let config = parsed.map_err(|problems| Error::Refused { path: path.to_owned(), problems })?;
        Ok(Self {
            path: path.to_owned(),
            seen: text,
            refused: String::new(),
            config: watch::channel(Arc::new(config)).0,
        })
    }

    /// The configuration in force, as it changes.
    pub fn config(&self) -> watch::Receiver<Arc<Config>> {
        self.config.subscribe()
    }

    /// Looks at the file again and again, until it is dropped. A file that cannot be used is told of, and
    /// the configuration in force stays.
    pub async fn run(mut self, metrics: Arc<Metrics>, health: Arc<Health>, tell: impl Fn(&str)) {
        health.well(PART, "");
        metrics.config(&self.seen);
        let mut readable = true;
        loop {
            tokio::time::sleep(EVERY).await;
            match read(&self.path).await {
                Ok(text) => {
                    readable = true;
                    self.take(text, &metrics, &tell);
                    health.well(PART, self.refused.as_str());
                }
                Err(error) if std::mem::replace(&mut readable, false) => {
                    tracing::error!(%error, "the configuration in force stays");
                    health.well(PART, format!("{error}; the old one stays in force"));
                }
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, text: String, metrics: &Metrics, tell: impl Fn(&str)) {
        if text == self.seen {
            return;
        }
        let parsed = config::parse(&text);
        metrics.reload(parsed.is_ok());
        self.seen = text;
        match parsed {
            Ok(config) => {
                tracing::info!(groups = config.groups.len(), "took up the changed configuration");
                self.refused.clear();
                metrics.config(&self.seen);
                self.config.send_replace(Arc::new(config));
            }
            Err(problems) => {
                tracing::error!(path = %self.path.display(), %problems, "the changed configuration is refused, the old one stays in force");
                self.refused = format!("the file is refused, the old one stays in force: {problems}");
                tell(&self.refused);
            }
        }
    }
}

async fn read(path: &Path) -> Result<String, Error> {
    text(path, MOST).await.map_err(|why| Error::Read { path: path.to_owned(), why })
}

/// Reads at most so many bytes of a file, on a thread for what may take long.
async fn text(path: &Path, most: u64) -> std::io::Result<String> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || text_now(&path, most)).await?
}

/// Reads at most so many bytes of a file.
pub(crate) fn text_now(path: &Path, most: u64) -> std::io::Result<String> {
    let file = File::open(path)?;
    // Without room for all it would be read in pieces, the first of 32 bytes.
    let length = file.metadata()?.len().min(most);
    let mut text = String::with_capacity(usize::try_from(length).unwrap_or_default() + 1);
    file.take(most).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    const GOOD: &str = "mutualPeers: [{peers: [{nodeName: a}]}]";

    #[tokio::test(start_paused = true)]
    async fn a_good_change_is_taken_and_a_bad_one_is_told_of() {
        let path = std::env::temp_dir().join(format!("torch-reload-{}", std::process::id()));
        tokio::fs::write(&path, GOOD).await.unwrap();
        let reload = Reload::begin(&path).await.unwrap();
        let mut config = reload.config();
        let (metrics, health) = (Arc::new(Metrics::default()), Arc::new(Health::default()));
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = {
            let told = Arc::clone(&told);
            move |why: &str| told.lock().unwrap().push(why.to_owned())
        };
        let running = tokio::spawn(reload.run(Arc::clone(&metrics), Arc::clone(&health), tell));

        tokio::fs::write(&path, GOOD.replace("nodeName: a", "nodeName: b")).await.unwrap();
        config.changed().await.unwrap();
        assert_eq!(config.borrow_and_update().groups[0].peers[0].node_name, "b");
        assert!(metrics.text().contains("\ntorch_config_last_reload_successful 1\n"), "{}", metrics.text());

        tokio::fs::write(&path, "mutualPeers: [").await.unwrap();
        while !metrics.text().contains("config_reloads_total{outcome=\"failure\"} 1") {
            tokio::time::sleep(EVERY).await;
        }
        assert!(metrics.text().contains("\ntorch_config_last_reload_successful 0\n"), "{}", metrics.text());
        assert!(!config.has_changed().unwrap());
        let (ready, report) = health.report();
        assert!(ready && report.contains("the file is refused"), "{report}");
        assert!(told.lock().unwrap().len() == 1 && report.contains(&told.lock().unwrap()[0]), "{report}");
        running.abort();
        tokio::fs::remove_file(&path).await.unwrap();
    }

    #[tokio::test]
    async fn nothing_begins_without_a_good_file() {
        let error = Reload::begin(Path::new("/nowhere")).await.err().unwrap();
        assert!(error.to_string().starts_with("cannot read the configuration /nowhere"));
    }
}
