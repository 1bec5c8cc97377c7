//! Runs the program as the cluster's tests do: as processes that find each other on loopback.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

const CELESTIA: &str = env!("CARGO_BIN_EXE_celestia");
/// Enough for anything that these tests wait for, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(15);
/// Sooner than a node whose peers are silent gives up, much later than one whose peers refuse.
const SOON: Duration = Duration::from_secs(5);
const NO_HEADER: &str = "Error: node: failed to start: error getting latest head during Start: \
                         network head: subjective head: exchange head: header: not found";

/// Where a node keeps its keys and listens; lives on when the node is stopped.
struct Place {
    store: PathBuf,
    p2p_port: u16,
    rpc_port: u16,
}

impl Place {
    fn new(name: &str) -> Self {
        let store = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = fs::remove_dir_all(&store);
        Place { store, p2p_port: free_port(), rpc_port: free_port() }
    }

    fn start(&self, arguments: &[&str]) -> Node {
        let mut command = Command::new(CELESTIA);
        command
            .args(["light", "start", "--p2p.listen", "127.0.0.1", "--rpc.addr", "127.0.0.1"])
            .args(["--p2p.port", &self.p2p_port.to_string()])
            .args(["--rpc.port", &self.rpc_port.to_string()])
            .args(arguments)
            .env("CELESTIA_HOME", &self.store);
        Node::spawn(command)
    }

    fn start_trusting(&self, peers: &[&str], arguments: &[&str]) -> Node {
        let peers = peers.join(",");
        self.start(&[&["--headers.trusted-peers", &peers], arguments].concat())
    }

    fn run(&self, arguments: &[&str]) -> Output {
        Command::new(CELESTIA).args(arguments).env("CELESTIA_HOME", &self.store).output().unwrap()
    }

    /// `celestia p2p …` with the token from the store.
    fn p2p(&self, query: &str) -> serde_json::Value {
        let url = format!("http://127.0.0.1:{}", self.rpc_port);
        let output = self.run(&["p2p", query, "--url", &url]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn token(&self, level: &str) -> String {
        let output = self.run(&["light", "auth", level]);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 2, "{text}");
        assert!(lines[0].starts_with("WARNING"), "{text}");
        lines[1].to_owned()
    }

    /// The peer id; the key is made by a short run where there is none yet.
    fn id(&self) -> String {
        let mut node = self.start(&[]);
        node.wait_until_started();
        let id = node.id();
        assert!(node.stop().success());
        id
    }

    fn address(&self, id: &str) -> String {
        format!("/dns/localhost/tcp/{}/p2p/{id}", self.p2p_port)
    }

    fn rpc_is_open(&self) -> bool {
        TcpStream::connect((Ipv4Addr::LOCALHOST, self.rpc_port)).is_ok()
    }

    fn is_connected_to(&self, id: &str) -> bool {
        self.p2p("peers")["result"]["peers"]
            .as_array()
            .is_some_and(|peers| peers.iter().any(|peer| peer == id))
    }
}

/// A running node and what it has printed.
struct Node {
    child: Child,
    started: Instant,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Node {
    fn spawn(mut command: Command) -> Self {
        let started = Instant::now();
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Node { child, started, stdout, stderr }
    }

    fn stdout(&self) -> String {
        self.stdout.lock().unwrap().clone()
    }

    fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    fn wait_until_started(&self) {
        wait_until("the listening lines", || self.stdout().ends_with("\n\n"));
    }

    /// The peer id, from the listening lines.
    fn id(&self) -> String {
        let stdout = self.stdout();
        let (_, id) = stdout.trim_end().rsplit_once("/p2p/").unwrap();
        id.to_owned()
    }

    /// Ends the node as Kubernetes does.
    fn stop(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let stopped = Instant::now();
        let status = self.child.wait().unwrap();
        assert!(stopped.elapsed() < SOON, "slow to stop: {:?}", stopped.elapsed());
        status
    }

    /// Waits for the node to end by itself: its status and how long it ran.
    fn wait(&mut self) -> (ExitStatus, Duration) {
        let status = self.child.wait().unwrap();
        (status, self.started.elapsed())
    }

    fn assert_fails_without_header(&mut self) {
        let (status, ran) = self.wait();
        assert_eq!(status.code(), Some(1));
        assert!(ran >= Duration::from_millis(150) && ran < SOON, "{ran:?}");
        wait_until("the error", || self.stderr().contains(NO_HEADER));
        assert_eq!(self.stdout(), "");
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // Shown where the test failed.
        println!("stdout:\n{}\nstderr:\n{}", self.stdout(), self.stderr());
    }
}

fn collect(stream: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let shared = text.clone();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            shared.lock().unwrap().push_str(&(line + "\n"));
        }
    });
    text
}

