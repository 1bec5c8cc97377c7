//! RPC tokens: JSON Web Tokens signed with HMAC-SHA256 that list what their bearer may do.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use clap::ValueEnum;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

const HEADER: &str = r#"{"alg":"HS256","typ":"JWT"}"#;

/// What a caller may do; each level includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Permission {
    /// Anyone.
    Public,
    /// Reads.
    Read,
    /// Reads and writes.
    Write,
    /// Everything, the p2p module among it.
    Admin,
}

#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(rename = "Allow")]
    allow: Vec<Permission>,
}

/// A token that allows everything up to `level`.
pub fn sign(secret: &[u8], level: Permission) -> String {
    let allow =
        Permission::value_variants().iter().copied().filter(|permission| *permission <= level).collect();
    let claims = serde_json::to_vec(&Claims { allow }).expect("claims are plain JSON");
    let signed = format!("{}.{}", BASE64.encode(HEADER), BASE64.encode(claims));
    let signature = mac(secret, &signed).finalize().into_bytes();
    format!("{signed}.{}", BASE64.encode(signature))
}

/// The highest level that a token allows; `None` if it was not signed with this secret.
pub fn verify(secret: &[u8], token: &str) -> Option<Permission> {
    let (signed, signature) = token.rsplit_once('.')?;
    let signature = BASE64.decode(signature).ok()?;
    mac(secret, signed).verify_slice(&signature).ok()?;
    let (_, claims) = signed.split_once('.')?;
    let claims: Claims = serde_json::from_slice(&BASE64.decode(claims).ok()?).ok()?;
    claims.allow.into_iter().max()
}

fn mac(secret: &[u8], signed: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(signed.as_bytes());
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_allows_its_level() {
        for level in Permission::value_variants() {
            assert_eq!(verify(b"secret", &sign(b"secret", *level)), Some(*level));
        }
    }

    #[test]
    fn a_foreign_or_changed_token_allows_nothing() {
        let token = sign(b"secret", Permission::Read);
        assert_eq!(verify(b"another", &token), None);
        let (signed, signature) = token.rsplit_once('.').unwrap();
        assert_eq!(verify(b"secret", &format!("{signed}x.{signature}")), None);
        for broken in ["", ".", "..", "nonsense", signed] {
            assert_eq!(verify(b"secret", broken), None, "{broken:?}");
        }
    }
}
