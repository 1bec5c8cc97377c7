use std::collections::BTreeMap;

use arc_swap::ArcSwap;
use axum::body::Body;
use http::HeaderMap;
use http_body_util::BodyExt as _;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use super::*;
use crate::certificates::Standing;
use crate::cluster::Cluster;
use crate::config;
use crate::config::Meshes;
use crate::connection::Connection;
use crate::election::Leadership;
use crate::leader::TooMany;
use crate::peers::{Book, Known};
use crate::plan::NodeState;
use crate::view::{Mesh, Snapshot};

const PEER: &str = "12D3KooWQK1wnefoLrcVHbbnf5tLzbopUd3K3bFAoJpA7YJgL5pV";

fn snapshot(known: &[&str]) -> Snapshot {
    let config = config::parse(
        "mutualPeers: [{peers: [{nodeName: da-bridge-1}, {nodeName: da-full-1}]}, {peers: [{nodeName: x}, {nodeName: y}]}]",
    )
    .unwrap();
    let mut book = Book::default();
    for pod in known {
        let known = Known {
            address: format!("/dns/{pod}/tcp/2121/p2p/{PEER}").parse().unwrap(),
            workload: pod.strip_suffix("-0").map(String::from),
            container: "c".into(),
            learned: Timestamp::UNIX_EPOCH,
        };
        book.nodes.insert(pod.to_string(), known);
    }
    let state = |node: &str, group: &str| NodeState {
        pod: format!("{node}-0"),
        node: node.into(),
        workload: Some(node.into()),
        groups: vec![group.into()],
        phase: "Running".into(),
        address: book.nodes.get(&format!("{node}-0")).map(|k| k.address.clone()),
        ..NodeState::default()
    };
    let nodes = [("da-bridge-1", "group-1"), ("da-full-1", "group-1"), ("x", "group-2"), ("y", "group-2")];
    let split = Meshes::of(&config);
    let books = split.split(&book);
    let meshes = split.configs().iter().zip(books).map(|(config, book)| {
        let is_here = |group: &str| config.groups.iter().any(|g| g.name == group);
        let nodes = nodes.iter().filter(|(_, group)| is_here(group)).map(|(node, group)| state(node, group));
        Mesh { nodes: nodes.collect(), ..Mesh::new(Arc::clone(config), Arc::new(book)) }
    });
    let meshes: Vec<Mesh> = meshes.collect();
    Snapshot::new(Arc::new(config), split, meshes)
}

pub(super) struct Bed {
    pub(super) context: Context,
    asks: mpsc::Receiver<Ask>,
}

pub(super) fn bed(known: &[&str]) -> Bed {
    let (asks, receiver) = mpsc::channel(1);
    let context = Context {
        namespace: "da".into(),
        view: Arc::new(ArcSwap::from_pointee(snapshot(known))),
        asks,
        forward: Forward {
            leader: watch::channel(None).1,
            port: 8443,
            name: "torch".into(),
            standing: watch::channel(Standing::Not("no cluster".into())).1,
        },
        bodies: Arc::default(),
        guard: Arc::new(Guard::open()),
        client_certificate: false,
        metrics: Arc::default(),
        health: Arc::default(),
        shutdown: Shutdown::default(),
        live: Live::new("torch-0", watch::channel(Leadership::of("torch-0")).1, watch::channel(()).1),
    };
    Bed { context, asks: receiver }
}

