//! The pods of a namespace through time, as a watch shows them.

use std::io::BufReader;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use serde_json::{Deserializer, Value};

use crate::kubectl;

/// A pod as it was last seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Pod {
    /// The whole object.
    pub object: Value,
    /// Nothing of it is left.
    pub gone: bool,
}

/// Every pod that ever was, in the order of their coming.
#[derive(Clone, Debug, Default)]
pub struct History {
    pods: Vec<Pod>,
    /// The watch stands; it does not while the API server is away.
    is_watched: bool,
}

/// A watch on the pods of a namespace.
pub struct Pods {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    history: Mutex<History>,
    changed: Condvar,
    /// What watches; `None` at the end.
    kubectl: Mutex<Option<Child>>,
}

impl Pod {
    pub fn text(&self, pointer: &str) -> &str {
        self.object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn name(&self) -> &str {
        self.text("/metadata/name")
    }

    pub fn uid(&self) -> &str {
        self.text("/metadata/uid")
    }

    pub fn ip(&self) -> &str {
        self.text("/status/podIP")
    }

    /// It is there and not on its way out.
    pub fn stays(&self) -> bool {
        !self.gone && self.object.pointer("/metadata/deletionTimestamp").is_none()
    }

    pub fn is_ready(&self) -> bool {
        let conditions = self.object.pointer("/status/conditions").and_then(Value::as_array);
        conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
    }

    /// How often the kubelet started its only container again.
    pub fn container_restarts(&self) -> u64 {
        let count = self.object.pointer("/status/containerStatuses/0/restartCount");
        count.and_then(Value::as_u64).unwrap_or_default()
    }

    /// An environment variable of its only container, as its spec sets it.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let env = self.object.pointer("/spec/containers/0/env")?.as_array()?;
        env.iter().find(|v| v["name"] == name)?["value"].as_str()
    }

    /// The mount at a path of its only container.
    pub fn mount(&self, path: &str) -> Option<&Value> {
        let mounts = self.object.pointer("/spec/containers/0/volumeMounts")?.as_array()?;
        mounts.iter().find(|m| m["mountPath"] == path)
    }

    fn is_of(&self, node: &str) -> bool {
        let owner = self.object.pointer("/metadata/ownerReferences/0/name");
        self.name() == node || owner.is_some_and(|o| o == node)
    }

    /// What does not change while nothing happens to it.
    fn trace(&self) -> String {
        let state = if self.stays() { "there" } else { "gone" };
        format!("{} {} {state}, container restarts: {}", self.name(), self.uid(), self.container_restarts())
    }
}

impl History {
    pub fn all(&self) -> impl DoubleEndedIterator<Item = &Pod> {
        self.pods.iter()
    }

    /// Torch's pods.
    pub fn all_of_torch(&self) -> impl DoubleEndedIterator<Item = &Pod> {
        self.pods.iter().filter(|pod| pod.text("/metadata/labels/app.kubernetes.io~1name") == "torch")
    }

    /// The pods of a node: of that name, or owned by a StatefulSet of that name.
    pub fn of(&self, node: &str) -> Vec<&Pod> {
        self.pods.iter().filter(|pod| pod.is_of(node)).collect()
    }

    /// The pod that a node has now.
    pub fn current(&self, node: &str) -> Result<&Pod, String> {
        let pod = self.of(node).into_iter().rfind(|pod| pod.stays());
        pod.ok_or_else(|| format!("{node} has no pod"))
    }

    /// The same, if it is ready.
    pub fn ready(&self, node: &str) -> Result<&Pod, String> {
        let pod = self.current(node)?;
        if pod.is_ready() { Ok(pod) } else { Err(format!("{} is not ready", pod.name())) }
    }

    /// What does not change while nothing happens.
    pub fn trace(&self) -> Vec<String> {
        self.pods.iter().map(Pod::trace).collect()
    }

    /// What a new listing does not show went while nobody watched.
    fn take_listing(&mut self, listing: &Value) {
        let there = |pod: &Pod| {
            let items = listing["items"].as_array();
            items.is_some_and(|all| all.iter().any(|o| o["metadata"]["uid"] == pod.uid()))
        };
        self.pods.iter_mut().filter(|pod| !pod.gone).for_each(|pod| pod.gone = !there(pod));
        self.is_watched = true;
    }

