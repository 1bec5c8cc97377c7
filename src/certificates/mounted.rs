//! A certificate that somebody else makes, mounted as files.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::Error;
use crate::reload;
use crate::tls::{self, CA_CRT, END, TLS_CRT, TLS_KEY};

/// The most that a file may hold, in bytes.
const MAX: u64 = 1024 * 1024;

/// Where a kubelet keeps the files of a mounted Secret: a link, which it exchanges for all of them at once.
const DATA: &str = "..data";

/// The files of a directory, as they were last taken up.
pub struct Mounted {
    directory: PathBuf,
    name: String,
    files: Files,
    key: Arc<CertifiedKey>,
}

/// What is in the files.
#[derive(PartialEq, Eq)]
struct Files {
    chain: String,
    key: Zeroizing<String>,
    /// Issuers whose CA everybody knows give none.
    ca: Option<String>,
}

impl Mounted {
    /// Reads the files for the first time; the certificate must be for `name`.
    pub async fn begin(directory: PathBuf, name: String) -> Result<Self, Error> {
        let files = read(&directory).await?;
        match files.certified_key(&name) {
            Ok(key) => Ok(Self { directory, name, files, key: Arc::new(key) }),
            Err(why) => Err(Error::Refused { directory, why }),
        }
    }

    /// The certificate to be shown.
    pub fn certified_key(&self) -> &Arc<CertifiedKey> {
        &self.key
    }

    /// Takes up the files where they have changed; those that cannot be used leave what is in use.
    pub async fn take_up(&mut self) -> Result<(), Error> {
        let files = read(&self.directory).await?;
        if files != self.files {
            let key = files.certified_key(&self.name);
            let refused = |why| Error::Refused { directory: self.directory.clone(), why };
            self.key = Arc::new(key.map_err(refused)?);
            self.files = files;
        }
        Ok(())
    }

    /// The CA of the files beside the CAs of `published` that have not ended, in PEM. Files reach the replicas
    /// at different times: where it is among `published` these stay as they are, or the replicas would
    /// never agree.
    pub fn beside(&self, published: &str, now: Timestamp) -> Option<String> {
        let ca = self.files.ca.as_ref()?;
        let (ours, theirs) = (tls::cas(ca), tls::cas(published));
        if ours.iter().all(|ca| theirs.contains(ca)) {
            return Some(published.to_owned());
        }
        let others = published.split_inclusive(END).filter(|pem| {
            let others = tls::cas(pem);
            others.iter().any(|ca| !ours.contains(ca) && tls::validity(ca).is_some_and(|v| v.holds(now)))
        });
        Some(std::iter::once(format!("{}\n", ca.trim_end()).as_str()).chain(others).collect())
    }
}

impl Files {
    fn certified_key(&self, name: &str) -> Result<CertifiedKey, tls::Error> {
        let key = tls::certified_key(&self.chain, &self.key)?;
        tls::check(&key, name, Timestamp::now())?;
        if let Some(ca) = &self.ca {
            tls::client_config(ca)?;
        }
        Ok(key)
    }
}

/// Reads them, once more where a kubelet may have taken them away in the middle; on a thread for what may take long.
async fn read(directory: &Path) -> Result<Files, Error> {
    let directory = directory.to_owned();
    let path = directory.clone();
    let reading =
        tokio::task::spawn_blocking(move || read_once(&directory).or_else(|_| read_once(&directory)));
    reading.await.unwrap_or_else(|ended| Err(Error::Read { path, why: ended.into() }))
}

fn read_once(directory: &Path) -> Result<Files, Error> {
    // All of the same time.
    let linked = directory.join(DATA).canonicalize();
    let directory = linked.unwrap_or_else(|_| directory.to_owned());
    let (chain, key) = (text(directory.join(TLS_CRT))?, text(directory.join(TLS_KEY))?);
    let ca = match text(directory.join(CA_CRT)) {
        Err(Error::Read { why, .. }) if why.kind() == ErrorKind::NotFound => None,
        ca => Some(ca?),
    };
    Ok(Files { chain, key: key.into(), ca })
}