async fn send<S>(site: S, request: http::Request<Body>) -> (StatusCode, HeaderMap, String)
where
    S: Service<http::Request<Body>, Response = Response, Error = Infallible>,
{
    let (head, body) = site.oneshot(request).await.unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

async fn call(context: &Context, method: &str, path: &str, body: impl Into<Body>) -> (u16, HeaderMap, Value) {
    let request = http::Request::builder().method(method).uri(path).body(body.into()).unwrap();
    let (status, headers, body) = send(Site::new(context.clone()), request).await;
    let body: Value = serde_json::from_str(&body).unwrap_or_else(|e| panic!("{e}: {body}"));
    assert_eq!(body["status"], status.as_u16(), "the status in the body is the one of HTTP");
    (status.as_u16(), headers, body)
}

/// Everybody who is asked about is tried and stays unknown.
fn answer_asks(mut bed: Bed, answer: Result<(), TooMany>) -> Context {
    tokio::spawn(async move {
        while let Some(ask) = bed.asks.recv().await {
            let _ = ask.done.send(answer);
        }
    });
    bed.context
}

pub(super) const BOTH: [&str; 2] = ["da-bridge-1-0", "da-full-1-0"];

#[tokio::test]
async fn what_is_in_force_and_who_is_there_is_told() {
    let Bed { context, .. } = bed(&BOTH);
    let (status, _, config) = call(&context, "GET", "/config", "").await;
    assert_eq!(
        (status, &config["body"]["mutualPeers"][0]["peers"][1]["nodeName"]),
        (200, &json!("da-full-1"))
    );
    let (status, _, list) = call(&context, "GET", "/list", "").await;
    assert_eq!(
        (status, &list["body"][0]["pod"], &list["body"][0]["restarts"]),
        (200, &json!("da-bridge-1-0"), &json!(0))
    );
}

#[tokio::test]
async fn gen_answers_for_pods_and_for_node_names() {
    let Bed { context, .. } = bed(&BOTH);
    let addresses = json!({
        "da-bridge-1-0": format!("/dns/da-bridge-1-0/tcp/2121/p2p/{PEER}"),
        "da-full-1-0": format!("/dns/da-full-1-0/tcp/2121/p2p/{PEER}"),
    });
    for name in ["da-bridge-1", "da-bridge-1-0"] {
        for field in ["podName", "nodeName"] {
            let (status, _, answer) = call(&context, "POST", "/gen", json!({field: name}).to_string()).await;
            assert_eq!((status, &answer["body"]), (200, &addresses));
            assert_eq!(answer["trustedPeers"], addresses["da-full-1-0"], "{name}");
        }
    }
}

#[tokio::test]
async fn gen_gives_the_value_alone_to_who_wants_text() {
    let ask = |context: &Context| {
        let request = http::Request::post("/gen").header("accept", "text/plain");
        let request = request.body(Body::from(r#"{"podName":"da-full-1-0"}"#)).unwrap();
        send(Site::new(context.clone()), request)
    };
    let (status, _, text) = ask(&bed(&BOTH).context).await;
    assert_eq!((status.as_u16(), text), (200, format!("/dns/da-bridge-1-0/tcp/2121/p2p/{PEER}\n")));
    let (status, headers, _) = ask(&answer_asks(bed(&["da-full-1-0"]), Ok(()))).await;
    assert_eq!(
        (status.as_u16(), headers["retry-after"].to_str().unwrap()),
        (503, "2"),
        "its own address is no peer's"
    );
}

#[tokio::test]
async fn gen_all_answers_for_a_list_or_for_all() {
    let context = answer_asks(bed(&BOTH), Ok(()));
    let (status, _, answer) =
        call(&context, "POST", "/genAll", r#"{"podName":["da-bridge-1","da-full-1"]}"#).await;
    assert_eq!((status, answer["body"].as_object().unwrap().len()), (200, 2));
    for all in ["", "{}", r#"{"podName":[]}"#] {
        let (status, _, answer) = call(&context, "POST", "/genAll", all).await;
        assert_eq!((status, answer["trustedPeers"].as_object().unwrap().len()), (200, 4), "{all:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_granted_is_said_with_its_status() {
    let context = answer_asks(bed(&[]), Ok(()));
    let large = format!(r#"{{"podName":"{}"}}"#, "a".repeat(1024 * 1024));
    for (status, method, path, body) in [
        (404, "POST", "/gen", r#"{"podName":"stranger"}"#.to_owned()),
        (404, "POST", "/genAll", r#"{"podName":["da-full-1","stranger"]}"#.into()),
        (400, "POST", "/gen", String::new()),
        (400, "POST", "/gen", "{".into()),
        (400, "POST", "/gen", "{}".into()),
        (400, "POST", "/gen", r#"{"podName":7}"#.into()),
        (400, "POST", "/gen", r#"{"podName":"a","nodeName":"b"}"#.into()),
        (400, "POST", "/genAll", r#"{"podName":"a"}"#.into()),
        (400, "POST", "/gen", r#"["da-full-1"]"#.into()),
        (
            400,
            "POST",
            "/genAll",
            json!({"podName": (0..1001).map(|n| n.to_string()).collect::<Vec<_>>()}).to_string(),
        ),
        (503, "POST", "/gen", r#"{"podName":"da-full-1"}"#.into()),
        (503, "POST", "/genAll", r#"{"podName":["da-full-1"]}"#.into()),
        (413, "POST", "/gen", large),
        (405, "GET", "/gen", String::new()),
        (405, "POST", "/list", String::new()),
        (404, "GET", "/", String::new()),
    ] {
        let shown: String = body.chars().take(50).collect();
        let (got, headers, answer) = call(&context, method, path, body).await;
        assert_eq!(got, status, "{method} {path} {shown}");
        assert!(answer["errors"][0].as_str().is_some_and(|e| !e.is_empty()), "{answer}");
        assert_eq!(headers.contains_key("retry-after"), status == 503);
    }
}

#[tokio::test]
async fn a_name_said_many_times_costs_no_more_than_once() {
    let Bed { context, .. } = bed(&BOTH);
    let (status, _, answer) =
        call(&context, "POST", "/genAll", json!({"podName": vec!["a"; 200_000]}).to_string()).await;
    assert_eq!((status, answer["errors"].as_array().unwrap().len()), (404, 1));
    let strangers: Vec<String> = (0..1000).map(|n| format!("stranger-{n}")).collect();
    let (status, _, answer) =
        call(&context, "POST", "/genAll", json!({"podName": strangers}).to_string()).await;
    assert_eq!((status, answer["errors"].as_array().unwrap().len()), (404, 10));
}

#[tokio::test]
async fn too_many_probes_at_once_are_refused() {
    let context = answer_asks(bed(&[]), Err(TooMany));
    let (status, headers, _) = call(&context, "POST", "/gen", r#"{"podName":"da-full-1"}"#).await;
    assert_eq!((status, &headers["retry-after"]), (429, &HeaderValue::from_static("2")));
}

#[tokio::test]
async fn gen_asks_only_about_members_that_run_and_are_not_known() {
    let mut bed = bed(&["da-bridge-1-0"]);
    let context = bed.context.clone();
    let asking =
        tokio::spawn(async move { call(&context, "POST", "/gen", r#"{"podName":"da-full-1"}"#).await.0 });
    let ask = bed.asks.recv().await.unwrap();
    assert_eq!(ask.pods, ["da-full-1-0"]);
    bed.context.view.store(Arc::new(snapshot(&BOTH)));
    ask.done.send(Ok(())).unwrap();
    assert_eq!(asking.await.unwrap(), 200);
}

#[tokio::test]
async fn reviews_are_answered_and_counted() {
    let Bed { context, .. } = bed(&BOTH);
    let review = json!({"request": {
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE", "name": "da-full-1-0",
        "namespace": "da", "object": {"metadata": {"ownerReferences": [{"kind": "StatefulSet", "name": "da-full-1", "controller": true}]},
        "spec": {"containers": [{"name": "da"}]}},
    }});
    let ask = |body: String| {
        send(Site::new(context.clone()), http::Request::post("/mutate").body(Body::from(body)).unwrap())
    };
    let (status, headers, body) = ask(review.to_string()).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        (status.as_u16(), &headers["content-type"]),
        (200, &HeaderValue::from_static("application/json"))
    );
    assert_eq!(
        (&body["response"]["uid"], &body["response"]["patchType"]),
        (&json!("u"), &json!("JSONPatch"))
    );
    assert_eq!(ask("{}".into()).await.0.as_u16(), 400);
    assert_eq!(ask(" ".repeat(body::MOST + 1)).await.0.as_u16(), 413);
    let counted = r#"torch_admission_requests_total{outcome="injected",reason="injected_no_claim"} 1"#;
    assert!(context.metrics.text().contains(counted), "{}", context.metrics.text());
}

/// A body of no known size that never comes to its end.
fn endless() -> Body {
    Body::from_stream(futures::stream::pending::<Result<&[u8], std::io::Error>>())
}

#[tokio::test(start_paused = true)]
async fn bodies_that_never_end_hold_neither_memory_nor_others_up() {
    let Bed { context, .. } = bed(&BOTH);
    let hostile: Vec<_> = (0..40)
        .map(|_| {
            let request = http::Request::post("/mutate").body(endless()).unwrap();
            tokio::spawn(send(Site::new(context.clone()), request))
        })
        .collect();
    tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    let small = http::Request::post("/gen").body(Body::from(r#"{"podName":"da-full-1"}"#)).unwrap();
    assert_eq!(send(Site::new(context.clone()), small).await.0.as_u16(), 200);
    let mut statuses: BTreeMap<u16, usize> = BTreeMap::new();
    for answer in hostile {
        *statuses.entry(answer.await.unwrap().0.as_u16()).or_default() += 1;
    }
    assert_eq!(statuses.keys().copied().collect::<Vec<_>>(), [400, 429], "{statuses:?}");
}

#[tokio::test]
async fn health_is_told_on_the_plain_port_only() {
    let Bed { context, .. } = bed(&BOTH);
    let get = |path: &str| {
        let request = http::Request::get(path).body(Body::empty()).unwrap();
        send(plain_routes(context.clone()), request)
    };
    context.health.expect("book");
    assert_eq!(get("/healthz").await.0.as_u16(), 200);
    let (status, _, report) = get("/readyz").await;
    assert_eq!((status.as_u16(), report.contains("[-]book failed: not there yet")), (503, true), "{report}");
    context.health.well("book", "2 nodes");
    let (status, _, report) = get("/readyz?verbose").await;
    assert_eq!((status.as_u16(), report.contains("[+]book ok: 2 nodes")), (200, true), "{report}");
    context.shutdown.stop();
    assert_eq!(get("/readyz").await.0.as_u16(), 503, "not ready while it drains");
    let secret: BTreeMap<&str, u16> = [("/list", 404), ("/config", 404), ("/mutate", 404)].into();
    for (path, status) in secret {
        assert_eq!(get(path).await.0.as_u16(), status, "{path}");
    }
}

#[tokio::test]
async fn reviews_need_a_client_certificate_where_that_is_asked_for() {
    let Bed { mut context, .. } = bed(&BOTH);
    context.client_certificate = true;
    let ask = |path: &str, vouched_for| {
        let connection = Connection { vouched_for, ..Connection::default() };
        let request = http::Request::post(path).extension(connection);
        send(Site::new(context.clone()), request.body(Body::from(r#"{"podName":"da-full-1"}"#)).unwrap())
    };
    assert_eq!(ask("/mutate", true).await.0.as_u16(), 400, "it is no review");
    let (status, _, body) = ask("/mutate", false).await;
    assert_eq!((status.as_u16(), body.contains("client certificate")), (403, true), "{body}");
    assert_eq!(ask("/gen", false).await.0.as_u16(), 200, "REST goes by tokens");
    let counted = r#"{outcome="unchanged",reason="no_client_certificate"} 1"#;
    assert!(context.metrics.text().contains(counted), "{}", context.metrics.text());
}

#[tokio::test]
async fn rest_is_guarded_and_nothing_else_is() {
    let Bed { mut context, .. } = bed(&BOTH);
    let cluster = Cluster::played_by("da", |_| async { Err(std::io::ErrorKind::ConnectionRefused.into()) });
    context.guard = Arc::new(Guard::by_token(cluster, String::new(), Arc::clone(&context.metrics)));
    for (method, path) in [("GET", "/config"), ("GET", "/list"), ("POST", "/gen"), ("POST", "/genAll")] {
        let (status, headers, _) = call(&context, method, path, "").await;
        assert_eq!(
            (status, &headers["www-authenticate"]),
            (401, &HeaderValue::from_static(r#"Bearer realm="torch""#))
        );
        let request = http::Request::builder().method(method).uri(path).header("authorization", "Bearer x");
        let (status, headers, _) =
            send(Site::new(context.clone()), request.body(Body::empty()).unwrap()).await;
        assert_eq!((status.as_u16(), &headers["retry-after"]), (503, &HeaderValue::from_static("2")));
    }
    for (status, method, path) in
        [(405, "GET", "/gen"), (405, "POST", "/list"), (404, "GET", "/"), (404, "GET", "/gen/")]
    {
        assert_eq!(call(&context, method, path, "").await.0, status, "{method} {path}");
    }
    let (status, ..) =
        send(Site::new(context.clone()), http::Request::post("/mutate").body(Body::empty()).unwrap()).await;
    assert_eq!(status.as_u16(), 400);
    let counted = r#"torch_rest_authorizations_total{outcome="unavailable"} 4"#;
    assert!(context.metrics.text().contains(counted), "{}", context.metrics.text());
}

fn from_loopback(path: &str, host: &str) -> http::Request<Body> {
    let connection = Connection { from: [127, 0, 0, 1].into(), vouched_for: false };
    http::Request::get(path).header("host", host).extension(connection).body(Body::empty()).unwrap()
}

#[tokio::test]
async fn the_status_is_for_the_pods_own_loopback() {
    let Bed { context, .. } = bed(&BOTH);
    let ask = |request| send(plain_routes(context.clone()), request);
    let (status, _, body) = ask(from_loopback("/status", "localhost:8080")).await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status.as_u16(), 200);
    assert_eq!(
        [&body["namespace"], &body["answeredBy"], &body["leader"], &body["nodes"][1]["pod"]],
        ["da", "torch-0", "torch-0", "da-full-1-0"]
    );
    let refused = async |request| {
        let (status, _, body) = ask(request).await;
        (status.as_u16(), body.contains("kubectl port-forward"))
    };
    assert_eq!(refused(from_loopback("/status", "evil.example:8080")).await, (403, true));
    for path in ["/status", "/status/events"] {
        let strange = http::Request::get(path).header("host", "localhost").body(Body::empty()).unwrap();
        assert_eq!(refused(strange).await, (403, true), "{path}");
    }
}

#[tokio::test]
async fn the_page_is_whole_and_for_the_pods_own_loopback() {
    let Bed { context, .. } = bed(&BOTH);
    let ask = |request| send(plain_routes(context.clone()), request);
    let mut unread = vec!["/".to_owned()];
    let mut read: Vec<String> = Vec::new();
    while let Some(path) = unread.pop() {
        let (status, headers, text) = ask(from_loopback(&path, "localhost:8080")).await;
        assert_eq!(status.as_u16(), 200, "{path}");
        let policy = headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{path}: {policy}");
        assert_eq!(
            ["x-content-type-options", "referrer-policy", "cache-control"].map(|name| &headers[name]),
            ["nosniff", "no-referrer", "no-cache"],
            "{path}"
        );
        let strange = http::Request::get(&path).header("host", "localhost").body(Body::empty()).unwrap();
        assert_eq!(ask(strange).await.0.as_u16(), 403, "{path}");
        assert_eq!(ask(from_loopback(&path, "evil.example:8080")).await.0.as_u16(), 403, "{path}");
        read.push(path);
        let named = text.split('"').filter_map(|word| {
            let file = word.strip_prefix("/page/").or_else(|| word.strip_prefix("./"))?;
            Some(format!("/page/{file}"))
        });
        unread.extend(named.filter(|path| !read.contains(path)).collect::<Vec<_>>());
    }
    read.sort();
    read.dedup();
    assert!(
        read.len() > 2 && read.contains(&"/page/mesh.js".into()),
        "what files name is read, too: {read:?}"
    );
}

/// The next event's status; `None` where none comes for a minute or the stream has ended.
async fn next_status(body: &mut Body) -> Option<Value> {
    let minute = std::time::Duration::from_secs(60);
    loop {
        let frame = tokio::time::timeout(minute, body.frame()).await.ok()??.unwrap().into_data().unwrap();
        let text = std::str::from_utf8(&frame).unwrap();
        if let Some(data) = text.strip_prefix("event: status\ndata: ") {
            return Some(serde_json::from_str(data.trim_end()).unwrap());
        }
        assert!(text.starts_with(':'), "a comment keeps it alive: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_to_those_who_follow_and_nothing_else_is() {
    let Bed { mut context, .. } = bed(&[]);
    let (publish, changed) = watch::channel(());
    context.live = Live::new("torch-0", watch::channel(Leadership::of("torch-0")).1, changed);
    let follow = || plain_routes(context.clone()).oneshot(from_loopback("/status/events", "localhost"));
    let mut body = follow().await.unwrap().into_body();
    assert_eq!(next_status(&mut body).await.unwrap()["nodes"][0]["address"], Value::Null);
    publish.send_replace(());
    let silence = tokio::time::timeout(std::time::Duration::from_secs(5), body.frame()).await;
    assert!(silence.is_err(), "nothing has changed");
    context.view.store(Arc::new(snapshot(&BOTH)));
    publish.send_replace(());
    let address = next_status(&mut body).await.unwrap()["nodes"][0]["address"].take();
    assert!(address.as_str().unwrap().starts_with("/dns/da-bridge-1-0/"), "{address}");
    let others: Vec<Response> =
        futures::future::join_all((0..16).map(|_| follow())).await.into_iter().map(Result::unwrap).collect();
    assert_eq!(others.last().unwrap().status().as_u16(), 503, "the first is still there");
    context.shutdown.stop();
    assert_eq!(next_status(&mut body).await, None);
}

#[tokio::test]
async fn the_leader_shows_each_node_as_it_is_now_and_others_show_none() {
    let Bed { mut context, .. } = bed(&["da-bridge-1-0"]);
    let scrape = async |context: &Context| {
        let request = http::Request::get("/metrics").body(Body::empty()).unwrap();
        send(plain_routes(context.clone()), request).await.2
    };
    let address = |pod: &str| {
        format!(
            "multiaddr{{service_name=\"torch\",node_name=\"{pod}\",multiaddress=\"/dns/{pod}/tcp/2121/p2p/{PEER}\",namespace=\"da\"}} 1\n"
        )
    };
    let text = scrape(&context).await;
    assert!(
        text.contains(&address("da-bridge-1-0")) && text.contains("\ntorch_reachable_nodes 0\n"),
        "{text}"
    );
    context.view.store(Arc::new(snapshot(&["da-full-1-0"])));
    let text = scrape(&context).await;
    assert!(
        text.contains(&address("da-full-1-0")) && !text.contains("da-bridge-1-0"),
        "no stale series: {text}"
    );
    assert_eq!(text.matches("# EOF").count(), 1);
    context.live = Live::new("torch-1", watch::channel(Leadership::default()).1, watch::channel(()).1);
    let text = scrape(&context).await;
    assert!(!text.contains("multiaddr") && text.contains("torch_leader"), "{text}");
}

#[tokio::test]
async fn native_histograms_are_for_whoever_names_protobuf_first() {
    let Bed { context, .. } = bed(&BOTH);
    let scrape = async |accept: &'static str| {
        let request = http::Request::get("/metrics").header("accept", accept).body(Body::empty()).unwrap();
        let response = plain_routes(context.clone()).oneshot(request).await.unwrap();
        let form = response.headers()["content-type"].to_str().unwrap().to_owned();
        (form, response.into_body().collect().await.unwrap().to_bytes())
    };
    // As Prometheus 3 asks: with native histograms, and without.
    let (form, body) = scrape(
        "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
         application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,*/*;q=0.1",
    )
    .await;
    assert!(form.starts_with("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily;"));
    for name in ["torch_admission_duration_seconds", "multiaddr"] {
        assert!(body.windows(name.len()).any(|part| part == name.as_bytes()), "{name} is not there");
    }
    for accept in [
        "application/openmetrics-text;version=1.0.0;q=0.6,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
        "text/plain, application/vnd.google.protobuf; encoding=delimited",
        "application/vnd.google.protobuf; encoding=compact-text",
        "*/*",
        "",
    ] {
        let (form, body) = scrape(accept).await;
        assert!(form.starts_with("application/openmetrics-text") && body.ends_with(b"# EOF\n"), "{accept}");
    }
}