    fn take(&mut self, event: &Value) {
        let pod = Pod { object: event["object"].clone(), gone: event["type"] == "DELETED" };
        match self.pods.iter_mut().find(|known| known.uid() == pod.uid()) {
            Some(known) => *known = pod,
            None => self.pods.push(pod),
        }
    }
}

impl Pods {
    pub fn watch(namespace: &str) -> Self {
        let shared = Arc::new(Shared { kubectl: Mutex::new(Some(start(namespace))), ..Shared::default() });
        let (writer, namespace) = (Arc::clone(&shared), namespace.to_owned());
        thread::spawn(move || {
            while let Some(events) = writer.events() {
                writer.take_all(&namespace, events);
                sleep(Duration::from_millis(200));
                writer.start_again(&namespace);
            }
        });
        Self { shared }
    }

    pub fn now(&self) -> History {
        self.shared.lock().clone()
    }

    /// Waits for the pods to be so.
    #[track_caller]
    pub fn wait<T>(
        &self,
        what: &str,
        within: Duration,
        mut is_so: impl FnMut(&History) -> Result<T, String>,
    ) -> T {
        let end = Instant::now() + within;
        let mut history = self.shared.lock();
        loop {
            let why = match is_so(&history) {
                Ok(found) => return found,
                Err(why) => why,
            };
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not within {within:?}: {what}: {why}: {:#?}", history.trace());
            history = self.shared.wait(history, left);
        }
    }

    /// Waits for a node's pod to be ready.
    #[track_caller]
    pub fn wait_ready(&self, node: &str, within: Duration) -> Pod {
        self.wait(&format!("{node} is ready"), within, |pods| pods.ready(node).cloned())
    }

    /// How often a node was restarted: each of its pods but the first was one.
    pub fn restarts(&self, node: &str) -> usize {
        self.now().of(node).len().saturating_sub(1)
    }

    /// Sees that no pod comes, goes or restarts for so long.
    #[track_caller]
    pub fn stay_as_they_are(&self, time: Duration) {
        let end = Instant::now() + time;
        let mut history = self.shared.lock();
        let before = history.trace();
        loop {
            assert_eq!(before, history.trace(), "something happened to a pod");
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                assert!(history.is_watched, "nobody watches the pods");
                return;
            }
            history = self.shared.wait(history, left);
        }
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        if let Some(mut kubectl) = self.shared.kubectl().take() {
            let _ = kubectl.kill();
            let _ = kubectl.wait();
        }
    }
}

fn start(namespace: &str) -> Child {
    kubectl::command()
        .args(["get", "pods", "-n", namespace, "--watch", "--output-watch-events", "-o", "json"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("kubectl runs")
}

impl Shared {
    fn kubectl(&self) -> MutexGuard<'_, Option<Child>> {
        self.kubectl.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// What kubectl prints, unless it is the end.
    fn events(&self) -> Option<ChildStdout> {
        self.kubectl().as_mut()?.stdout.take()
    }

    /// Takes in what comes until the watch ends.
    fn take_all(&self, namespace: &str, events: ChildStdout) {
        for event in
            Deserializer::from_reader(BufReader::new(events)).into_iter::<Value>().map_while(Result::ok)
        {
            let mut history = self.lock();
            if !history.is_watched
                && let Ok(listing) = kubectl::get(namespace, "pods")
            {
                history.take_listing(&listing);
            }
            history.take(&event);
            self.changed.notify_all();
        }
        self.lock().is_watched = false;
    }

    fn start_again(&self, namespace: &str) {
        if let Some(kubectl) = &mut *self.kubectl() {
            let _ = kubectl.wait();
            *kubectl = start(namespace);
        }
    }

    /// A panic of a test that held it does not matter: what is in it is whole.
    fn lock(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn wait<'a>(&self, history: MutexGuard<'a, History>, time: Duration) -> MutexGuard<'a, History> {
        match self.changed.wait_timeout(history, time) {
            Ok((history, _)) => history,
            Err(poisoned) => poisoned.into_inner().0,
        }
    }
}
