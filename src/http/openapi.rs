//! REST and the plain port as an OpenAPI document, `docs/openapi.json`: what goes in and out is made of the types that
//! the handlers read and write.

use std::collections::BTreeMap;

use axum::body::Body;
use http::{Method, header};
use schemars::generate::{Contract, SchemaGenerator, SchemaSettings};
use schemars::{JsonSchema, Schema};
use serde_json::{Map, Value, json};
use tower::ServiceExt as _;

use super::rest::{Answer, Many, One};
use super::status::Status;
use super::tests::{BOTH, bed};
use super::{Site, plain_routes};
use crate::config::Config;
use crate::peers::Address;
use crate::plan::NodeState;
use crate::reference;

/// What is answered beside what was asked for: status, what it means, and whether it says when to ask again.
const FAILURES: [(&str, &str, bool); 8] = [
    ("400", "The body is not of that form", false),
    ("401", "No token, or one that the API server does not accept", false),
    ("403", "That account may not", false),
    ("404", "No such node in the configuration", false),
    ("408", "It took more than 15 s", false),
    ("413", "The body is larger than 1 MiB", false),
    ("429", "Too many probes, large bodies or unknown tokens at once", true),
    ("503", "Nothing is known yet, the API server gives no answer, or Torch is stopping", true),
];

/// Those of a path that reads nothing.
const OF_READING: [&str; 5] = ["401", "403", "408", "429", "503"];

/// Paths that the document leaves out, since their form is the API server's own, or for people.
const LEFT_OUT: [&str; 1] = ["/mutate"];

fn document() -> Value {
    let mut schemas = SchemaSettings::draft2020_12()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.contract = Contract::Serialize;
            settings.meta_schema = None;
        })
        .into_generator();
    let paths = json!({
        "/config": {"get": read::<Config>(&mut schemas, "config", "The configuration in force, with all defaults")},
        "/list": {"get": read::<Vec<NodeState>>(&mut schemas, "list", "Every pod that the configuration names, and how it stands")},
        "/gen": {"post": generate(&mut schemas)},
        "/genAll": {"post": generate_all(&mut schemas)},
        "/healthz": plain("healthz", "Whether the process answers", &text("ok"), None),
        "/readyz": readyz(),
        "/metrics": plain("metrics", "The metrics, in the first of these forms that is accepted", &forms_of_metrics(), None),
        "/status": plain("status", "How all nodes stand", &json_of::<Status<'_>>(&mut schemas), Some("403")),
        "/status/events": plain("statusEvents", "The same, and again whenever it has changed", &media("text/event-stream", &json!({"type": "string"})), Some("403")),
    });
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Torch",
            "summary": "Trusted Peers Orchestrator",
            "description": "REST on the TLS port, and what the plain port has. Not here is /mutate, whose form is \
                Kubernetes' AdmissionReview of admission.k8s.io/v1.",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{
            "url": "https://torch.{namespace}.svc",
            "variables": {"namespace": {"default": "torch", "description": "Torch's namespace"}},
        }],
        "paths": paths,
        "components": {
            "schemas": schemas.take_definitions(true),
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "A ServiceAccount's token whose account may call /torch/<namespace><path>",
            }},
        },
    })
}

/// `GET`, of a body and no request.
fn read<T: JsonSchema>(schemas: &mut SchemaGenerator, id: &str, summary: &str) -> Value {
    let answer = json_of::<Answer<T>>(schemas);
    operation(schemas, id, summary, &answer, &OF_READING)
}

fn generate(schemas: &mut SchemaGenerator) -> Value {
    let mut answer = json_of::<Answer<BTreeMap<String, Address>>>(schemas);
    answer["text/plain"] =
        json!({"schema": {"type": "string", "description": "`trustedPeers` alone, and a newline"}});
    let mut operation = operation(
        schemas,
        "gen",
        "The addresses of a node's groups; what is not known is learned first, within 8 s",
        &answer,
        &FAILURES.map(|(status, ..)| status),
    );
    operation["requestBody"] =
        json!({"required": true, "content": media("application/json", &request::<One>())});
    operation
}

fn generate_all(schemas: &mut SchemaGenerator) -> Value {
    let answer = json_of::<Answer<BTreeMap<String, Address>>>(schemas);
    let mut operation = operation(
        schemas,
        "genAll",
        "The same for several nodes, at most 1,000; without a list, or with an empty one, for all",
        &answer,
        &FAILURES.map(|(status, ..)| status),
    );
    operation["requestBody"] = json!({"content": media("application/json", &request::<Many>())});
    operation
}