fn text(path: PathBuf) -> Result<String, Error> {
    reload::text_now(&path, MAX).map_err(|why| Error::Read { path, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::{Lives, Pair, service_names};
    use std::fs;

    const NAME: &str = "torch.da.svc";

    /// A directory as a kubelet mounts a Secret.
    struct Mount(PathBuf, std::cell::Cell<u32>);

    impl Mount {
        fn new(test: &str) -> Self {
            let directory = std::env::temp_dir().join(format!("torch-{test}-{}", std::process::id()));
            fs::create_dir(&directory).unwrap();
            for file in [CA_CRT, TLS_CRT, TLS_KEY] {
                std::os::unix::fs::symlink(format!("{DATA}/{file}"), directory.join(file)).unwrap();
            }
            Self(directory, 0.into())
        }

        fn put(&self, files: &[(&str, &str)]) {
            self.1.set(self.1.get() + 1);
            let version = format!("..{}", self.1.get());
            fs::create_dir(self.0.join(&version)).unwrap();
            for (file, text) in files {
                fs::write(self.0.join(&version).join(file), text).unwrap();
            }
            std::os::unix::fs::symlink(&version, self.0.join("..new")).unwrap();
            fs::rename(self.0.join("..new"), self.0.join(DATA)).unwrap();
        }

        fn put_pair(&self, ca: &Pair, leaf: &Pair) {
            self.put(&[(CA_CRT, &ca.certificate), (TLS_CRT, &leaf.certificate), (TLS_KEY, &leaf.key)]);
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn made(namespace: &str, now: Timestamp) -> (Pair, Pair) {
        let ca = Pair::ca(now, Lives::KEPT.ca).unwrap();
        let leaf = ca.sign(&service_names("torch", namespace), now, Lives::KEPT.leaf).unwrap();
        (ca, leaf)
    }

    #[tokio::test]
    async fn a_change_of_the_link_is_taken_up_and_bad_files_leave_what_is_in_use() {
        let now = Timestamp::now();
        let mount = Mount::new("mounted");
        let refused = async || Mounted::begin(mount.0.clone(), NAME.into()).await.err().unwrap().to_string();
        let missing = refused().await;
        assert!(missing.contains("cannot read") && missing.contains("tls.crt"), "{missing}");
        let (ca, leaf) = made("elsewhere", now);
        mount.put_pair(&ca, &leaf);
        assert!(refused().await.contains("is not for torch.da.svc"));

        let (ca, leaf) = made("da", now);
        mount.put_pair(&ca, &leaf);
        let mut mounted = Mounted::begin(mount.0.clone(), NAME.into()).await.unwrap();
        let first = Arc::clone(mounted.certified_key());

        let (other_ca, other) = made("da", now);
        let ended = made("da", now - jiff::SignedDuration::from_hours(100 * 24));
        let bad: [(&[(&str, &str)], &str); 5] = [
            (&[], "cannot read"),
            (&[(TLS_CRT, "x"), (TLS_KEY, &other.key)], "it holds no certificate"),
            (&[(TLS_CRT, &other.certificate), (TLS_KEY, &leaf.key)], "is not the key of"),
            (&[(TLS_CRT, &ended.1.certificate), (TLS_KEY, &ended.1.key)], "is valid from"),
            (
                &[(TLS_CRT, &other.certificate), (TLS_KEY, &other.key), (CA_CRT, "x")],
                "`ca.crt` cannot be used",
            ),
        ];
        for (files, why) in bad {
            mount.put(files);
            let error = mounted.take_up().await.unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
            assert_eq!(mounted.certified_key().cert, first.cert);
        }

        mount.put_pair(&other_ca, &other);
        mounted.take_up().await.unwrap();
        assert_ne!(mounted.certified_key().cert, first.cert);
    }

    #[tokio::test]
    async fn a_chain_is_shown_whole() {
        let now = Timestamp::now();
        let mount = Mount::new("chain");
        let (ca, leaf) = made("da", now);
        let chain = format!("{}{}", leaf.certificate, ca.certificate);
        mount.put(&[(TLS_CRT, &chain), (TLS_KEY, &leaf.key)]);
        let mounted = Mounted::begin(mount.0.clone(), NAME.into()).await.unwrap();
        assert_eq!(mounted.certified_key().cert.len(), 2);
        assert_eq!(mounted.beside("", now), None, "no CA is mounted");
    }

    #[tokio::test]
    async fn what_is_published_is_kept_beside_the_mounted_until_it_ends() {
        let now = Timestamp::now();
        let mount = Mount::new("beside");
        let (ca, leaf) = made("da", now);
        mount.put_pair(&ca, &leaf);
        let mounted = Mounted::begin(mount.0.clone(), NAME.into()).await.unwrap();
        let other = made("da", now).0.certificate;
        let ended = made("da", now - Lives::KEPT.ca).0.certificate;
        let both = mounted.beside(&format!("{other}{ended}"), now).unwrap();
        assert_eq!(both, format!("{}{other}", ca.certificate));
        let reversed = format!("{other}{}", ca.certificate);
        assert_eq!(mounted.beside(&reversed, now).as_ref(), Some(&reversed));
    }
}
