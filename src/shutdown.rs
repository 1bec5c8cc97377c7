//! The end of the program: on SIGTERM or SIGINT first a time in which it serves on, then the stop.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long it serves on after the signal. API servers go on using their connections to a pod that
/// terminates until its endpoint is gone everywhere.
pub const DRAIN: Duration = Duration::from_secs(5);

/// The two steps of the end, for all tasks to see.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    draining: CancellationToken,
    stopped: CancellationToken,
}

impl Shutdown {
    /// Whether the end has begun: no longer ready, every answer closes its connection.
    pub fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }

    /// When the end begins.
    pub async fn draining(&self) {
        self.draining.cancelled().await;
    }

    /// When everything is to stop.
    pub async fn stopped(&self) {
        self.stopped.cancelled().await;
    }

    /// Ends the program now.
    pub fn stop(&self) {
        self.draining.cancel();
        self.stopped.cancel();
    }

    /// Waits for a signal, drains and stops; a second signal cuts the draining short.
    ///
    /// # Errors
    /// Where the system lets no signal be awaited.
    pub async fn on_signal(self) -> std::io::Result<()> {
        let mut term = signal(SignalKind::terminate())?;
        let mut int = signal(SignalKind::interrupt())?;
        let mut next = async || tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} };
        tokio::select! { () = next() => {}, () = self.stopped() => return Ok(()) }
        tracing::info!(seconds = DRAIN.as_secs(), "stopping: serving on for a moment");
        self.draining.cancel();
        tokio::select! { () = next() => {}, () = tokio::time::sleep(DRAIN) => {} }
        self.stopped.cancel();
        Ok(())
    }
}
