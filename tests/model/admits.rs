//! The real admission's answers, asked once for all that can be known.

use std::array;
use std::sync::Arc;

use serde_json::json;

use crate::admission::{self, Decision, Input};
use crate::config::Config;
use crate::real::{Names, SETS, pod_name};
use crate::state::{Book, Known};
use crate::view::Snapshot;

/// Whether a node that is created gets the variable: by configuration, node, and the nodes that are known.
pub struct Admits(Vec<Vec<Vec<bool>>>);

impl Admits {
    pub fn new(configs: &[Config], names: &Names, nodes: usize) -> Self {
        let of = |config: &Config, node: usize, known: usize| ask(config, names, node, &book_of(known));
        let all = |config| {
            (0..nodes).map(|n| (0..1 << nodes).map(|known| of(config, n, known)).collect()).collect()
        };
        Self(configs.iter().map(all).collect())
    }

    pub fn variable(&self, config: u8, node: usize, book: &Book) -> bool {
        let known =
            book.known.iter().enumerate().map(|(n, known)| usize::from(known.is_some()) << n).sum::<usize>();
        self.0[usize::from(config)][node][known]
    }
}

fn book_of(known: usize) -> Book {
    let of = |n: usize| (known >> n & 1 == 1).then_some(Known { container: (1, 1), key: 0, age: 0 });
    Book { known: array::from_fn(of), ..Book::default() }
}

fn ask(config: &Config, names: &Names, node: usize, book: &Book) -> bool {
    let owner =
        json!({"apiVersion": "apps/v1", "kind": "StatefulSet", "name": SETS[node], "controller": true});
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": {"group": "", "version": "v1", "kind": "Pod"}, "operation": "CREATE",
        "name": pod_name(node), "namespace": "da", "object": {
            "kind": "Pod", "apiVersion": "v1",
            "metadata": {"name": pod_name(node), "namespace": "da", "ownerReferences": [owner]},
            "spec": {"containers": [{"name": "da"}]},
        },
    }});
    let snapshot = Snapshot::begin(Arc::new(config.clone()), &names.book(book));
    let input = Input { namespace: "da", snapshot: &snapshot };
    let answer = admission::review(review.to_string().as_bytes(), input).expect("a good review");
    matches!(answer.decision, Decision::Injected { .. })
}
