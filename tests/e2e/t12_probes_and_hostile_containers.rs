//! Every way to learn who a node is, and containers that would do Torch harm.

use serde_json::json;

use crate::bed::Bed;
use crate::node::{Node, bare_pod};
use crate::torch::Torch;
use crate::wait::{A_WHILE, SOON, eventually};

const EVERY_PROBE: &str = "
restart: {when: [partial]}
mutualPeers:
  - peers:
      - {nodeName: by-dial, probe: [dial]}
      - {nodeName: by-exec, probe: [exec]}
      - {nodeName: by-command, probe: [exec: [sh, -c, 'celestia p2p info; echo it was I >&2']]}
      - {nodeName: by-log, probe: [log]}
      - {nodeName: by-rpc, probe: [rpc: {tokenSecret: {name: of-by-rpc}}]}
      - {nodeName: by-second, probe: [exec: [false], dial]}
      - {nodeName: by-address, probe: [address: /dns/elsewhere.example/tcp/1/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV]}
";

const FIXED: &str = "/dns/elsewhere.example/tcp/1/p2p/12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

#[test]
fn t12_every_probe() {
    let bed = Bed::make("t12a");
    let learned = ["by-dial", "by-exec", "by-command", "by-log", "by-rpc", "by-second"];
    let nodes = learned.map(|name| match name {
        "by-rpc" => Node::light(name).with_rpc_tokens(),
        _ => Node::light(name),
    });
    bed.start_ready(&nodes);
    let torch = Torch::deploy(&bed, EVERY_PROBE);
    torch.wait_address("by-address", FIXED);
    for node in ["by-dial", "by-exec", "by-command", "by-log", "by-second"] {
        torch.wait_address(node, &bed.address(node));
    }

    // Without its token Torch is told nothing, and says so.
    torch.wait_node("by-rpc", "/waitsFor/message", |why| why.contains("of-by-rpc"));
    grant_token(&bed);
    let id = own_id(&bed, "by-rpc");
    torch.wait_address("by-rpc", &format!("/dns/by-rpc-0.by-rpc/tcp/2121/p2p/{id}"));

    let metrics = torch.get_plain("/metrics").body;
    for probe in ["dial", "exec", "log", "rpc"] {
        let line = format!("torch_probes_total{{probe=\"{probe}\",outcome=\"success\"}}");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
        let of = format!("{{probe=\"{probe}\",outcome=\"success\"}} ");
        let value = |name: &str| -> f64 {
            let metric = format!("torch_probe_duration_seconds_{name}{of}");
            let found = metrics.lines().find_map(|line| line.strip_prefix(&metric));
            found.unwrap_or_else(|| panic!("{metric} is not in {metrics}")).parse().unwrap()
        };
        let (sum, count) = (value("sum"), value("count"));
        assert!(count >= 1.0 && sum > 0.0, "{probe}: {count} took {sum} s");
        println!("{probe}: {:.1} ms, the mean of {count}", 1000.0 * sum / count);
    }
}

/// Puts the node's token in a Secret that Torch may read.
fn grant_token(bed: &Bed) {
    let printed = bed.exec("by-rpc", &["celestia", "light", "auth", "admin"]);
    let token = printed.lines().last().unwrap();
    bed.apply(&json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "of-by-rpc"},
        "stringData": {"token": token},
    }));
    bed.kubectl(&[
        "create",
        "role",
        "token",
        "--verb=get",
        "--resource=secrets",
        "--resource-name=of-by-rpc",
    ]);
    let account = format!("--serviceaccount={}:torch", bed.name());
    bed.kubectl(&["create", "rolebinding", "token", "--role=token", &account]);
}

/// A peer id as the node's own program tells it.
fn own_id(bed: &Bed, node: &str) -> String {
    let info: serde_json::Value =
        serde_json::from_str(&bed.exec(node, &["celestia", "p2p", "info"])).unwrap();
    info["result"]["id"].as_str().unwrap().to_owned()
}

/// A peer id that is none of a node here.
const FOREIGN: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

/// The hostile ones, with a pair among them that is as any other.
const HOSTILE: &str = r#"
mutualPeers:
  - peers: [{nodeName: da-bridge-1}, {nodeName: da-full-1}]
  - restart: {settle: 1h}
    peers:
      - {nodeName: endless-exec, probe: [exec: ["yes"]]}
      - {nodeName: endless-error, probe: [exec: [sh, -c, "yes >&2"]]}
      - {nodeName: endless-log, probe: [log]}
      - {nodeName: endless-port, probe: [dial]}
      - {nodeName: no-id, probe: [exec: [echo, 12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5p]]}
      - {nodeName: wrong-id, probe: [exec: [echo, 12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV]]}
      - {nodeName: silent-exec, probe: [exec: [sleep, "1000"]]}
      - {nodeName: silent-port, probe: [dial]}
      - {nodeName: silent-rpc, probe: [rpc]}
      - {nodeName: expansion, probe: [exec: [cat, /tmp/said]]}
      - {nodeName: false-shell, probe: [exec: [cat, /tmp/said]]}
      - {nodeName: silent-shell, probe: [exec: [cat, /tmp/said]]}
"#;

