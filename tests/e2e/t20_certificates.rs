//! Whatever befalls the objects with Torch's certificates, callers go on trusting what it shows.

use std::fs;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use crate::bed::Bed;
use crate::kubectl;
use crate::torch::{PAIR, Torch};
use crate::wait::{SOON, check, eventually};

#[test]
fn t20_certificates() {
    let bed = Bed::make("t20");
    let torch = Torch::deploy(&bed, PAIR);
    eventually("the caBundle is filled", SOON, || check(!bundle(&bed)?.is_empty(), || "not yet".into()));
    let before = secret(&bed).expect("it was made");
    let trusted = (bundle(&bed), published(&bed));
    let shown = shown(&bed);
    // By the CA that the shell was given at first.
    let serves = |what: &str| {
        let answer = torch.curl("/list", "").unwrap_or_else(|why| panic!("{what}: {why}"));
        assert_eq!(answer.status, 200, "{what}: {answer:?}");
    };

    let registration = format!("mutatingwebhookconfiguration/{}", bed.namespace.outside());
    let remove = |object: &str, path: &str| {
        let patch = json!([{"op": "remove", "path": path}]).to_string();
        bed.kubectl(&["patch", object, "--type=json", "-p", &patch]);
    };
    let garble = |patch: Value| {
        bed.kubectl(&["patch", "secret/torch-tls", "-p", &json!({ "data": patch }).to_string()]);
    };
    let faults: [(&str, &dyn Fn()); 7] = [
        ("the caBundle is removed", &|| remove(&registration, "/webhooks/0/clientConfig/caBundle")),
        ("torch-ca is deleted", &|| drop(bed.kubectl(&["delete", "configmap", "torch-ca"]))),
        ("torch-ca is emptied", &|| remove("configmap/torch-ca", "/data")),
        ("torch-tls is deleted", &|| drop(bed.kubectl(&["delete", "secret", "torch-tls"]))),
        ("torch-tls is emptied", &|| remove("secret/torch-tls", "/data")),
        ("torch-tls is garbage", &|| garble(json!({"tls.crt": "eA=="}))),
        ("torch-tls has a key that does not fit", &|| garble(json!({"tls.key": before["ca.key"]}))),
    ];
    for (fault, happens) in faults {
        happens();
        eventually(&format!("all is as before, after {fault}"), SOON, || {
            check(secret(&bed)? == before, || "torch-tls is not".into())?;
            check((bundle(&bed), published(&bed)) == trusted, || "the CA is not".into())
        });
        serves(fault);
        assert_eq!(self::shown(&bed), shown, "{fault}: another certificate is shown");
    }
    let log = bed.kubectl(&["logs", "--tail=-1", "-l", "app.kubernetes.io/name=torch"]);
    for why in [
        "there is no entry `",
        "`tls.crt` cannot be used: it holds no certificate",
        "is not the key of `tls.crt`",
    ] {
        assert!(log.contains(why), "the log does not say {why}: {log}");
    }

    // From a backup, say.
    garble(other_secret(&bed));
    eventually("both CAs are trusted", SOON, || {
        for found in [published(&bed)?, bundle(&bed)?] {
            check(has_both(&found, &before), || found)?;
        }
        Ok(())
    });
    serves("torch-tls is replaced by another that is good");
    assert_eq!(self::shown(&bed), shown, "what is new is shown before everybody can have heard of its CA");
}

/// Whether the CA that was there before is in it, and one more.
fn has_both(ca: &str, before: &Value) -> bool {
    ca.contains(&text(&before["ca.crt"])) && ca.matches("BEGIN").count() == 2
}

/// What is kept in base64.
fn text(value: &Value) -> String {
    let bytes = STANDARD.decode(value.as_str().unwrap_or_default()).expect("the API server encodes it");
    String::from_utf8(bytes).expect("it is PEM")
}

fn other_secret(bed: &Bed) -> Value {
    let directory = bed.namespace.directory.join("certs-by-hand");
    let made = Command::new(env!("CARGO_BIN_EXE_torch"))
        .args(["certs", "--namespace", bed.name(), "--out"])
        .arg(&directory)
        .output();
    assert!(made.as_ref().is_ok_and(|made| made.status.success()), "torch certs: {made:?}");
    let files = ["ca.crt", "ca.key", "tls.crt", "tls.key"];
    let read = |file: &str| STANDARD.encode(fs::read(directory.join(file)).expect("it was made"));
    files.into_iter().map(|file| (file.to_owned(), Value::from(read(file)))).collect::<Map<_, _>>().into()
}

fn secret(bed: &Bed) -> Result<Value, String> {
    kubectl::get(bed.name(), "secret/torch-tls").map(|mut secret| secret["data"].take())
}

fn published(bed: &Bed) -> Result<String, String> {
    let map = kubectl::get(bed.name(), "configmap/torch-ca")?;
    Ok(map["data"]["ca.crt"].as_str().unwrap_or_default().to_owned())
}

fn bundle(bed: &Bed) -> Result<String, String> {
    let name = format!("mutatingwebhookconfiguration/{}", bed.namespace.outside());
    kubectl::get(bed.name(), &name)
        .map(|registration| text(&registration["webhooks"][0]["clientConfig"]["caBundle"]))
}

/// The certificate that is shown in a handshake.
fn shown(bed: &Bed) -> String {
    let service = kubectl::get(bed.name(), "service/torch").unwrap_or_else(|why| panic!("{why}"));
    let at = format!("{}:443", service["spec"]["clusterIP"].as_str().unwrap_or_default());
    let openssl = Command::new("openssl").args(["s_client", "-connect", &at]).stdin(Stdio::null()).output();
    let said = String::from_utf8(openssl.expect("openssl runs").stdout).expect("it prints text");
    let begin = said.find("-----BEGIN").unwrap_or_else(|| panic!("no certificate is shown: {said}"));
    said[begin..].split("-----END").next().unwrap_or_default().to_owned()
}
