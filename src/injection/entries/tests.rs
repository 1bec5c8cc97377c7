use jiff::Timestamp;

use super::*;
use crate::config::{self, Meshes};
use crate::peers::Known;

const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

fn known(host: &str, workload: Option<&str>) -> Known {
    let address = format!("/dns/{host}/tcp/2121/p2p/{PEER}").parse().unwrap();
    let workload = workload.map(String::from);
    Known { address, workload, container: "c".into(), learned: Timestamp::UNIX_EPOCH }
}

fn book(pods: impl IntoIterator<Item = (String, Known)>) -> Book {
    Book { nodes: pods.into_iter().collect(), ..Book::default() }
}

fn made(config: &str, book: &Book) -> Injection {
    let meshes = Meshes::of(&config::parse(config).unwrap());
    let mut injection = Injection::new(meshes.configs().to_vec());
    for (mesh, book) in meshes.split(book).iter().enumerate() {
        injection.put(mesh, book);
    }
    injection
}

#[test]
fn an_entry_says_all_that_the_policy_asks() {
    let known = |pod: &str, workload| (pod.to_owned(), known(pod, workload));
    let made = made(
        "
mutualPeers:
  - peers: [{nodeName: other}]
  - peers: [{nodeName: a}, &b {nodeName: b, containerName: car, trustedPeersPath: /x y, includeSelf: true}]
  - peers: [*b, {nodeName: c, volume: {claimName: mine}}, {nodeName: d, volume: {name: v, subPath: s/t}}]
",
        &book([known("a-10", Some("a")), known("a-9", Some("a")), known("b", None), known("c", None)]),
    );
    let address = |host: &str| format!("/dns/{host}/tcp/2121/p2p/{PEER}");
    let entries = [
        ("other", "da\n/tmp\n-\ntorch\nothers\n0".to_owned()),
        ("group_0", String::new()),
        ("a", "da\n/tmp\n-\ntorch\nothers\n1".to_owned()),
        ("b", "car\n/x y\n-\ntorch\nall\n1 2".to_owned()),
        ("c", "da\n/tmp\nclaim mine\ntorch\nothers\n2".to_owned()),
        ("d", "da\n/tmp\nvolume v\ns/t\nothers\n2".to_owned()),
        ("group_1", format!("a-9 {}\na-10 {}\nb {}", address("a-9"), address("a-10"), address("b"))),
        ("group_2", format!("b {} 1\nc {}", address("b"), address("c"))),
    ];
    assert_eq!(*made.entries(0), entries.map(|(key, text)| (key.to_owned(), text)).into());
    assert_eq!((made.maps(), made.counts()), (1, (5, 0)));
    assert_eq!(*made.entries(1), Entries::new());
}

#[test]
fn an_address_stands_once_with_all_its_pods() {
    let pods = [("a-0".into(), known("same", Some("a"))), ("b".into(), known("same", None))];
    let made = made("mutualPeers: [{peers: [{nodeName: a}, {nodeName: b}]}]", &book(pods));
    assert_eq!(made.entries(0)["group_0"], format!("a-0,b /dns/same/tcp/2121/p2p/{PEER}"));
}

fn node(group: usize, member: usize) -> String {
    format!("node-{group:04}-of-{member:02}")
}

fn many(groups: usize, members: usize) -> (String, Book) {
    let peer = |group, member| format!("{{nodeName: {}}}", node(group, member));
    let peers = |group| (0..members).map(|member| peer(group, member)).collect::<Vec<_>>().join(", ");
    let config: String = (0..groups).map(|group| format!("\n  - peers: [{}]", peers(group))).collect();
    let names = (0..groups).flat_map(|group| (0..members).map(move |member| node(group, member)));
    let pods = names.map(|name| (format!("{name}-0"), known(&format!("{name}-0.{name}"), Some(&name))));
    (format!("mutualPeers:{config}"), book(pods))
}

#[test]
fn ten_thousand_nodes_find_room() {
    let (config, book) = many(2_000, 5);
    let made = made(&config, &book);
    assert_eq!((made.maps(), made.counts()), (4, (10_000, 0)));
    for map in &made.maps {
        assert_eq!(map.bytes, size(&map.entries));
        assert!(map.bytes < 600_000, "{}", map.bytes);
        for (_, text) in map.entries.iter().filter(|(key, _)| !key.starts_with("group_")) {
            let group = text.lines().last().unwrap();
            assert!(map.entries.contains_key(&format!("group_{group}")), "{text}");
        }
    }
}

#[test]
fn what_finds_no_room_is_left_out_and_counted_until_there_is_some() {
    let (config, small) = many(300, 5);
    let mut made = made(&config, &small);
    let before: Vec<Arc<Entries>> = made.maps.iter().map(|map| map.entries.clone()).collect();
    let hosts = (0..10_000).map(|pod| format!("{}-{pod}", node(7, 0)));
    let large = book(hosts.map(|pod| (pod.clone(), known(&pod, Some(&node(7, 0))))));
    made.put(7, &large);
    assert_eq!(made.counts(), (1495, 5));
    assert_eq!((made.entries(0).get(&node(7, 1)), made.entries(0).get("group_7")), (None, None));
    assert_eq!(made.maps[0].bytes, size(&made.maps[0].entries));

    let meshes = Meshes::of(&config::parse(&config).unwrap());
    made.put(7, &meshes.split(&small)[7]);
    assert_eq!(made.counts(), (1500, 0));
    assert_eq!(made.maps.iter().map(|map| map.entries.clone()).collect::<Vec<_>>(), before);
}