/// Of these nothing is learned.
const UNKNOWN: [&str; 8] = [
    "endless-exec",
    "endless-error",
    "endless-log",
    "endless-port",
    "no-id",
    "silent-exec",
    "silent-port",
    "silent-rpc",
];

#[test]
fn t12_hostile_containers() {
    let bed = Bed::make("t12b");
    let idle = "sleep infinity";
    let hostile = [
        ("endless-exec", idle.to_owned()),
        ("endless-error", idle.to_owned()),
        // More than a node's log is read of, then on and on.
        ("endless-log", "yes $(seq 400) | head -c 1000000; while sleep 1; do echo and more; done".into()),
        ("endless-port", "nc -ll -p 2121 -e yes".into()),
        ("no-id", idle.to_owned()),
        ("silent-exec", idle.to_owned()),
        ("silent-port", "nc -ll -p 2121 -e sleep 1000".into()),
        ("silent-rpc", "nc -ll -p 26658 -e sleep 1000".into()),
        (
            "expansion",
            format!("echo '/dns/$(touch /tmp/run)`touch /tmp/run`/tcp/1/p2p/{FOREIGN}' >/tmp/said; {idle}"),
        ),
        ("false-shell", shell_instead("while :; do echo TRUSTED_PEERS=\"$(seq 400)\"; done")),
        ("silent-shell", shell_instead("sleep 1000")),
    ];
    for (name, script) in &hostile {
        bed.apply(&hostile_pod(name, script));
    }
    for (name, _) in &hostile {
        bed.pods.wait_ready(name, SOON);
    }
    bed.start_ready([&Node::light("wrong-id")]);
    let torch = Torch::deploy(&bed, HOSTILE);
    for node in UNKNOWN {
        let node = torch.wait_node(node, "/waitsFor/message", |why| why.contains(": "));
        assert_eq!(
            (&node["address"], &node["waitsFor"]["reason"]),
            (&json!(null), &json!("address")),
            "{node}"
        );
    }

    // While all of them do what they can, a pair is treated as any other.
    bed.start(&Node::pair());
    for node in ["da-bridge-1", "da-full-1"] {
        torch.wait_node(node, "/variable", |from| from == "spec");
        bed.pods.wait_ready(node, SOON);
    }
    bed.wait_connected("da-bridge-1", "da-full-1");
    bed.assert_injected("da-full-1", &bed.address("da-bridge-1"));
    bed.assert_injected("da-bridge-1", &bed.address("da-full-1"));

    // Whoever gives a wrong id is found out when its peers' way to it is tried.
    torch.wait_node("wrong-id", "/reach/state", |state| state == "otherPeer");
    // Of what a node prints only its peer id is taken, and nothing is ever run.
    for node in ["expansion", "false-shell", "silent-shell"] {
        let address = format!("/dns/{node}/tcp/2121/p2p/{FOREIGN}");
        torch.wait_address(node, &address);
    }
    let others = ["wrong-id-0.wrong-id", "false-shell", "silent-shell"];
    let others = others.map(|host| format!("/dns/{host}/tcp/2121/p2p/{FOREIGN}")).join(",");
    bed.wait_file("expansion", "/tmp", &others);
    bed.exec("expansion", &["test", "!", "-e", "/tmp/run"]);

    bed.pods.stay_as_they_are(A_WHILE);
    for node in ["da-bridge-1", "da-full-1"] {
        // On a slow machine the other may be known before this one is created.
        let was_early = bed.pods.now().of(node)[0].variable("TRUSTED_PEERS").is_none();
        assert_eq!(bed.pods.restarts(node), usize::from(was_early), "{node}");
    }
    for node in UNKNOWN {
        assert_eq!(torch.node(node).unwrap()["address"], json!(null), "{node}");
    }
    assert_eq!(torch.leader().unwrap().container_restarts(), 0, "they brought Torch down");
    let log = bed.kubectl(&["logs", &torch.pod()]);
    assert!(log.len() < 64 * 1024, "they filled Torch's log: {} bytes", log.len());
    eventually("Torch still answers at once", SOON, || torch.curl("/list", "--max-time 2"));
}

/// Whoever runs `sh` in the container runs this; the script ends as the others do.
fn shell_instead(script: &str) -> String {
    format!(
        "mkdir /tmp/bin; printf '#!/bin/dash\\n%s\\n' '{script}' >/tmp/bin/sh; chmod +x /tmp/bin/sh; \
         echo {FOREIGN} >/tmp/said; sleep infinity"
    )
}

/// A pod whose commands are looked for in `/tmp/bin` first.
fn hostile_pod(name: &str, script: &str) -> serde_json::Value {
    let mut pod = bare_pod(name, &format!("export PATH=${{PATH#*:}}; touch /tmp/ready; {script}"));
    let container = &mut pod["spec"]["containers"][0];
    container["env"] = json!([
        {"name": "PATH", "value": "/tmp/bin:/usr/local/bin:/usr/bin:/bin"},
        {"name": "HOSTILE", "value": "$(touch /tmp/run)`touch /tmp/run`"},
    ]);
    pod["metadata"]["annotations"] = json!({"hostile": "$(touch /tmp/run)`touch /tmp/run`\"'"});
    pod
}
