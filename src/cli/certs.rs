//! `torch certs`: certificates for those who mount them by hand.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use jiff::Timestamp;

use super::text::{print, read};
use crate::peers::label;
use crate::tls::{CA_CRT, CA_KEY, Lives, Pair, TLS_CRT, TLS_KEY, service_names};

const EXAMPLES: &str = "\
Examples:
  torch certs --namespace torch --out pki    # again, later: the next certificate, by the same CA";

/// What `torch certs` is told.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct CertsArgs {
    /// The name of Torch's Service
    #[arg(long, value_name = "NAME", value_parser = label, default_value = "torch")]
    service: String,
    /// Its namespace
    #[arg(long, value_name = "NAME", value_parser = label)]
    namespace: String,
    /// Where to put ca.crt, ca.key, tls.crt and tls.key; a CA that is there signs, and is not touched
    #[arg(long, value_name = "DIRECTORY")]
    out: PathBuf,
}

impl CertsArgs {
    /// Makes a serving certificate, and a CA where there is none.
    ///
    /// # Errors
    /// Where a file cannot be read or written, or the CA that is there cannot sign.
    pub fn make(&self) -> anyhow::Result<()> {
        let (out, now) = (&self.out, Timestamp::now());
        fs::create_dir_all(out).with_context(|| format!("cannot make {}", out.display()))?;
        let (ca_crt, ca_key) = (out.join(CA_CRT), out.join(CA_KEY));
        let there = ca_crt.exists() || ca_key.exists();
        let ca = if there {
            let unusable = || {
                format!("{}: put its {CA_CRT} and {CA_KEY} right, or both away for a new CA", out.display())
            };
            ca_of(&ca_crt, &ca_key, now).with_context(unusable)?
        } else {
            Pair::ca(now, Lives::BY_HAND.ca)?
        };
        let leaf = ca.sign(&service_names(&self.service, &self.namespace), now, Lives::BY_HAND.leaf)?;
        if !there {
            write(&ca_key, &ca.key, 0o600)?;
            write(&ca_crt, &ca.certificate, 0o644)?;
        }
        write(&out.join(TLS_KEY), &leaf.key, 0o600)?;
        write(&out.join(TLS_CRT), &leaf.certificate, 0o644)?;
        let whose = if there { "the CA that was there" } else { "a new CA" };
        let Self { service, namespace, .. } = self;
        let made =
            format!("{}: a certificate for {service}.{namespace}.svc, signed by {whose}\n", out.display());
        Ok(print(&made)?)
    }
}

fn ca_of(certificate: &Path, key: &Path, now: Timestamp) -> anyhow::Result<Pair> {
    Ok(Pair::read_ca(read(certificate)?, read(key)?.into(), now)?)
}

/// In place of whatever was there: at no time can others read a key.
fn write(path: &Path, text: &str, mode: u32) -> anyhow::Result<()> {
    let new = PathBuf::from(format!("{}.new", path.display()));
    let written = || {
        let _ = fs::remove_file(&new);
        OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?.write_all(text.as_bytes())?;
        fs::rename(&new, path)
    };
    written().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::tls::{cas, certified_key, check, verify};

    #[test]
    fn a_namespace_that_cannot_be_is_refused() {
        use clap::Parser as _;

        #[derive(Debug, clap::Parser)]
        struct Line {
            #[command(flatten)]
            _certs: CertsArgs,
        }

        let line =
            |namespace: &str| Line::try_parse_from(["certs", "--out", "pki", "--namespace", namespace]);
        assert!(line("torch-2").is_ok());
        for bad in ["Bad_NS", "a.b", "a-", "*"] {
            let said = line(bad).unwrap_err().to_string();
            assert!(said.contains("write lower-case letters"), "{bad}: {said}");
        }
    }

    #[test]
    fn a_ca_is_made_once_and_signs_again_and_again() {
        let out = std::env::temp_dir().join(format!("torch-certs-{}", std::process::id()));
        let args = CertsArgs { service: "torch".into(), namespace: "da".into(), out: out.clone() };
        let made = || {
            args.make().unwrap();
            let [ca, crt, key] =
                [CA_CRT, TLS_CRT, TLS_KEY].map(|file| fs::read_to_string(out.join(file)).unwrap());
            let leaf = certified_key(&crt, &key).unwrap();
            check(&leaf, "torch.da.svc", Timestamp::now()).unwrap();
            verify(&leaf, &cas(&ca), "torch.da.svc", Timestamp::now()).unwrap();
            for file in [CA_KEY, TLS_KEY] {
                assert_eq!(fs::metadata(out.join(file)).unwrap().permissions().mode() & 0o777, 0o600);
            }
            (ca, crt)
        };
        let (first, second) = (made(), made());
        assert!(first.0 == second.0 && first.1 != second.1);
        let refused = || format!("{:#}", args.make().unwrap_err());
        fs::copy(out.join(TLS_KEY), out.join(CA_KEY)).unwrap();
        assert!(refused().contains("it is not the key of `ca.crt`"), "{}", refused());
        fs::remove_file(out.join(CA_KEY)).unwrap();
        assert!(refused().contains("ca.key: No such file"), "a CA is never replaced: {}", refused());
        fs::copy(out.join(TLS_KEY), out.join(CA_KEY)).unwrap();
        fs::copy(out.join(TLS_CRT), out.join(CA_CRT)).unwrap();
        assert!(refused().contains("`ca.crt` cannot be used: it is no CA's"), "{}", refused());
        fs::write(out.join(CA_CRT), "junk").unwrap();
        assert!(refused().contains("`ca.crt` cannot be used: it holds no certificate"), "{}", refused());
        fs::remove_dir_all(out).unwrap();
    }
}
