//! The file with the CA that vouches for clients.

use std::path::PathBuf;
use std::sync::Arc;

use super::{EVERY, MOST, text};
use crate::tls::{self, Clients, Serving};

/// The file, and what it held when it was last taken or refused.
pub struct ClientCa {
    path: PathBuf,
    seen: String,
    serving: Arc<Serving>,
}

/// Why a CA for clients cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read {path}: {why}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        why: std::io::Error,
    },
    /// It holds no CA.
    #[error("{path} holds no CA for clients: {why}")]
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: tls::Error,
    },
}

impl ClientCa {
    /// Has `serving` know the clients of the CA in this file.
    ///
    /// # Errors
    /// Where it cannot be read or used.
    pub async fn begin(path: PathBuf, serving: Arc<Serving>) -> Result<Self, Error> {
        let mut begun = Self { path, seen: String::new(), serving };
        begun.take().await?;
        Ok(begun)
    }

    /// Looks at the file again and again, until it is dropped. A file that cannot be used is told of, and
    /// the CA in force stays.
    pub async fn run(mut self) {
        let mut told = String::new();
        loop {
            tokio::time::sleep(EVERY).await;
            let wrong = self.take().await.err().map(|error| error.to_string()).unwrap_or_default();
            if !wrong.is_empty() && wrong != told {
                tracing::error!(error = wrong, "the CA for clients that is in force stays");
            }
            told = wrong;
        }
    }

    async fn take(&mut self) -> Result<(), Error> {
        let path = || self.path.clone();
        let ca = text(&self.path, MOST).await.map_err(|why| Error::Read { path: path(), why })?;
        if ca != self.seen {
            let clients = Clients::of(&ca).map_err(|why| Error::Refused { path: path(), why })?;
            self.serving.know(clients);
            self.seen = ca;
            tracing::info!(path = %self.path.display(), "took up the CA for clients");
        }
        Ok(())
    }
}
