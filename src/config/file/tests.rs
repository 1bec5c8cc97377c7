use super::*;
use crate::peers::Who;

const SEED: &str = r#"mutualPeers:
  - peers:
      - nodeName: "da-bridge-1"
        containerName: "da"
      - nodeName: "da-full-1"
        containerName: "da"
    trustedPeersPath: "/tmp"
"#;

fn problems(text: &str) -> Vec<String> {
    parse(text).expect_err("taken").0.iter().map(Problem::to_string).collect()
}

#[track_caller]
fn refused(text: &str, expected: &str) {
    let problems = problems(text);
    assert!(problems.iter().any(|p| p.contains(expected)), "{expected:?} is not in {problems:#?}");
}

fn group(inner: &str) -> String {
    format!("mutualPeers:\n  - peers:\n      - nodeName: a\n{inner}")
}

#[test]
fn the_seeds_file_works_unchanged() {
    let config = parse(SEED).unwrap();
    let names: Vec<_> = config.groups[0].peers.iter().map(|p| p.node_name.as_str()).collect();
    assert_eq!(names, ["da-bridge-1", "da-full-1"]);
    let settings = config.settings(Who { pod: "da-full-1", workload: None }).unwrap();
    assert_eq!((settings.container_name.as_str(), settings.trusted_peers_path.as_str()), ("da", "/tmp"));
    assert_eq!(*settings.probe, [Probe::Dial, Probe::exec()]);
}

#[test]
fn the_nearest_level_wins() {
    let config = parse(
        "port: 1\nincludeSelf: true\nmutualPeers:\n  - port: 2\n    peers:\n      - {nodeName: a, port: 3}\n      - nodeName: b\n  - peers: [{nodeName: c}]\n",
    )
    .unwrap();
    let ports: Vec<u16> = config.groups.iter().flat_map(|g| &g.peers).map(|p| p.settings.port).collect();
    assert_eq!(ports, [3, 2, 1]);
    assert!(config.groups[0].peers[0].settings.include_self);
}

#[test]
fn every_option_is_understood() {
    let id = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";
    let config = parse(&group(&format!(
        "        host: \"{{pod}}.da\"\n        volume: {{claimName: data, subPath: x/y}}\n        restart: {{when: [early, changed], settle: 5s}}\n        probe: [dial, exec, {{exec: [id]}}, log, rpc, {{rpc: {{port: 7, tokenSecret: {{name: t}}}}}}, {{address: /dns/x/tcp/1/p2p/{id}}}]\n"
    )))
    .unwrap();
    let settings = &config.groups[0].peers[0].settings;
    assert_eq!(settings.probe.len(), 7);
    assert_eq!(settings.restart.settle, SignedDuration::from_secs(5));
    assert!(settings.restart.early && settings.restart.changed && !settings.restart.partial);
    let volume = settings.volume.as_ref().unwrap();
    assert_eq!((&volume.source, volume.sub_path.as_str()), (&VolumeSource::ClaimName("data".into()), "x/y"));
}

#[test]
fn mistakes_are_refused_with_their_place() {
    refused("mutualPeers: []", "line 1, column 14: `mutualPeers` is empty");
    refused("mutualPeers:\n  - peers: []", "line 2, column 12: a group without `peers`");
    refused(&group("        nodename: b\n"), "line 4, column 9: unknown field `nodename`");
    refused(&group("      - nodeName: a\n"), "line 4, column 19: `a` stands in this group twice");
    refused(&group("        port: 1\n        port: 2\n"), "duplicate");
    refused(&group("        port: 0\n"), "port 0 cannot be dialled");
    refused(&group("        port: 70000\n"), "line 4, column 15: write a whole number");
    refused(&group("        host: \"a b\"\n"), "is not a DNS name");
    refused(&group("    trustedPeersPath: tmp\n"), "write an absolute directory");
    refused(&group("    trustedPeersPath: /\n"), "write an absolute directory");
    refused(&group("    trustedPeersPath: /a/../b\n"), "write an absolute directory");
    for kernels in ["/proc/peers", "/sys", "/proc/"] {
        refused(&group(&format!("    trustedPeersPath: {kernels}\n")), "which is the kernel's");
    }
    refused(&group(&format!("    trustedPeersPath: /a/{}\n", "b".repeat(256))), "255 bytes at most");
    refused(
        &group(&format!("        volume: {{name: a, subPath: {}}}\n", "b".repeat(256))),
        "255 bytes at most",
    );
    refused("# a comment\n---\n", "the file is empty");
    refused("apiVersion: v1\nkind: ConfigMap\n", "what stands in its `data`");
    refused("mutualPeers: [{peers: [a, b]}]", "write each peer as");
    refused("mutualPeers: [{peers: [{nodeName: a}]}]\nrestart: never", "`restart: {when: []}` is never");
    refused(&group("        probe: []\n"), "`probe` is empty");
    refused(&group("        probe: [ping]\n"), "unknown probe `ping`");
    refused(&group("        probe: [{address: /dns/a}]\n"), "it has no port");
    refused(&group("        volume: {}\n"), "write one of `claimName`");
    refused(&group("        volume: {name: a, subPath: ../b}\n"), "relative directory");
    refused(&group("        restart: {settle: soon}\n"), "write it like `30s`");
    refused(&group("        restart: {when: [always]}\n"), "unknown variant `always`");
    refused("mutualPeers:\n  - peers: [{nodeName: \"a$(x)\"}]", "cannot be a nodeName");
    refused(
        "mutualPeers:\n  - {name: x, peers: [{nodeName: a}]}\n  - {name: x, peers: [{nodeName: b}]}",
        "a second group called `x`",
    );
    refused(
        "mutualPeers:\n  - peers: [{nodeName: a, port: 1}]\n  - peers: [{nodeName: a}]",
        "set differently",
    );
    refused(
        "mutualPeers:\n  - {name: group-2, peers: [{nodeName: a}]}\n  - peers: [{nodeName: b}]",
        "line 2, column 12: a second group",
    );
    refused("mutualPeers:", "a list is expected here");
    refused("hello", "fields are expected here");
    refused(
        "mutualPeers: []\n---\nmutualPeers: []",
        "line 2, column 1: one document is expected: take the `---` out",
    );
    refused(&group("        includeSelf: 1\n"), "write `true` or `false`");
    refused(&group("        restart: {when: early}\n"), "a list is expected here");
    refused("", "mutualPeers");
    refused("[", "line 1");
}

#[test]
fn a_group_that_no_variable_can_hold_is_refused() {
    let peers: String = (0..2000).map(|n| format!("      - nodeName: node-{n}\n")).collect();
    refused(&format!("mutualPeers:\n  - peers:\n{peers}"), "split the group");
}

#[test]
fn the_excerpt_points_at_the_place() {
    let text = group("        nodename: b\n");
    let problem = parse(&text).unwrap_err().0.remove(0);
    let shown = problem.excerpt("config.yaml", &text);
    assert!(shown.contains("--> config.yaml:4:9\n"), "{shown}");
    assert!(shown.ends_with("4 |         nodename: b\n  |         ^"), "{shown}");
}
