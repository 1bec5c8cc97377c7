//! What a running Torch says of its nodes: its leader's `/status`, by way of the API server.

use anyhow::{Context as _, bail};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::cluster::{self, Cluster};
use crate::peers::label;

/// How many bytes of a refusal are read.
const MOST_REASON: usize = 64 * 1024;

/// How all nodes stand, as `/status` says it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    pub namespace: String,
    pub answered_by: String,
    pub leader: Option<String>,
    pub nodes: Vec<Node>,
}

/// How one node stands.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    pub pod: String,
    pub node: String,
    pub groups: Vec<String>,
    pub phase: String,
    pub address: Option<String>,
    pub variable: Option<String>,
    pub restarts: u32,
    pub waits_for: Option<Wait>,
    pub since: Option<Timestamp>,
    pub file: Option<State>,
    pub reach: Option<State>,
}

/// What a node waits for.
#[derive(Debug, Deserialize)]
pub struct Wait {
    pub reason: String,
    pub message: String,
}

/// What became of something.
#[derive(Debug, Deserialize)]
pub struct State {
    pub state: String,
    pub message: Option<String>,
}

/// Which Torch is asked, and how.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// Torch's namespace [default: the kubeconfig's]
    #[arg(short, long, value_name = "NAME", value_parser = label)]
    namespace: Option<String>,
    /// The pod of Torch to ask [default: the one that leads, which alone has seen inside of the nodes]
    #[arg(long, value_name = "NAME")]
    replica: Option<String>,
    /// The port of Torch's --plain-listen
    #[arg(long, value_name = "PORT", default_value_t = 8080, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
}

/// A Torch that answers.
pub struct Torch {
    pub cluster: Cluster,
    which: Which,
}

impl Torch {
    /// Finds the cluster by the kubeconfig.
    pub async fn find(which: Which) -> anyhow::Result<Self> {
        Ok(Self { cluster: Cluster::connect(which.namespace.clone()).await?, which })
    }

    /// What `/status` answers.
    ///
    /// # Errors
    /// Where it cannot be asked, or has seen nothing yet: every configuration has nodes.
    pub async fn status(&self) -> anyhow::Result<Value> {
        let body = self.get("/status").await?.collect().await.context("cannot read Torch's answer")?;
        let status: Value = serde_json::from_slice(&body.to_bytes()).context("cannot read Torch's answer")?;
        if status["nodes"].as_array().is_some_and(Vec::is_empty) {
            let who = status["answeredBy"].as_str().unwrap_or_default();
            bail!(
                "{who} has not seen the nodes yet: what it waits for is in its log, and `torch check --cluster` says it"
            );
        }
        Ok(status)
    }

    /// The status, and each change of it, until the connection ends.
    pub async fn follow(&self) -> anyhow::Result<Changes> {
        Ok(Changes { body: self.get("/status/events").await?, unread: Vec::new() })
    }

    async fn get(&self, path: &str) -> anyhow::Result<Incoming> {
        let pod = match &self.which.replica {
            Some(pod) => pod.clone(),
            None => self.leader().await?,
        };
        let answer = match self.ask(&pod, path).await {
            Err(error) if self.which.replica.is_none() && is_gone(&error) => {
                bail!(
                    "{pod} leads by the Lease `torch`, and there is no such pod: if it has just ended, another leads \
                     within 15 s; of a Torch outside of the cluster, open /status at its --plain-listen"
                )
            }
            answer => answer?,
        };
        let port = self.which.port;
        match answer.status() {
            StatusCode::OK => Ok(answer.into_body()),
            StatusCode::NOT_FOUND => {
                bail!(
                    "{pod} has no {path} on its port {port}: it is an older Torch, or the port is another's"
                )
            }
            status => bail!("{pod} answered {status} on its port {port}{}", reason(answer.into_body()).await),
        }
    }

    /// What a replica says of its parts: those that have something to say.
    ///
    /// # Errors
    /// Where it cannot be asked.
    pub async fn remarks(&self, pod: &str) -> anyhow::Result<Vec<String>> {
        let answer = self.ask(pod, "/readyz?verbose").await?.into_body().collect().await;
        let text = answer.with_context(|| format!("cannot read the answer of {pod}"))?.to_bytes();
        Ok(String::from_utf8_lossy(&text).lines().filter_map(remark).collect())
    }

