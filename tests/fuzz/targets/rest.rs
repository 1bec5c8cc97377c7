//! Any bytes as the body, and a few as the rest, of a request: it is answered, with a status that is the
//! one in the body.

#![no_main]

use std::cell::OnceCell;
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt as _;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{mpsc, watch};
use torch::certificates::Standing;
use torch::election::Leadership;
use torch::http::{Context, Forward, Guard, Live, Site};
use torch::leader::Ask;
use torch::shutdown::Shutdown;
use torch_fuzz::{NAMESPACE, snapshot, within};
use tower::ServiceExt as _;

thread_local!(static TORCH: OnceCell<(Runtime, Site)> = const { OnceCell::new() });

const PATHS: [(&str, &str); 6] = [
    ("POST", "/gen"),
    ("POST", "/genAll"),
    ("POST", "/mutate"),
    ("GET", "/list"),
    ("GET", "/config"),
    ("PUT", "/gen"),
];

fuzz_target!(|bytes: &[u8]| {
    let [how, body @ ..] = bytes else { return };
    TORCH.with(|torch| {
        let (runtime, site) = torch.get_or_init(begin);
        let (method, path) = PATHS[usize::from(how & 7) % PATHS.len()];
        let accept = if how & 8 == 0 { "application/json" } else { "text/plain" };
        let request = Request::builder().method(method).uri(path).header("accept", accept);
        let request = request.body(Body::from(body.to_vec())).expect("it is a request");
        let answer = async {
            let (head, body) = site.clone().oneshot(request).await.expect("it cannot fail").into_parts();
            (head.status.as_u16(), body.collect().await.expect("it is whole").to_bytes())
        };
        let (status, body) = within(bytes, 64, || runtime.block_on(answer));
        check(path, accept, status, &body);
    });
});

fn check(path: &str, accept: &str, status: u16, body: &[u8]) {
    assert!(matches!(status, 200 | 400 | 404 | 405 | 503), "{status}");
    let text = str::from_utf8(body).expect("it is text");
    if path == "/mutate" || (status == 200 && accept == "text/plain" && path == "/gen") {
        assert!(!text.is_empty());
        return;
    }
    let answer: Value = serde_json::from_str(text).expect("it is JSON");
    assert_eq!(answer["status"], status);
    assert!(status == 200 || !answer["errors"][0].as_str().unwrap_or_default().is_empty(), "{text}");
    // The longest name that is told back, some ten times.
    assert!(text.len() < 32 * 1024, "{text}");
}

fn begin() -> (Runtime, Site) {
    let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
    let (asks, mut asked) = mpsc::channel::<Ask>(1);
    runtime.spawn(async move {
        while let Some(ask) = asked.recv().await {
            let _ = ask.done.send(Ok(()));
        }
    });
    let context = Context {
        namespace: NAMESPACE.into(),
        view: Arc::new(ArcSwap::from_pointee(snapshot())),
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
        live: Live::new("torch-0", watch::channel(Leadership::default()).1, watch::channel(()).1),
    };
    (runtime, Site::new(context))
}
