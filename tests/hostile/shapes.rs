//! Requests of which two readers may think differently where they end: none that stands in another's body
//! may be answered.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::target::Target;

/// What stands in the body.
const INNER: &str = "GET /smuggled HTTP/1.1\r\nhost: torch\r\n\r\n";

/// The heads, with what stands before the inner request.
const SHAPES: [(&str, &str, &str); 9] = [
    ("length and chunks", "content-length: 64\r\ntransfer-encoding: chunked", "0\r\n\r\n"),
    ("chunks and length", "transfer-encoding: chunked\r\ncontent-length: 5", "0\r\n\r\n"),
    ("two lengths", "content-length: 0\r\ncontent-length: 40", ""),
    ("a list of lengths", "content-length: 0, 40", ""),
    ("a length with a sign", "content-length: +0", ""),
    ("a folded line", "x: y\r\n content-length: 0", ""),
    ("a blank before the colon", "content-length : 0", ""),
    ("chunks by another name", "transfer-encoding: xchunked", "0\r\n\r\n"),
    ("a bare carriage return", "x: y\rcontent-length: 0", ""),
];

/// What came of them.
pub struct Shapes {
    pub lines: Vec<String>,
    /// How many inner requests were answered.
    pub answered: usize,
}

pub async fn send_all(target: &Target) -> Shapes {
    let mut shapes = Shapes { lines: Vec::new(), answered: 0 };
    for (name, head, before) in SHAPES {
        let request = format!("POST /mutate HTTP/1.1\r\nhost: torch\r\n{head}\r\n\r\n{before}{INNER}");
        let answer = send(target, &request).await;
        let statuses: Vec<&str> =
            answer.split("HTTP/1.1 ").skip(1).filter_map(|rest| rest.split(' ').next()).collect();
        let inner = answer.contains("there is no such path");
        shapes.answered += usize::from(inner);
        shapes.lines.push(format!(
            "{name:<24} {}",
            if statuses.is_empty() { "hung up".into() } else { statuses.join(", then ") }
        ));
    }
    shapes
}

async fn send(target: &Target, request: &str) -> String {
    let mut answer = Vec::new();
    let exchange = async {
        let mut stream = target.connect_tls(None).await?;
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_end(&mut answer).await
    };
    let _ = timeout(Duration::from_secs(2), exchange).await;
    String::from_utf8_lossy(&answer).into_owned()
}
