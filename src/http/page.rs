//! The page: the mesh as a picture and a table, in an operator's browser. Its files are part of the program; what
//! it shows it has from `/status/events`, so it is shown to the same people.

use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::get;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::Context;
use super::status::check_loopback;

/// Nothing but what this port serves is loaded, run or asked, and nobody shows the page within another one.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 4] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
    // Another Torch may answer at the same address tomorrow.
    (header::CACHE_CONTROL, "no-cache"),
];

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JS: &str = "text/javascript; charset=utf-8";

/// Path, type, content.
const FILES: [(&str, &str, &str); 9] = [
    ("/", HTML, include_str!("page/page.html")),
    ("/page/page.css", CSS, include_str!("page/page.css")),
    ("/page/page.js", JS, include_str!("page/page.js")),
    ("/page/mesh.js", JS, include_str!("page/mesh.js")),
    ("/page/layout.js", JS, include_str!("page/layout.js")),
    ("/page/picture.js", JS, include_str!("page/picture.js")),
    ("/page/table.js", JS, include_str!("page/table.js")),
    ("/page/details.js", JS, include_str!("page/details.js")),
    ("/page/changes.js", JS, include_str!("page/changes.js")),
];

/// The routes, for the pod's loopback only.
pub(super) fn routes() -> Router<Arc<Context>> {
    let router = FILES.into_iter().fold(Router::new(), |router, (path, kind, content)| {
        router.route(path, get(async move || (headers(kind), content)))
    });
    router.route_layer(middleware::from_fn(check_loopback))
}

fn headers(kind: &'static str) -> HeaderMap {
    let all = HEADERS.into_iter().chain([(header::CONTENT_TYPE, kind)]);
    all.map(|(name, value)| (name, HeaderValue::from_static(value))).collect()
}
