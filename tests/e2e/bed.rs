//! A namespace for one test, with all that a test does in it.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::process;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use crate::kubectl;
use crate::node::{self, Node};
use crate::pods::{Pod, Pods};
use crate::shell::{Shell, TOKEN};
use crate::wait::{SOON, check, eventually};

/// The pod from which the tests call others. It is there before Torch, and the configuration never
/// names it.
const CLIENT: &str = "client";

/// Its ServiceAccount, which may call all of REST.
const OPERATOR: &str = "operator";

pub fn torch_image() -> String {
    env::var("TORCH_IMAGE").unwrap_or_else(|_| "localhost/torch:test".into())
}

pub fn peer_image() -> String {
    env::var("PEER_IMAGE").unwrap_or_else(|_| "localhost/peer:test".into())
}

/// A namespace, its pods, and a shell inside.
pub struct Bed {
    pub pods: Pods,
    pub shell: Shell,
    pub namespace: Namespace,
}

/// A namespace that is removed at the end, with what a Torch leaves outside of it.
pub struct Namespace {
    pub name: String,
    /// A directory of this machine for the manifests of the test.
    pub directory: PathBuf,
}

impl Namespace {
    /// Made with the label by which the API server refuses pods that ask for more than `level`.
    pub fn make(test: &str, level: &str) -> Self {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let name = format!("torch-{test}-{:x}{:04x}", process::id(), time.subsec_micros() & 0xffff);
        let directory = env::temp_dir().join(&name);
        fs::create_dir(&directory).expect("a directory in the temporary one");
        let made = Self { name, directory };
        let labels = json!({"pod-security.kubernetes.io/enforce": level, "torch.celestia.org/test": "e2e"});
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.name, "labels": labels}});
        kubectl::apply(&made.name, &object);
        made
    }

    /// The name of all that belongs to this namespace and stands in none.
    pub fn outside(&self) -> String {
        format!("torch-{}", self.name)
    }

    /// The name of a ClusterRole for callers of this namespace's Torch.
    pub fn role(&self, role: &str) -> String {
        format!("torch:{}:{role}", self.name)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let outside = self.outside();
        let kinds = "mutatingadmissionpolicybinding,mutatingadmissionpolicy,mutatingwebhookconfiguration,clusterrolebinding,clusterrole,flowschema";
        let [nodes, operator] = ["nodes", "operator"].map(|role| self.role(role));
        let delete = ["delete", "--ignore-not-found", kinds, &outside, &nodes, &operator];
        let _ = kubectl::attempt(&delete, None);
        let _ = kubectl::attempt(&["delete", "--wait=false", "namespace", &self.name], None);
        let _ = fs::remove_dir_all(&self.directory);
    }
}

impl Bed {
    pub fn make(test: &str) -> Self {
        let namespace = Namespace::make(test, "restricted");
        let pods = Pods::watch(&namespace.name);
        // Made by a controller of the cluster, a moment after the namespace; pods need it.
        eventually("the ServiceAccount of the nodes", SOON, || {
            kubectl::get(&namespace.name, "serviceaccount/default")
        });
        kubectl::apply(&namespace.name, &node::start_script());
        make_operator(&namespace);
        let mut client = node::bare_pod(CLIENT, "exec sleep infinity");
        client["spec"]["serviceAccountName"] = json!(OPERATOR);
        kubectl::apply(&namespace.name, &client);
        pods.wait_ready(CLIENT, SOON);
        let shell = Shell::open(&namespace.name, CLIENT);
        Self { pods, shell, namespace }
    }

    pub fn name(&self) -> &str {
        &self.namespace.name
    }

    #[track_caller]
    pub fn apply(&self, object: &Value) {
        kubectl::apply(self.name(), object);
    }

    /// Has the API server refuse no pod for what it asks for.
    pub fn allow_everything(&self) {
        let level = "pod-security.kubernetes.io/enforce=privileged";
        self.kubectl(&["label", "--overwrite", "namespace", self.name(), level]);
    }

    /// kubectl in this namespace; it must succeed.
    #[track_caller]
    pub fn kubectl(&self, args: &[&str]) -> String {
        kubectl::run(&[&["-n", self.name()], args].concat())
    }

