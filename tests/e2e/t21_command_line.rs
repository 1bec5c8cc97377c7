//! How the nodes stand, as an operator sees it from outside: by `torch status` and `torch explain`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::bed::Bed;
use crate::kubectl;
use crate::node::Node;
use crate::torch::{PAIR, Torch};
use crate::wait::{SOON, check, eventually};

/// What `torch check --cluster` says of a Torch that is well.
const CHECKED: [&str; 6] = [
    "the API server answers",
    "2 of 2 replicas are ready",
    "has the 29 rights",
    "is of the caBundle's CA",
    " leads",
    "da-full-1-0 of group-1 is complete",
];

/// On what, by which reason.
const TOLD: [(&str, &str); 4] =
    [("Pod", "AddressLearned"), ("Pod", "Restarted"), ("StatefulSet", "Restarted"), ("Pod", "Injected")];

#[test]
fn t21_command_line() {
    let bed = Bed::make("t21");
    let torch = Torch::deploy(&bed, PAIR);
    eventually("somebody leads", SOON, || status(&bed).map(drop));
    let mut changes = follow(&bed);
    assert_eq!(changes.next().unwrap()["nodes"][0]["waitsFor"]["reason"], "pod");

    bed.start_ready(&Node::pair());
    let complete = |status: &Value| {
        let nodes = status["nodes"].as_array().unwrap();
        nodes.iter().all(|node| node["variable"] == "spec" && node["waitsFor"].is_null())
    };
    let last = changes.find(complete).expect("both are complete in the end");
    assert_eq!(last["nodes"][0]["pod"], "da-bridge-1-0");

    let table = run(&bed, &["status"]).unwrap();
    assert!(table.lines().nth(1).unwrap().starts_with("group-1  da-bridge-1-0  spec "), "{table}");
    let said = run(&bed, &["explain", "da-full-1-0"]).unwrap();
    assert!(said.contains("Torch put TRUSTED_PEERS into the pod when it was created."), "{said}");
    assert!(run(&bed, &["explain", "stranger"]).unwrap_err().contains("leaves stranger alone"));

    eventually("everything is as it should be", SOON, || {
        let checked = run(&bed, &["check", "--cluster"])?;
        let is_good = |what: &&str| checked.lines().any(|line| line.starts_with('✓') && line.contains(what));
        check(CHECKED.iter().all(is_good), || checked.clone())
    });

    eventually("what went well is told by Events", SOON, || {
        let events = kubectl::get(bed.name(), "events")?;
        let is_told = |(kind, reason): &(&str, &str)| {
            let mut all = events["items"].as_array().into_iter().flatten();
            all.any(|event| {
                [&event["type"], &event["involvedObject"]["kind"], &event["reason"]]
                    == ["Normal", kind, reason]
            })
        };
        check(TOLD.iter().all(is_told), || events.to_string())
    });

    what_is_wrong_is_found(&bed, &torch);

    let leader = torch.leader().unwrap();
    let answer = bed.shell.curl(&format!("http://{}:8080/status", leader.ip())).unwrap();
    assert_eq!(answer.status, 403, "no other pod is told: {answer:?}");
}

fn what_is_wrong_is_found(bed: &Bed, torch: &Torch<'_>) {
    let finds = |whose: &str, faults: &[&str]| {
        eventually(whose, SOON, || {
            let checked = run(bed, &["check", "--cluster"]).err().ok_or("all is good")?;
            let is_told =
                |what: &&str| checked.lines().any(|line| line.starts_with('✗') && line.contains(what));
            check(faults.iter().all(is_told), || checked.clone())
        });
    };
    let (bridge, full) = PAIR.rsplit_once("\"da\"").expect("each has its container");
    torch.reconfigure(&format!("{bridge}nobody{full}"));
    finds(
        "a container that is not there is found",
        &["da-full-1-0 of group-1: it has no container `nobody`"],
    );
    torch.reconfigure(&format!("{PAIR}\nmutualPeer: []\n"));
    finds("a refused configuration is found", &["configuration: the file is refused"]);
    let webhook = format!("mutatingwebhookconfiguration/{}", bed.namespace.outside());
    let port = r#"[{"op": "replace", "path": "/webhooks/0/clientConfig/service/port", "value": 8444}]"#;
    kubectl::run(&["patch", &webhook, "--type=json", "-p", port]);
    finds(
        "a port that is not there is found, and what is beside it",
        &["calls port 8444 of Service torch, which has 443", "it has no container `nobody`"],
    );
}

/// Each change, as it comes, for two minutes.
fn follow(bed: &Bed) -> impl Iterator<Item = Value> {
    let watch = torch_of(bed, &["status", "--watch", "--output", "json"]);
    let mut command = Command::new("timeout");
    let mut child = command
        .arg("120")
        .arg(watch.get_program())
        .args(watch.get_args())
        .stdout(Stdio::piped())
        .spawn()
        .expect("torch is built");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let child = Ended(child);
    lines.map(move |line| {
        let _until_then = &child;
        serde_json::from_str(&line.expect("it is text")).expect("it is JSON")
    })
}

/// Ends it with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn status(bed: &Bed) -> Result<Value, String> {
    let text = run(bed, &["status", "--output", "json"])?;
    let status: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    check(status["leader"] == status["answeredBy"] && status["leader"] != json!(null), || text)?;
    Ok(status)
}

fn run(bed: &Bed, arguments: &[&str]) -> Result<String, String> {
    let output = torch_of(bed, arguments).output().map_err(|e| e.to_string())?;
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    if output.status.success() { Ok(out) } else { Err(out + &err) }
}

fn torch_of(bed: &Bed, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_torch"));
    command.args(arguments).args(["--namespace", bed.name()]);
    command
}