/// A port below those that the system hands out by itself, so that nothing else takes it between
/// this call and its use.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let base = 20_000 + (std::process::id() % 100) as u16 * 100;
    loop {
        let port = base + NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "still waiting for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Calls a method: the HTTP status and the body.
fn call(place: &Place, method: &str, authorization: Option<&str>) -> (u16, String) {
    let body = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":[]}}"#);
    let authorization = authorization.map_or(String::new(), |value| format!("Authorization: {value}\r\n"));
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, place.rpc_port)).unwrap();
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{authorization}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, body.trim_end().to_owned())
}

#[test]
fn trusted_peers_connect_and_connect_again() {
    let (a, b) = (Place::new("pair-a"), Place::new("pair-b"));
    let mut node_a = a.start(&[]);
    node_a.wait_until_started();
    let id_a = node_a.id();
    let address_a = a.address(&id_a);
    let node_b = b.start_trusting(&[&address_a], &[]);
    node_b.wait_until_started();
    let id_b = node_b.id();

    wait_until("a connection", || a.is_connected_to(&id_b) && b.is_connected_to(&id_a));
    let by_name = format!("connected {id_a} {address_a}\n");
    assert!(node_b.stderr().contains(&by_name), "{}", node_b.stderr());
    assert!(node_a.stderr().contains(&format!("connected {id_b} listener\n")));

    assert!(node_a.stop().success());
    wait_until("the loss to be seen", || !b.is_connected_to(&id_a));
    let node_a = a.start(&[]);
    wait_until("another connection", || b.is_connected_to(&id_a));
    assert_eq!(node_b.stderr().matches(&by_name).count(), 2);
    node_a.wait_until_started();
    assert_eq!(node_a.id(), id_a);
}

#[test]
fn two_nodes_that_trust_each_other_start_in_any_order() {
    let (a, b) = (Place::new("mutual-a"), Place::new("mutual-b"));
    let (id_a, id_b) = (a.id(), b.id());
    let _node_a = a.start_trusting(&[&b.address(&id_b)], &[]);
    wait_until("A to be up", || a.rpc_is_open());
    let _node_b = b.start_trusting(&[&a.address(&id_a)], &[]);
    wait_until("B to be up", || b.rpc_is_open());
    wait_until("a connection", || a.is_connected_to(&id_b) && b.is_connected_to(&id_a));
}

#[test]
fn the_key_is_private_and_stays() {
    let place = Place::new("key");
    let id = place.id();
    assert!(id.starts_with("12D3KooW") && id.len() == 52, "{id}");
    assert_eq!(place.id(), id);
    let key = fs::metadata(place.store.join("keys/p2p-key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_store_is_in_the_home_by_default() {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("home");
    let _ = fs::remove_dir_all(&home);
    let output = Command::new(CELESTIA)
        .args(["bridge", "auth", "admin"])
        .env_remove("CELESTIA_HOME")
        .env("HOME", &home)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert!(home.join(".celestia-bridge/keys/jwt-secret.jwt").is_file());
}

#[test]
fn the_commands_print_as_the_real_ones() {
    let place = Place::new("commands");
    let node = place.start(&[]);
    node.wait_until_started();
    let id = node.id();
    let listen = format!("/ip4/127.0.0.1/tcp/{}", place.p2p_port);
    assert_eq!(node.stdout(), format!("The p2p host is listening on:\n*  {listen}/p2p/{id}\n\n"));

    let url = format!("http://127.0.0.1:{}", place.rpc_port);
    let store = place.store.to_str().unwrap();
    let info = place.run(&["p2p", "info", "--node.store", store, "--url", &url]);
    let expected = format!(
        "{{\n  \"result\": {{\n    \"id\": \"{id}\",\n    \"peer_addr\": [\n      \
         \"{listen}\"\n    ]\n  }}\n}}\n"
    );
    assert_eq!(String::from_utf8(info.stdout).unwrap(), expected);
    assert_eq!(place.p2p("peers"), serde_json::json!({ "result": { "peers": [] } }));
}

#[test]
fn the_commands_print_errors_as_results() {
    let place = Place::new("command-errors");
    let read = place.token("read");
    assert!(place.p2p("info")["result"].as_str().unwrap().contains("refused"));

    let node = place.start(&[]);
    node.wait_until_started();
    let url = format!("http://127.0.0.1:{}", place.rpc_port);
    for (token, expected) in [
        (&*read, "missing permission to invoke 'Info' (need 'admin')"),
        ("nonsense", "sendRequest failed: request failed, http status 401 Unauthorized"),
    ] {
        let output = place.run(&["p2p", "info", "--token", token, "--url", &url]);
        assert!(output.status.success(), "{output:?}");
        let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed["result"], expected);
    }
}

#[test]
fn rpc_asks_for_an_admin_token() {
    let place = Place::new("rpc");
    let node = place.start(&[]);
    node.wait_until_started();
    let bearer = |level| format!("Bearer {}", place.token(level));

    let missing = r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"missing permission to invoke 'Info' (need 'admin')"}}"#;
    assert_eq!(call(&place, "p2p.Info", None), (200, missing.to_owned()));
    assert_eq!(call(&place, "p2p.Info", Some(&bearer("read"))), (200, missing.to_owned()));
    for bad in ["Bearer nonsense", "nonsense", &bearer("admin").replace("Bearer", "Basic")] {
        assert_eq!(call(&place, "p2p.Info", Some(bad)), (401, String::new()), "{bad}");
    }

    let info = format!(
        r#"{{"jsonrpc":"2.0","id":1,"result":{{"Addrs":["/ip4/127.0.0.1/tcp/{}"],"ID":"{}"}}}}"#,
        place.p2p_port,
        node.id()
    );
    let admin = bearer("admin");
    assert_eq!(call(&place, "p2p.Info", Some(&admin)), (200, info));
    let peers = r#"{"jsonrpc":"2.0","id":1,"result":[]}"#;
    assert_eq!(call(&place, "p2p.Peers", Some(&admin)), (200, peers.to_owned()));
    let (status, body) = call(&place, "p2p.Nothing", Some(&admin));
    assert_eq!(status, 500);
    assert!(body.contains("method 'p2p.Nothing' not found"), "{body}");
}

