//! The nodes of the tests: those of `deploy/examples`, with the peer of the tests as their program.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::bed::peer_image;
use crate::kubectl;

/// A Service and a StatefulSet.
#[derive(Clone)]
pub struct Node {
    pub name: String,
    service: Value,
    set: Value,
}

impl Node {
    /// A node like the example's bridge: it starts without peers.
    pub fn bridge(name: &str) -> Self {
        Self::like("da-bridge-1", name, "bridge")
    }

    /// A node like the example's light one.
    pub fn light(name: &str) -> Self {
        Self::like("da-full-1", name, "light")
    }

    /// Both nodes of the example.
    pub fn pair() -> [Self; 2] {
        [Self::bridge("da-bridge-1"), Self::light("da-full-1")]
    }

    /// An example by another name. It does not ask Torch, unless [`Node::wait_for_torch`] says so.
    fn like(example: &str, name: &str, node_type: &str) -> Self {
        let renamed = |kind| {
            let found = examples().iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == example);
            let text = found.expect("the example is there").to_string().replace(example, name);
            serde_json::from_str(&text).expect("a name is no syntax")
        };
        let mut node =
            Self { name: name.to_owned(), service: renamed("Service"), set: renamed("StatefulSet") };
        node.container()["image"] = json!(peer_image());
        node.container()["args"] = json!(["celestia", node_type, "start", "--rpc.skip-auth"]);
        node.env("TRUSTED_PEERS_FLAG", "--headers.trusted-peers").wait_for_torch("0")
    }

    /// How long `start.sh` asks Torch, in its own words.
    pub fn wait_for_torch(self, seconds: &str) -> Self {
        self.env("TORCH_WAIT", seconds)
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        let env = self.container()["env"].as_array_mut().expect("the examples have it");
        env.retain(|v| v["name"] != name);
        env.push(json!({"name": name, "value": value}));
        self
    }

    /// One more argument of its program.
    pub fn arg(mut self, arg: &str) -> Self {
        self.container()["args"].as_array_mut().expect("there are some").push(json!(arg));
        self
    }

    /// A script instead of `start.sh`.
    pub fn script(mut self, script: &str) -> Self {
        self.container()["command"] = json!(["sh", "-c", script]);
        self.container().as_object_mut().expect("a container").remove("args");
        self
    }

    /// The memory that its container may use.
    pub fn memory(mut self, limit: &str) -> Self {
        self.container()["resources"] = json!({"limits": {"memory": limit}});
        self
    }

    /// Its RPC asks for tokens.
    pub fn with_rpc_tokens(mut self) -> Self {
        let args = self.container()["args"].as_array_mut().expect("there are some");
        args.retain(|a| a != "--rpc.skip-auth");
        self
    }

    /// Torch's webhook leaves it alone.
    pub fn opted_out(mut self) -> Self {
        self.template()["metadata"]["annotations"] = json!({"torch.celestia.org/inject": "false"});
        self
    }

    /// All that there is of it, for kubectl.
    pub fn manifest(&self) -> Value {
        json!({"apiVersion": "v1", "kind": "List", "items": [self.service, self.set]})
    }

    fn template(&mut self) -> &mut Value {
        &mut self.set["spec"]["template"]
    }

    fn container(&mut self) -> &mut Value {
        &mut self.template()["spec"]["containers"][0]
    }
}

/// The ConfigMap with the example's `start.sh`.
pub fn start_script() -> Value {
    let found = examples().iter().find(|o| o["kind"] == "ConfigMap");
    found.expect("the examples have one").clone()
}

/// A pod that nothing owns, with a shell script in the container `da`.
pub fn bare_pod(name: &str, script: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": 10001,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "da",
                "image": peer_image(),
                "command": ["sh", "-c", script],
                "securityContext": {
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
        },
    })
}

fn examples() -> &'static [Value] {
    static EXAMPLES: OnceLock<Vec<Value>> = OnceLock::new();
    EXAMPLES.get_or_init(|| {
        let text = kubectl::run(&["create", "--dry-run=client", "-o", "json", "-k", "deploy/examples"]);
        let objects = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let mut objects: Vec<_> = objects.map(|o| o.expect("kubectl prints JSON")).collect();
        for object in &mut objects {
            // The one that KUBECONFIG happens to name.
            object["metadata"].as_object_mut().expect("every object has it").remove("namespace");
        }
        objects
    })
}
