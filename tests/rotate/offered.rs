//! What Torch's TLS port offers, tried from outside with openssl, as testssl does.

use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::bed::Bed;
use crate::kubectl;

/// The cipher suites of TLS 1.2 that may be offered: with forward secrecy and authenticated encryption.
const SUITES: [&str; 3] =
    ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"];

/// So that OpenSSL itself refuses nothing.
const ANY: &str = "ALL:COMPLEMENTOFALL:@SECLEVEL=0";

/// Tries all; says what is offered in a few words.
pub fn check(bed: &Bed) -> String {
    let service = kubectl::get(bed.name(), "service/torch").expect("it is deployed");
    let port = Port { at: format!("{}:443", service["spec"]["clusterIP"].as_str().unwrap_or_default()) };
    let versions: Vec<&str> = ["ssl3", "tls1", "tls1_1", "tls1_2", "tls1_3"]
        .into_iter()
        .filter(|v| port.takes(&[&format!("-{v}")]))
        .collect();
    assert_eq!(versions, ["tls1_2", "tls1_3"]);
    let suites: Vec<String> = all_suites()
        .into_iter()
        .filter(|suite| port.takes(&["-tls1_2", "-cipher", &format!("{suite}:@SECLEVEL=0")]))
        .collect();
    assert!(suites.iter().all(|suite| SUITES.contains(&suite.as_str())) && !suites.is_empty(), "{suites:?}");
    assert!(port.says("", &["-alpn", "http/1.1"]).contains("ALPN protocol: http/1.1"));
    assert!(!port.takes(&["-alpn", "h2"]), "HTTP/2 is spoken");
    let plain = port.says("", &["-tls1_2"]);
    assert!(
        plain.contains("Secure Renegotiation IS supported") && plain.contains("Compression: NONE"),
        "{plain}"
    );
    let renegotiated = port.says("R\n", &["-tls1_2"]);
    assert!(renegotiated.contains("no renegotiation"), "a client may renegotiate: {renegotiated}");
    assert!(!port.says("", &["-tls1_3"]).contains("Early data was accepted"));
    format!("TLS 1.2 and 1.3 only, {} suites with 1.2", suites.len())
}

/// Those that OpenSSL knows for TLS 1.2 and below.
fn all_suites() -> Vec<String> {
    let output = Command::new("openssl").args(["ciphers", "-tls1_2", ANY]).output().expect("openssl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.trim().split(':').filter(|suite| !suite.starts_with("TLS_")).map(String::from).collect()
}

struct Port {
    at: String,
}

impl Port {
    /// Whether it shows its certificate.
    fn takes(&self, arguments: &[&str]) -> bool {
        self.says("", arguments).contains("-----BEGIN CERTIFICATE")
    }

    /// What openssl says of a handshake, and of what it was typed in then.
    fn says(&self, typed: &str, arguments: &[&str]) -> String {
        let has_ciphers = arguments.contains(&"-cipher");
        let any: &[&str] = if has_ciphers { &[] } else { &["-cipher", ANY] };
        let mut openssl = Command::new("openssl")
            .args(["s_client", "-connect", &self.at])
            .args(arguments)
            .args(any)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("openssl runs");
        let mut stdin = openssl.stdin.take().expect("it was asked for");
        let _ = stdin.write_all(typed.as_bytes());
        if !typed.is_empty() {
            std::thread::sleep(std::time::Duration::from_secs(1));
        }
        drop(stdin);
        let output = openssl.wait_with_output().expect("it ends");
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
    }
}