    async fn ask(&self, pod: &str, path: &str) -> anyhow::Result<Response<Incoming>> {
        let cannot_ask = || format!("cannot ask {pod} on its port {}", self.which.port);
        let stream = self.cluster.connect_to(pod, self.which.port).await.with_context(cannot_ask)?;
        let (mut client, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::get(path).header(header::HOST, "localhost").body(Empty::<Bytes>::new())?;
        client.send_request(request).await.with_context(cannot_ask)
    }

    async fn leader(&self) -> anyhow::Result<String> {
        let lease = self.cluster.lease().await?;
        let namespace = self.cluster.namespace();
        lease.holder().map(String::from).with_context(|| {
            format!(
                "no Torch leads in namespace {namespace}: \
                 kubectl get pods -n {namespace} -l app.kubernetes.io/name=torch shows how its pods are, and \
                 -n names another namespace"
            )
        })
    }
}

/// Whether that failed since there is no such pod.
fn is_gone(error: &anyhow::Error) -> bool {
    error.downcast_ref::<cluster::Error>().and_then(cluster::Error::status) == Some(404)
}

/// What Torch gives as the reason of a refusal, if it is Torch.
async fn reason(body: Incoming) -> String {
    let Ok(body) = Limited::new(body, MOST_REASON).collect().await else { return String::new() };
    let answer: Value = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
    answer["errors"][0].as_str().map(|why| format!(": {why}")).unwrap_or_default()
}

/// The remark in a line of `/readyz?verbose`, with the part that it is of.
fn remark(line: &str) -> Option<String> {
    let (part, state) = line.strip_prefix("[+]").or(line.strip_prefix("[-]"))?.split_once(' ')?;
    let remark = if state == "failed" { "failed" } else { state.split_once(": ")?.1 };
    Some(format!("{part}: {remark}"))
}

/// The changes of the status, by server-sent events.
pub struct Changes {
    body: Incoming,
    unread: Vec<u8>,
}

impl Changes {
    /// The next status; `None` once the connection has ended.
    pub async fn next(&mut self) -> anyhow::Result<Option<Value>> {
        loop {
            if let Some(data) = event(&mut self.unread) {
                return Ok(Some(serde_json::from_slice(&data).context("cannot read Torch's answer")?));
            }
            let Some(frame) = self.body.frame().await else { return Ok(None) };
            if let Ok(bytes) = frame.context("the connection to Torch broke")?.into_data() {
                self.unread.extend_from_slice(&bytes);
            }
        }
    }
}

/// Takes the data of the next whole event; comments have none.
fn event(unread: &mut Vec<u8>) -> Option<Vec<u8>> {
    loop {
        let end = unread.windows(2).position(|two| two == b"\n\n")?;
        let event: Vec<u8> = unread.drain(..end + 2).collect();
        if let Some(data) = event.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(b"data: ")) {
            return Some(data.to_vec());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_that_has_something_to_say_is_heard() {
        assert_eq!(remark("[+]book ok"), None);
        assert_eq!(remark("readyz check passed"), None);
        let refused = remark("[+]configuration ok: the file is refused: line 1");
        assert_eq!(refused.as_deref(), Some("configuration: the file is refused: line 1"));
        assert_eq!(remark("[-]pods failed").as_deref(), Some("pods: failed"));
        assert_eq!(remark("[-]pods failed: not there yet").as_deref(), Some("pods: not there yet"));
    }

    #[test]
    fn events_are_taken_one_by_one_and_comments_are_not() {
        let mut unread = b":\n\nevent: status\ndata: 1\n\nevent: status\ndata: 2\n\nevent: sta".to_vec();
        assert_eq!(event(&mut unread).as_deref(), Some(&b"1"[..]));
        assert_eq!(event(&mut unread).as_deref(), Some(&b"2"[..]));
        assert_eq!(event(&mut unread), None);
        assert_eq!(unread, b"event: sta");
    }
}
