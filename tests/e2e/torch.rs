//! Torch in a test's namespace, deployed as its users do and called as their nodes do.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::bed::{Bed, torch_image};
use crate::kubectl;
use crate::pods::Pod;
use crate::shell::{Answer, Shell, TOKEN, quote};
use crate::wait::{SOON, check, eventually};

/// The group of the original project's example.
pub const PAIR: &str = r#"
mutualPeers:
  - peers:
      - nodeName: "da-bridge-1"
        containerName: "da"
      - nodeName: "da-full-1"
        containerName: "da"
    trustedPeersPath: "/tmp"
"#;

/// A Torch that runs.
pub struct Torch<'a> {
    bed: &'a Bed,
    /// What the overlay has beside what every test's has.
    more: String,
}

impl<'a> Torch<'a> {
    /// Deploys the project's own manifests, by an overlay, and waits until they serve.
    #[track_caller]
    pub fn deploy(bed: &'a Bed, config: &str) -> Self {
        Self::deploy_with(bed, config, "")
    }

    /// The same, with more lines in the overlay.
    #[track_caller]
    pub fn deploy_with(bed: &'a Bed, config: &str, more: &str) -> Self {
        for manifests in ["deploy", "webhook-config", "certs"] {
            copy(Path::new(manifests), &bed.namespace.directory.join(manifests));
        }
        let torch = Self { bed, more: more.to_owned() };
        torch.configure(config);
        torch.wait_ready();
        eventually("the CA is published", SOON, || torch.trust());
        torch
    }

    /// Has the shell trust the CA that is published now.
    pub fn trust(&self) -> Result<(), String> {
        let map = kubectl::get(self.bed.name(), "configmap/torch-ca")?;
        let ca = map["data"]["ca.crt"].as_str().ok_or_else(|| map.to_string())?;
        self.bed.shell.run(&format!("echo {} >/tmp/ca.crt", quote(ca))).map(drop)
    }

    /// Applies the manifests with this configuration.
    #[track_caller]
    pub fn configure(&self, config: &str) {
        let overlay = self.overlay();
        fs::create_dir_all(&overlay).expect("a directory in the test's own");
        fs::write(format!("{overlay}/config.yaml"), config).expect("a file in the test's own directory");
        let kustomization = kustomization(self.bed.name(), &torch_image()) + &self.more;
        fs::write(format!("{overlay}/kustomization.yaml"), kustomization)
            .expect("a file in the test's own directory");
        kubectl::run(&["apply", "-k", &overlay]);
    }

    /// Changes the configuration, and has the kubelet notice now: it looks at a pod's ConfigMaps whenever
    /// the pod changes, and else about once a minute.
    #[track_caller]
    pub fn reconfigure(&self, config: &str) {
        self.configure(config);
        let pod = self.pod();
        self.bed.kubectl(&["annotate", "--overwrite", "pod", &pod, &format!("e2e={}", config.len())]);
    }

    /// Takes it away, with all that came with it.
    #[track_caller]
    pub fn remove(&self) {
        kubectl::run(&["delete", "-k", &self.overlay()]);
    }

    pub fn scale(&self, replicas: u32) {
        self.bed.kubectl(&["scale", "deployment/torch", &format!("--replicas={replicas}")]);
    }

    /// Waits for all replicas to be ready, and for one of them to lead.
    #[track_caller]
    pub fn wait_ready(&self) {
        eventually("Torch is ready", SOON, || {
            let deployment = kubectl::get(self.bed.name(), "deployment/torch")?;
            let status = &deployment["status"];
            let wanted = &deployment["spec"]["replicas"];
            let all = [&status["readyReplicas"], &status["updatedReplicas"], &status["replicas"]];
            check(all.iter().all(|count| *count == wanted), || format!("not all replicas are: {status}"))?;
            self.leader()
        });
    }

    /// The pod that leads.
    pub fn leader(&self) -> Result<Pod, String> {
        let lease = kubectl::get(self.bed.name(), "lease/torch")?;
        let history = self.bed.pods.now();
        let leader = history.all_of_torch().find(|pod| lease["spec"]["holderIdentity"] == pod.name());
        leader.filter(|pod| pod.stays()).cloned().ok_or_else(|| format!("nobody leads: {lease}"))
    }

