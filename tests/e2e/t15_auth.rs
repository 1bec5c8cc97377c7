//! Who may call what, on the real API server: each path, by each kind of caller.

use std::fs;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;

use crate::bed::Bed;
use crate::kubectl;
use crate::node::Node;
use crate::shell::{Answer, quote};
use crate::torch::{PAIR, Torch};
use crate::wait::{SOON, check, eventually};

/// Nodes whose addresses are known without their being there.
const KNOWN: &str = r#"
mutualPeers:
  - peers:
      - nodeName: da-bridge-1
        probe: [address: /dns/a.example/tcp/2121/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV]
      - nodeName: da-full-1
        probe: [address: /dns/b.example/tcp/2121/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV]
"#;

/// Every path of REST, with what is said to it.
const PATHS: [(&str, &str); 4] = [
    ("/config", ""),
    ("/list", ""),
    ("/gen", r#"--data '{"podName":"da-full-1"}'"#),
    ("/genAll", "--data ''"),
];

/// The account that every pod has whose author names no other.
const DEFAULT: &str = "default";

#[test]
fn t15_who_may_call_what() {
    let [bed, elsewhere] = ["t15", "t15b"].map(Bed::make);
    let [torch, other_torch] = [&bed, &elsewhere].map(|bed| Torch::deploy(bed, KNOWN));
    for torch in [&torch, &other_torch] {
        torch.wait_node("da-full-1", "/address", |address| !address.is_empty());
    }

    let [nobody, nothing] = [[401; 4], [403; 4]];
    let [node, operator] = [[403, 403, 200, 403], [200; 4]];
    let of_torch = |bed: &Bed| format!("torch.{}.svc", bed.name());
    let callers = [
        ("nobody", None, nobody),
        ("garbage", Some("garbage".into()), nobody),
        ("garbage of a token's form", Some(unsigned(&bed)), nobody),
        // API servers grant a minute, for clocks that differ.
        ("expired", Some(signed(&bed, -90)), nobody),
        ("the same, not expired yet", Some(signed(&bed, 600)), node),
        ("for another audience", Some(token(&bed, DEFAULT, Some("elsewhere"))), nobody),
        ("for the Torch of elsewhere", Some(token(&bed, DEFAULT, Some(&of_torch(&elsewhere)))), nobody),
        ("a node", Some(token(&bed, DEFAULT, None)), node),
        ("a node, for this Torch alone", Some(token(&bed, DEFAULT, Some(&of_torch(&bed)))), node),
        ("a node of elsewhere", Some(token(&elsewhere, DEFAULT, None)), nothing),
        (
            "a node of elsewhere, for this Torch alone",
            Some(token(&elsewhere, DEFAULT, Some(&of_torch(&bed)))),
            nothing,
        ),
        ("the operator of elsewhere", Some(token(&elsewhere, "operator", None)), nothing),
        ("Torch's own", Some(token(&bed, "torch", None)), node),
        ("the operator", Some(token(&bed, "operator", None)), operator),
    ];
    for (who, token, expected) in &callers {
        let statuses = PATHS.map(|(path, body)| call(&torch, path, body, token.as_deref()).status);
        assert_eq!(statuses, *expected, "{who} on {PATHS:?}");
    }
    let of_elsewhere = Some(token(&elsewhere, DEFAULT, None));
    assert_eq!(
        call(&other_torch, "/gen", PATHS[2].1, of_elsewhere.as_deref()).status,
        200,
        "at its own Torch it may"
    );

    refusals_say_why(&bed, &torch);
    leave_ends_with_the_account(&bed, &torch);
    nothing_of_a_token_is_logged(&bed, callers.iter().filter_map(|(_, token, _)| token.as_deref()));
}

fn refusals_say_why(bed: &Bed, torch: &Torch) {
    let says = |answer: &Answer, word: &str| {
        assert!(answer.json()["errors"][0].as_str().is_some_and(|e| e.contains(word)), "{word}: {answer:?}");
    };
    let answer = call(torch, "/list", "", None);
    assert!(answer.headers.contains(&r#"www-authenticate: bearer realm="torch""#.into()), "{answer:?}");
    says(&answer, "Authorization: Bearer");
    let answer = call(torch, "/list", "", Some("garbage"));
    let challenge = r#"www-authenticate: bearer realm="torch", error="invalid_token""#;
    assert!(answer.headers.contains(&challenge.into()), "{answer:?}");
    let answer = call(torch, "/list", "", Some(&token(bed, DEFAULT, None)));
    says(&answer, &format!("system:serviceaccount:{}:default may not", bed.name()));
    says(&answer, &format!("`get` on the non-resource URL /torch/{}/list", bed.name()));
    // What kubectl says of the rules is what Torch makes of them.
    let may = |verb: &str, path: &str| {
        let url = format!("/torch/{}{path}", bed.name());
        let account = format!("--as=system:serviceaccount:{}:default", bed.name());
        let group = format!("--as-group=system:serviceaccounts:{}", bed.name());
        kubectl::attempt(&["auth", "can-i", verb, &url, &account, &group], None).is_ok()
    };
    assert!(may("post", "/gen") && !may("get", "/list") && !may("post", "/genAll"));
}

/// An answer is remembered for a minute, not for ever.
fn leave_ends_with_the_account(bed: &Bed, torch: &Torch) {
    bed.kubectl(&["create", "serviceaccount", "guest"]);
    let token = token(bed, "guest", None);
    let status = || call(torch, PATHS[2].0, PATHS[2].1, Some(&token)).status;
    assert_eq!(status(), 200);
    bed.kubectl(&["delete", "serviceaccount", "guest"]);
    eventually("the token of a deleted account is refused", SOON, || {
        let status = status();
        check(status == 401, || status.to_string())
    });
}

fn nothing_of_a_token_is_logged<'a>(bed: &Bed, tokens: impl Iterator<Item = &'a str>) {
    let log = bed.kubectl(&["logs", "deployment/torch", "--all-containers", "--tail=-1"]);
    assert!(!log.is_empty());
    for token in tokens.filter(|token| token.len() > 20) {
        let signature = token.rsplit('.').next().unwrap_or(token);
        assert!(!log.contains(signature), "a token is in the log: {log}");
    }
}

/// The API server shows a client certificate to webhooks (`tests/cluster/up` has it do so).
#[test]
fn t15_reviews_by_client_certificate() {
    let bed = Bed::make("t15c");
    let torch = Torch::deploy(&bed, PAIR);
    // The cluster's CA, which in the test bed signs that certificate, too.
    let patch = json!([
        {"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": "--webhook-client-ca=/etc/client-ca/ca.crt"},
        {"op": "add", "path": "/spec/template/spec/containers/0/volumeMounts/-", "value": {"name": "client-ca", "mountPath": "/etc/client-ca"}},
        {"op": "add", "path": "/spec/template/spec/volumes/-", "value": {"name": "client-ca", "configMap": {"name": "kube-root-ca.crt"}}},
    ]);
    bed.kubectl(&["patch", "deployment/torch", "--type=json", "-p", &patch.to_string()]);
    bed.kubectl(&["rollout", "status", "deployment/torch", "--timeout=120s"]);

    let review = |path: &str| torch.curl(path, "--data '{}'").unwrap_or_else(|why| panic!("{why}"));
    eventually("the old Torch is gone", SOON, || {
        let answer = review("/mutate");
        check(answer.status == 403, || format!("{answer:?}"))
    });
    assert_eq!(torch.get("/list").status, 200, "REST goes by tokens, not by certificates");
    bed.start_ready(&Node::pair());
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
    }
}

fn call(torch: &Torch, path: &str, body: &str, token: Option<&str>) -> Answer {
    let header = token.map(|token| format!("-H {}", quote(&format!("Authorization: Bearer {token}"))));
    let arguments = format!("{} {body}", header.unwrap_or_default());
    torch.curl_as_nobody(path, &arguments).unwrap_or_else(|why| panic!("{why}"))
}

fn token(bed: &Bed, account: &str, audience: Option<&str>) -> String {
    let audience = audience.map(|audience| format!("--audience={audience}"));
    let mut args = vec!["create", "token", account];
    args.extend(audience.as_deref());
    bed.kubectl(&args).trim().to_owned()
}

/// The claims of a node's token that ends in so many seconds.
fn claims(bed: &Bed, ends_in: i64) -> String {
    let real = token(bed, DEFAULT, None);
    let real = BASE64_URL_SAFE_NO_PAD.decode(real.split('.').nth(1).unwrap()).unwrap();
    let mut claims: serde_json::Value = serde_json::from_slice(&real).unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().try_into().unwrap_or(0_i64);
    claims["exp"] = json!(now + ends_in);
    for begin in ["nbf", "iat"] {
        claims[begin] = json!(now - 3600);
    }
    claims.to_string()
}

fn unsigned(bed: &Bed) -> String {
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    format!("{}.{}.{}", encode(br#"{"alg":"ES256"}"#), encode(claims(bed, 600).as_bytes()), encode(&[7; 64]))
}

/// Signed with the test bed's own key, since an API server issues no token for less than ten minutes.
fn signed(bed: &Bed, ends_in: i64) -> String {
    let pem = kubectl::test_bed().join("pki/sa.key");
    assert!(fs::exists(&pem).unwrap_or(false), "{} is needed to sign a token", pem.display());
    let to_pkcs8 = ["pkcs8", "-topk8", "-nocrypt", "-outform", "DER", "-in"];
    let key = Command::new("openssl").args(to_pkcs8).arg(&pem).output().expect("openssl runs").stdout;
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key, &random).unwrap();
    let encode = |part: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(part);
    let text = format!("{}.{}", encode(br#"{"alg":"ES256"}"#), encode(claims(bed, ends_in).as_bytes()));
    let signature = key.sign(&random, text.as_bytes()).unwrap();
    format!("{text}.{}", encode(signature.as_ref()))
}