#[test]
fn rpc_may_do_without_tokens() {
    let place = Place::new("skip-auth");
    let node = place.start(&["--rpc.skip-auth"]);
    node.wait_until_started();
    for authorization in [None, Some("Bearer nonsense")] {
        let (status, body) = call(&place, "p2p.Peers", authorization);
        assert_eq!((status, &*body), (200, r#"{"jsonrpc":"2.0","id":1,"result":[]}"#));
    }
}

#[test]
fn bad_trusted_peers_are_fatal() {
    let place = Place::new("bad-peer");
    for bad in ["/dns/localhost/tcp/2121", "localhost"] {
        let mut node = place.start_trusting(&[bad], &[]);
        assert_eq!(node.wait().0.code(), Some(1));
        wait_until("the error", || node.stderr().contains("invalid p2p multiaddr"));
    }
}

#[test]
fn a_node_does_not_dial_itself() {
    let (a, b) = (Place::new("self-a"), Place::new("self-b"));
    let (id_a, id_b) = (a.id(), b.id());
    let (own, other) = (a.address(&id_a), b.address(&id_b));
    a.start_trusting(&[&own], &[]).assert_fails_without_header();

    let node_b = b.start(&[]);
    node_b.wait_until_started();
    let node_a = a.start_trusting(&[&own, &other], &["--require-peers"]);
    node_a.wait_until_started();
    assert!(node_a.stderr().contains("dial to self attempted"));
    assert!(a.is_connected_to(&id_b));
}

#[test]
fn a_node_that_requires_peers_fails_without() {
    Place::new("no-peers").start(&["--require-peers"]).assert_fails_without_header();
}

#[test]
fn a_node_that_requires_peers_fails_where_they_refuse() {
    let (a, b) = (Place::new("refused-a"), Place::new("refused-b"));
    let id = b.id();
    let unresolvable = format!("/dns/peer.invalid/tcp/2121/p2p/{id}");
    for address in [b.address(&id), unresolvable] {
        a.start_trusting(&[&address], &["--require-peers"]).assert_fails_without_header();
    }
}

#[test]
fn a_node_that_requires_peers_opens_rpc_when_it_has_one() {
    let (a, b, stranger) = (Place::new("wait-a"), Place::new("wait-b"), Place::new("wait-c"));
    let (id_a, id_b, nobody) = (a.id(), b.id(), Place::new("wait-nobody").id());
    // The kernel takes connections for it, and nobody answers them.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let silent_address = format!("/ip4/127.0.0.1/tcp/{}/p2p/{nobody}", silent.local_addr().unwrap().port());
    let node_a = a.start_trusting(&[&silent_address, &b.address(&id_b)], &["--require-peers"]);

    // While it waits its p2p port works, also for strangers, and RPC stays closed.
    let stranger = stranger.start_trusting(&[&a.address(&id_a)], &[]);
    wait_until("a stranger's connection", || stranger.stderr().contains(&format!("connected {id_a} ")));
    thread::sleep(Duration::from_millis(500));
    assert!(!a.rpc_is_open());
    assert_eq!(node_a.stdout(), "");

    let _node_b = b.start(&[]);
    node_a.wait_until_started();
    assert!(a.rpc_is_open());
    assert!(a.is_connected_to(&id_b));
}
