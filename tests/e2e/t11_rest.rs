//! REST, as another pod of the namespace calls it.

use std::fs;

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::node::{Node, bare_pod};
use crate::shell::{Answer, TOKEN};
use crate::torch::Torch;
use crate::wait::{SOON, check, eventually};

/// The bodies that the original project's text shows.
const ONE: &str = r#"{"podName":"da-bridge-1"}"#;
const TWO: &str = r#"{"podName":["da-bridge-1","da-full-1"]}"#;

#[test]
fn t11_rest() {
    let bed = Bed::make("t11");
    bed.start_ready(&Node::pair());
    let seed = fs::read_to_string("deploy/config.yaml").expect("the manifests have a configuration");
    let torch = Torch::deploy(&bed, &seed);
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
    }

    config(&torch);
    list(&bed, &torch);
    generate(&bed, &torch);
    generate_all(&bed, &torch);
    nothing_known(&torch);
    refused(&torch);
}

fn config(torch: &Torch) {
    let body = granted(&torch.get("/config"));
    let groups = body["mutualPeers"].as_array().unwrap();
    let nodes: Vec<_> =
        groups.iter().flat_map(|g| g["peers"].as_array().unwrap()).map(|p| &p["nodeName"]).collect();
    assert_eq!(nodes, ["da-bridge-1", "da-full-1", "da-bridge-2", "da-full-2"]);
    assert_eq!(groups[0]["peers"][0]["containerName"], "da");
    assert_eq!(groups[0]["peers"][0]["trustedPeersPath"], "/tmp");
}

fn list(bed: &Bed, torch: &Torch) {
    let body = granted(&torch.get("/list"));
    let all = body.as_array().unwrap();
    let pods: Vec<_> = all.iter().map(|n| &n["pod"]).collect();
    assert_eq!(pods, ["da-bridge-1-0", "da-full-1-0", "da-bridge-2", "da-full-2"]);
    let [bridge, ..] = all.as_slice() else { panic!("{body}") };
    assert_eq!(bridge["node"], "da-bridge-1");
    assert_eq!(bridge["groups"], json!(["group-1"]));
    assert_eq!(bridge["phase"], "Running");
    assert_eq!(bridge["address"], json!(bed.address("da-bridge-1")));
    assert_eq!(bridge["variable"], "spec");
    assert_eq!(bridge["restarts"], 1);
    assert_eq!(bridge["waitsFor"], Value::Null);
    let absent = &all[2];
    assert_eq!((&absent["phase"], &absent["waitsFor"]["reason"]), (&json!("NotFound"), &json!("pod")));
}

fn generate(bed: &Bed, torch: &Torch) {
    let [bridge, full] = ["da-bridge-1", "da-full-1"].map(|node| bed.address(node));
    let both = json!({"da-bridge-1-0": bridge, "da-full-1-0": full});
    let names = [
        ONE,
        r#"{"podName":"da-bridge-1-0"}"#,
        r#"{"nodeName":"da-bridge-1"}"#,
        r#" { "nodeName" : "da-bridge-1-0" } "#,
    ];
    for body in names {
        let answer = torch.post("/gen", body);
        assert_eq!(granted(&answer), both, "{body}");
        assert_eq!(answer.json()["trustedPeers"], json!(full), "{body}");
    }
    let text = "-H 'Accept: text/plain' --data-binary";
    let answer = torch.curl("/gen", &format!("{text} '{ONE}'")).unwrap();
    assert_eq!((answer.status, answer.body), (200, format!("{full}\n")));
    let answer = torch.curl("/gen", &format!("{text} '{{\"podName\":\"da-full-1-0\"}}'")).unwrap();
    assert_eq!((answer.status, answer.body), (200, format!("{bridge}\n")));
}

fn generate_all(bed: &Bed, torch: &Torch) {
    let [bridge, full] = ["da-bridge-1", "da-full-1"].map(|node| bed.address(node));
    let both = json!({"da-bridge-1-0": bridge, "da-full-1-0": full});
    for body in [TWO, r#"{"podName":[]}"#, "{}", "", r#"{"nodeName":["da-full-1-0"]}"#] {
        let answer = torch.post("/genAll", body);
        assert_eq!(granted(&answer), both, "{body}");
    }
    let values = torch.post("/genAll", TWO).json()["trustedPeers"].take();
    assert_eq!(values, json!({"da-bridge-1": full, "da-full-1": bridge}));
}