    /// Waits for nothing of it to answer any more: a Torch that stops still does for a while.
    #[track_caller]
    pub fn wait_gone(&self) {
        self.bed.pods.wait("Torch is gone", SOON, |pods| {
            let left = pods.all_of_torch().find(|pod| !pod.gone);
            left.map_or(Ok(()), |pod| Err(format!("{} is there", pod.name())))
        });
    }

    pub fn namespace(&self) -> &str {
        self.bed.name()
    }

    pub fn shell(&self) -> &Shell {
        &self.bed.shell
    }

    /// The name of the pod that leads.
    #[track_caller]
    pub fn pod(&self) -> String {
        eventually("one leads", SOON, || self.leader()).name().to_owned()
    }

    /// Calls it by TLS as one who may call everything; `arguments` as in a shell.
    pub fn curl(&self, path: &str, arguments: &str) -> Result<Answer, String> {
        self.curl_as_nobody(path, &format!("{TOKEN} {arguments}"))
    }

    /// Calls it by TLS and shows no token.
    pub fn curl_as_nobody(&self, path: &str, arguments: &str) -> Result<Answer, String> {
        let url = format!("https://torch.{}.svc{path}", self.bed.name());
        self.bed.shell.curl(&format!("--cacert /tmp/ca.crt {arguments} {}", quote(&url)))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.curl(path, "").unwrap_or_else(|why| panic!("{why}"))
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &str) -> Answer {
        let arguments = format!("-H 'Content-Type: application/json' --data-binary {}", quote(body));
        self.curl(path, &arguments).unwrap_or_else(|why| panic!("{why}"))
    }

    /// Gets from the plain port of the replica that leads.
    #[track_caller]
    pub fn get_plain(&self, path: &str) -> Answer {
        let url = format!("http://{}:8080{path}", eventually("one leads", SOON, || self.leader()).ip());
        self.bed.shell.curl(&quote(&url)).unwrap_or_else(|why| panic!("{why}"))
    }

    /// A node on `/list`, by its name in the configuration.
    pub fn node(&self, name: &str) -> Result<Value, String> {
        let answer = self.curl("/list", "")?;
        check(answer.status == 200, || format!("{answer:?}"))?;
        let body = answer.json()["body"].take();
        let found = body.as_array().and_then(|nodes| nodes.iter().find(|n| n["node"] == name));
        found.cloned().ok_or_else(|| format!("/list has no {name}: {body}"))
    }

    /// Waits for a field of a node on `/list` to be so.
    #[track_caller]
    pub fn wait_node(&self, name: &str, pointer: &str, is_so: impl Fn(&str) -> bool) -> Value {
        eventually(&format!("{pointer} of {name} on /list"), SOON, || {
            let node = self.node(name)?;
            let value = node.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            check(is_so(value), || format!("it is {node}"))?;
            Ok(node)
        })
    }

    /// Waits for a node's address on `/list` to be this.
    #[track_caller]
    pub fn wait_address(&self, node: &str, address: &str) {
        self.wait_node(node, "/address", |found| found == address);
    }

    /// The address book as it is kept in the cluster.
    #[track_caller]
    pub fn book(&self) -> Value {
        let map = kubectl::get(self.bed.name(), "configmap/torch-book").unwrap_or_else(|why| panic!("{why}"));
        map["data"].clone()
    }

    fn overlay(&self) -> String {
        self.bed.namespace.directory.join("overlay").display().to_string()
    }
}

/// What `deploy/kustomization.yaml` tells its users to write.
fn kustomization(namespace: &str, image: &str) -> String {
    let (name, tag) = image.rsplit_once(':').expect("TORCH_IMAGE has a tag");
    format!(
        "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: {namespace}
resources: [../deploy]
transformers: [../deploy/follow-namespace]
images:
  - name: ghcr.io/celestiaorg/torch
    newName: {name}
    newTag: {tag}
configMapGenerator:
  - name: torch-config
    behavior: replace
    files: [config.yaml]
"
    )
}

fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-r").args([from, to]).status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "cannot copy {} to {}",
        from.display(),
        to.display()
    );
}