fn operation(
    schemas: &mut SchemaGenerator,
    id: &str,
    summary: &str,
    answer: &Value,
    failures: &[&str],
) -> Value {
    let mut responses =
        Map::from_iter([("200".into(), json!({"description": "Granted", "content": answer}))]);
    for (status, description, again) in FAILURES.iter().filter(|(status, ..)| failures.contains(status)) {
        let mut response = json!({"description": description, "content": json_of::<Answer<()>>(schemas)});
        if *again {
            let header = json!({"description": "Seconds until it is worth asking again", "required": true, "schema": {"type": "string"}});
            response["headers"] = json!({"Retry-After": header});
        }
        responses.insert((*status).into(), response);
    }
    json!({"operationId": id, "summary": summary, "security": [{"token": []}], "responses": responses})
}

/// A path of the plain port.
fn plain(id: &str, summary: &str, answer: &Value, refused: Option<&str>) -> Value {
    let mut responses = json!({"200": {"description": "As things are", "content": answer}});
    if let Some(status) = refused {
        responses[status] = json!({"description": "It is shown within Torch's pod only"});
    }
    let servers = json!([{"url": "http://localhost:8080", "description": "The plain port"}]);
    json!({"servers": servers, "get": {"operationId": id, "summary": summary, "responses": responses}})
}

fn forms_of_metrics() -> Value {
    json!({
        "application/openmetrics-text": {"schema": {"type": "string"}},
        // By OpenAPI 3.1 what is no text has no schema.
        "application/vnd.google.protobuf": {},
    })
}

fn readyz() -> Value {
    let mut path = plain("readyz", "Whether Torch is ready", &text("ok"), None);
    path["get"]["responses"]["503"] =
        json!({"description": "Not ready, and why", "content": text("each part")});
    path["get"]["parameters"] = json!([{
        "name": "verbose",
        "in": "query",
        "description": "Say how each part stands, too",
        "allowEmptyValue": true,
        "schema": {"type": "string"},
    }]);
    path
}

fn text(description: &str) -> Value {
    media("text/plain", &json!({"type": "string", "description": description}))
}

fn json_of<T: JsonSchema>(schemas: &mut SchemaGenerator) -> Value {
    media("application/json", schemas.subschema_for::<T>().as_value())
}

fn media(form: &str, schema: &Value) -> Value {
    json!({form: {"schema": schema}})
}

/// What a request's body is read as.
fn request<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| settings.meta_schema = None);
    settings.into_generator().into_root_schema_for::<T>().to_value()
}

/// `nodeName` is taken for `podName`, and not both.
pub(super) fn also_node_name(schema: &mut Schema) {
    let names = schema.get("properties").and_then(|properties| properties.get("podName")).cloned();
    let is_required = schema.remove("required").is_some();
    schema.insert("properties".into(), json!({"podName": names, "nodeName": names}));
    if is_required {
        schema.insert("oneOf".into(), json!([{"required": ["podName"]}, {"required": ["nodeName"]}]));
    } else {
        schema.insert("not".into(), json!({"required": ["podName", "nodeName"]}));
    }
}

#[test]
fn the_document_is_what_the_types_say() {
    reference::keep("docs/openapi.json", &(serde_json::to_string_pretty(&document()).unwrap() + "\n"));
}

#[tokio::test]
async fn whatever_the_document_has_is_routed() {
    let context = bed(&BOTH).context;
    let document = document();
    for (path, item) in document["paths"].as_object().unwrap() {
        let method = if item["post"].is_null() { Method::GET } else { Method::POST };
        let request = http::Request::builder().method(&method).uri(path).body(Body::from("{}")).unwrap();
        let answer = if item["servers"].is_null() {
            Site::new(context.clone()).oneshot(request).await
        } else {
            plain_routes(context.clone()).oneshot(request).await
        };
        let status = answer.unwrap().status().as_u16();
        assert!(![404, 405].contains(&status), "{method} {path}: {status}");
    }
}

#[test]
fn whatever_is_routed_is_in_the_document() {
    let document = document();
    for (file, text) in reference::sources().iter().filter(|(file, _)| file.starts_with("src/http")) {
        for path in text.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()) {
            let is_there = !document["paths"][path].is_null() || LEFT_OUT.contains(&path);
            assert!(
                is_there,
                "{path} of {file} is neither in the document nor in LEFT_OUT of src/http/openapi.rs"
            );
        }
    }
}

#[tokio::test]
async fn another_method_is_told_which_there_is() {
    let context = bed(&BOTH).context;
    for (method, path, allowed) in
        [("POST", "/config", "GET,HEAD"), ("GET", "/gen", "POST"), ("PUT", "/mutate", "POST")]
    {
        let request = http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = Site::new(context.clone()).oneshot(request).await.unwrap();
        assert_eq!(
            (response.status().as_u16(), response.headers()[header::ALLOW].to_str().ok()),
            (405, Some(allowed))
        );
    }
}