    #[track_caller]
    pub fn start<'a>(&self, nodes: impl IntoIterator<Item = &'a Node>) {
        nodes.into_iter().for_each(|node| self.apply(&node.manifest()));
    }

    /// Starts them and waits for them to be ready.
    #[track_caller]
    pub fn start_ready<'a>(&self, nodes: impl IntoIterator<Item = &'a Node> + Clone) {
        self.start(nodes.clone());
        for node in nodes {
            self.pods.wait_ready(&node.name, SOON);
        }
    }

    /// Deletes a node's pod by hand; gives the one that follows it, once it is ready.
    #[track_caller]
    pub fn recreate(&self, node: &str) -> Pod {
        let before = self.pods.now().of(node).len();
        let pod = self.pods.wait("a pod to delete", SOON, |pods| pods.current(node).cloned());
        self.kubectl(&["delete", "pod", pod.name()]);
        self.pods.wait(&format!("the next pod of {node} is ready"), SOON, |pods| {
            check(pods.of(node).len() > before, || "there is none".into())?;
            pods.ready(node).cloned()
        })
    }

    /// The peer id of a node, as it says itself.
    #[track_caller]
    pub fn peer_id(&self, node: &str) -> String {
        eventually(&format!("{node} says who it is"), SOON, || {
            let info = self.rpc(node, "p2p.Info")?;
            let id = info["ID"].as_str().ok_or_else(|| info.to_string())?;
            Ok(id.to_owned())
        })
    }

    /// The address that a node of the examples must have.
    #[track_caller]
    pub fn address(&self, node: &str) -> String {
        format!("/dns/{node}-0.{node}/tcp/2121/p2p/{}", self.peer_id(node))
    }

    /// Waits for both nodes to say that they are connected to the other.
    #[track_caller]
    pub fn wait_connected(&self, a: &str, b: &str) {
        eventually(&format!("{a} and {b} are connected"), SOON, || self.connected(a, b));
    }

    /// Whether both nodes say that they are connected to the other.
    pub fn connected(&self, a: &str, b: &str) -> Result<(), String> {
        for (node, other) in [(a, b), (b, a)] {
            let id = self.rpc(other, "p2p.Info")?["ID"].take();
            let peers = self.rpc(node, "p2p.Peers")?;
            let is_there = peers.as_array().is_some_and(|all| all.contains(&id));
            check(is_there, || format!("{node} is connected to {peers}, not to {id}, which is {other}"))?;
        }
        Ok(())
    }

    fn rpc(&self, node: &str, method: &str) -> Result<Value, String> {
        let history = self.pods.now();
        let ip = history.current(node)?.ip();
        let call = format!(
            r#"--data '{{"id":1,"jsonrpc":"2.0","method":"{method}","params":[]}}' http://{ip}:26658"#
        );
        let answer = self.shell.curl(&call)?;
        check(answer.status == 200, || format!("{answer:?}"))?;
        Ok(answer.json()["result"].take())
    }

    /// What a node's program was called with, told by the kernel.
    #[track_caller]
    pub fn command_line(&self, node: &str) -> String {
        self.exec(node, &["sh", "-c", "tr '\\0' ' ' </proc/1/cmdline"])
    }

    #[track_caller]
    pub fn exec(&self, node: &str, command: &[&str]) -> String {
        let pod = self.pods.now().current(node).unwrap_or_else(|why| panic!("{why}")).name().to_owned();
        self.kubectl(&[&["exec", &pod, "--"], command].concat())
    }

    /// Waits for a node's file to hold exactly these addresses.
    #[track_caller]
    pub fn wait_file(&self, node: &str, path: &str, addresses: &str) {
        let line = format!("export TRUSTED_PEERS=\"{addresses}\"\n");
        let file = format!("{path}/TRUSTED_PEERS");
        eventually(&format!("the file of {node} holds {addresses}"), SOON, || {
            let history = self.pods.now();
            let pod = history.current(node)?.name();
            let found = kubectl::attempt(&["exec", "-n", self.name(), pod, "--", "cat", &file], None)?;
            check(found == line, || format!("it holds {found}"))
        });
    }

    /// Sees that a node's spec carries exactly these addresses, with the mount for its file.
    #[track_caller]
    pub fn assert_injected(&self, node: &str, addresses: &str) {
        let history = self.pods.now();
        let pod = history.current(node).unwrap_or_else(|why| panic!("{why}"));
        assert_eq!(pod.variable("TRUSTED_PEERS"), Some(addresses), "{node}");
        let mount = pod.mount("/tmp").unwrap_or_else(|| panic!("{node} has no mount at /tmp"));
        assert_eq!((&mount["name"], &mount["subPath"]), (&json!("data"), &json!("torch")), "{node}");
        assert_ne!(pod.text("/metadata/annotations/torch.celestia.org~1injected"), "", "{node}");
    }

    #[track_caller]
    pub fn assert_restarts<const N: usize>(&self, expected: [(&str, usize); N]) {
        let found = expected.map(|(node, _)| (node, self.pods.restarts(node)));
        assert_eq!(found, expected, "restarts: {:#?}", self.pods.now().trace());
    }

    /// Tells what there is, for whoever reads of a failure.
    fn report(&self) {
        let namespace = self.name();
        let list =
            self.shell.curl(&format!("--cacert /tmp/ca.crt {TOKEN} https://torch.{namespace}.svc/list"));
        let kubectl = |args: &[&str]| {
            kubectl::attempt(&[&["-n", namespace], args].concat(), None).unwrap_or_else(|why| why)
        };
        eprintln!("--- {namespace}: /list\n{}", list.map_or_else(|why| why, |answer| answer.body));
        eprintln!("--- Torch's log\n{}", kubectl(&["logs", "deployment/torch", "--tail=200"]));
        eprintln!("--- pods\n{}", kubectl(&["get", "pods", "-o", "wide"]));
        eprintln!("--- all pods that there were\n{}", self.pods.now().trace().join("\n"));
        eprintln!("--- events\n{}", kubectl(&["events"]));
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if thread::panicking() {
            self.report();
        }
    }
}

/// A ServiceAccount for whoever runs the nodes, as the README has it made.
fn make_operator(namespace: &Namespace) {
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": OPERATOR}});
    kubectl::apply(&namespace.name, &account);
    let role = namespace.role("operator");
    let account = format!("--serviceaccount={}:{OPERATOR}", namespace.name);
    kubectl::run(&["create", "clusterrolebinding", &role, &format!("--clusterrole={role}"), &account]);
}
