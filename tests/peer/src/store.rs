//! The node's data directory: the keys that outlive a restart.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use libp2p::identity::Keypair;

/// The kinds of nodes; they differ in nothing but the name of their default store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeType {
    /// A bridge between a consensus node and the data-availability network.
    Bridge,
    /// A node that keeps all data.
    Full,
    /// A node that samples data.
    Light,
}

impl NodeType {
    /// The name of the type on the command line.
    pub fn name(self) -> &'static str {
        match self {
            NodeType::Bridge => "bridge",
            NodeType::Full => "full",
            NodeType::Light => "light",
        }
    }
}

/// The store of a node that names none: `$HOME/.celestia-<type>`.
pub fn default_path(node_type: NodeType) -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("find the store: neither --node.store nor HOME")?;
    Ok(PathBuf::from(home).join(format!(".celestia-{}", node_type.name())))
}

/// A data directory; made when something is first kept in it.
pub struct Store {
    keys: PathBuf,
}

impl Store {
    /// The store in this directory.
    pub fn at(path: impl AsRef<Path>) -> Self {
        Store { keys: path.as_ref().join("keys") }
    }

    /// The key that the peer id comes from; made at the first call.
    pub fn identity(&self) -> Result<Keypair> {
        let path = self.keys.join("p2p-key");
        let bytes = read_or_create(&path, || Ok(Keypair::generate_ed25519().to_protobuf_encoding()?))?;
        Keypair::from_protobuf_encoding(&bytes)
            .with_context(|| format!("read the p2p key {}", path.display()))
    }

    /// The secret that signs RPC tokens.
    pub fn secret(&self) -> Result<Vec<u8>> {
        let path = self.secret_path();
        fs::read(&path).with_context(|| format!("read the token secret {}", path.display()))
    }

    /// The secret that signs RPC tokens; made at the first call.
    pub fn secret_or_new(&self) -> Result<Vec<u8>> {
        read_or_create(&self.secret_path(), random_secret)
    }

    fn secret_path(&self) -> PathBuf {
        self.keys.join("jwt-secret.jwt")
    }
}

fn random_secret() -> Result<Vec<u8>> {
    let mut secret = vec![0; 32];
    fs::File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut secret))
        .context("read random bytes from /dev/urandom")?;
    Ok(secret)
}

fn read_or_create(path: &Path, make: impl FnOnce() -> Result<Vec<u8>>) -> Result<Vec<u8>> {
    if !path.exists() {
        create(path, &make()?).with_context(|| format!("create {}", path.display()))?;
    }
    fs::read(path).with_context(|| format!("read {}", path.display()))
}

/// Creates a private file, whole or not at all. A file that another process created in the
/// meantime stays, so that a node and a command started together end with the same key.
fn create(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&temporary)?
        .write_all(content)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}