/// The second pair is not there.
fn nothing_known(torch: &Torch) {
    let answers = [
        torch.post("/gen", r#"{"podName":"da-bridge-2"}"#),
        torch.curl("/gen", r#"-H 'Accept: text/plain' --data-binary '{"podName":"da-full-2"}'"#).unwrap(),
        torch.post("/genAll", r#"{"podName":["da-bridge-2","da-full-2"]}"#),
    ];
    for answer in &answers {
        let errors = denied(answer, 503);
        assert!(errors.contains("no address is known yet"), "{errors}");
        assert!(answer.headers.iter().any(|h| h.starts_with("retry-after: ")), "{answer:?}");
    }
}

fn refused(torch: &Torch) {
    let errors = denied(&torch.post("/gen", r#"{"podName":"who"}"#), 404);
    assert!(errors.contains("`who`"), "{errors}");
    let errors = denied(&torch.post("/genAll", r#"{"podName":["da-bridge-1","who","whom"]}"#), 404);
    assert!(
        errors.contains("`who`") && errors.contains("`whom`") && !errors.contains("da-bridge-1"),
        "{errors}"
    );
    for body in ["", "{", "[]", "{}", "null", r#"{"podName":1}"#, r#"{"podName":["da-bridge-1"]}"#] {
        denied(&torch.post("/gen", body), 400);
    }
    for body in ["{", r#"{"podName":"da-bridge-1"}"#, r#"{"podName":[1]}"#] {
        denied(&torch.post("/genAll", body), 400);
    }
    for path in ["/", "/nothing", "/gen/da-bridge-1"] {
        denied(&torch.get(path), 404);
    }
    for path in ["/gen", "/genAll"] {
        denied(&torch.get(path), 405);
    }
    for path in ["/config", "/list"] {
        denied(&torch.post(path, "{}"), 405);
    }
    for path in ["/gen", "/genAll"] {
        let large = "head -c 3000000 /dev/zero | tr '\\0' ' ' >/tmp/large";
        let answer = torch.shell().run(large).and_then(|_| torch.curl(path, "--data-binary @/tmp/large"));
        denied(&answer.unwrap(), 413);
    }
}

/// So many ask for one node that does not answer that some are told to come again; it is asked once.
#[test]
fn t11_rest_too_many() {
    let bed = Bed::make("t11b");
    bed.apply(&bare_pod("silent", "exec nc -ll -p 2121 -e sleep 1000"));
    bed.pods.wait_ready("silent", SOON);
    let torch =
        Torch::deploy(&bed, "mutualPeers: [{peers: [{nodeName: silent, probe: [dial]}, {nodeName: other}]}]");
    torch.wait_node("silent", "/waitsFor/message", |why| why.contains("dial: "));
    let probes = probes(&torch);

    let many = "-Z --parallel-immediate --parallel-max 80 -o /dev/null -w '%{http_code} '";
    let url = format!("'https://torch.{}.svc/gen?[1-80]'", bed.name());
    let ask =
        format!("curl -s --cacert /tmp/ca.crt {TOKEN} --data '{{\"podName\":\"silent\"}}' {many} {url}");
    let statuses = bed.shell.run(&ask).unwrap();
    let count = |status: &str| statuses.split_whitespace().filter(|s| *s == status).count();
    assert!(count("429") > 0 && count("503") > 0, "{statuses}");
    assert_eq!(count("429") + count("503"), 80, "{statuses}");
    let more = self::probes(&torch) - probes;
    assert!(more <= 3, "{more} probes of one node for 80 requests");
    eventually("it is served again", SOON, || {
        let answer = torch.post("/gen", r#"{"podName":"silent"}"#);
        check(answer.status == 503, || format!("{answer:?}"))
    });
}

fn probes(torch: &Torch) -> u32 {
    let metrics = torch.get_plain("/metrics").body;
    let lines = metrics.lines().filter(|line| line.starts_with("torch_probes_total{probe=\"dial\""));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse::<u32>().ok()).sum()
}

/// The body of a request that is granted, in the form that all answers have.
#[track_caller]
fn granted(answer: &Answer) -> Value {
    let mut json = answer.json();
    assert_eq!((answer.status, &json["status"]), (200, &json!(200)), "{answer:?}");
    assert_eq!(json.get("errors"), None, "{answer:?}");
    json["body"].take()
}

/// The errors of a request that is not.
#[track_caller]
fn denied(answer: &Answer, status: u16) -> String {
    let json = answer.json();
    assert_eq!((answer.status, &json["status"]), (status, &json!(status)), "{answer:?}");
    assert_eq!(json.get("body"), Some(&Value::Null), "{answer:?}");
    let errors = json["errors"].as_array().filter(|all| !all.is_empty());
    errors
        .unwrap_or_else(|| panic!("no errors: {answer:?}"))
        .iter()
        .map(|e| e.as_str().unwrap())
        .collect::<Vec<_>>()
        .join("; ")
}
