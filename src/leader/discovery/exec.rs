//! The probe `exec`: a command in the container prints who the node is.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::peers::PeerId;

/// How much the command may print, in bytes.
const LIMIT: usize = 64 * 1024;

/// How long it may run.
const WITHIN: Duration = Duration::from_secs(5);

pub(super) async fn ask(
    cluster: &Cluster,
    pod: &str,
    container: &str,
    command: &[String],
) -> Result<PeerId, String> {
    let command: Vec<&str> = command.iter().map(String::as_str).collect();
    let output = cluster.exec(pod, container, &command, LIMIT, WITHIN).await.map_err(|e| e.to_string())?;
    if output.code != 0 {
        return Err(format!(
            "`{}` exited with {}: {}",
            command.join(" "),
            output.code,
            shorten(&output.stderr)
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    peer_id(&text).map_err(|why| format!("`{}` {why}", command.join(" ")))
}

/// The one peer id in a text, wherever it stands: alone, in JSON, at the end of an address. An error
/// that `celestia` prints with exit code 0 has none.
///
/// # Errors
/// Where there is none, or more than one.
pub fn peer_id(text: &str) -> Result<PeerId, String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let mut ids: Vec<PeerId> = words.filter_map(word).collect();
    ids.sort();
    ids.dedup();
    match ids[..] {
        [id] => Ok(id),
        [] => Err(format!("printed no peer id: {}", shorten(text))),
        _ => Err(format!("printed {} different peer ids", ids.len())),
    }
}

/// Ids of Ed25519, secp256k1 and RSA keys have 46 to 53 characters.
fn word(word: &str) -> Option<PeerId> {
    if (46..=53).contains(&word.len()) { word.parse().ok() } else { None }
}

/// What a node said, as it may stand in a log: the beginning, without control characters.
pub(super) fn shorten(text: &str) -> String {
    text.trim().chars().take(120).collect::<String>().escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";
    const OTHER: &str = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA";

    #[test]
    fn a_peer_id_is_found_wherever_it_stands() {
        for text in [
            format!("{PEER}\n"),
            format!(
                "{{\n  \"result\": {{\n    \"id\": \"{PEER}\",\n    \"peer_addr\": [\"/ip4/10.0.0.1/tcp/2121\"]\n}}}}"
            ),
            format!("/dns/da-0/tcp/2121/p2p/{PEER} {PEER}"),
            "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N".into(),
        ] {
            assert!(peer_id(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_none_or_not_the_only_one_is_refused() {
        let cut = &PEER[..51];
        for text in ["", "{\"result\":\"connection refused\"}", cut, "x", &"1".repeat(52)] {
            assert!(peer_id(text).unwrap_err().contains("no peer id"), "{text}");
        }
        assert!(peer_id(&format!("{PEER} {OTHER}")).unwrap_err().contains("2 different"));
    }
}
