//! Any JSON as what the API server shows: a ConfigMap of the book, and pods. What can be read of a book is
//! written as it is read, and whatever both say, plans can be made of it.

#![no_main]

use std::collections::{BTreeMap, BTreeSet, HashSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use torch::cluster::{Changes, Shard, read_pod};
use torch::peers::{self, Book, Pods};
use torch::plan::{self, Act, Memory, World};
use torch_fuzz::{BOOK, CONFIG, within};

const NOW: Timestamp = Timestamp::constant(1_800_000_000, 0);

fuzz_target!(|bytes: &[u8]| {
    let Ok(Value::Object(mut shown)) = serde_json::from_slice(bytes) else { return };
    let data = shown.remove("data").and_then(|data| serde_json::from_value(data).ok()).unwrap_or_default();
    let pods: Vec<Pod> =
        shown.remove("pods").and_then(|pods| serde_json::from_value(pods).ok()).unwrap_or_default();
    let pods: Pods = pods.iter().filter_map(read_pod).map(|pod| (pod.name.clone(), Box::new(pod))).collect();
    let (book, again, acts) = within(bytes, 200, || {
        let book = read(data);
        let again = read(written(&book));
        let acts = [plans_of(&book, &pods), plans_of(&BOOK, &pods)].concat();
        (book, again, acts)
    });
    assert_eq!(book, again, "it is not read as it is written");
    for act in acts {
        if let Act::Evict { pod, .. } | Act::Note { pod, .. } = &act {
            assert!(pods[pod].owner.as_ref().is_some_and(peers::Owner::recreates), "{act:?}");
        }
    }
});

fn read(data: BTreeMap<String, String>) -> Book {
    Shard::read("1".into(), "torch-book", data).book
}

fn written(book: &Book) -> BTreeMap<String, String> {
    let mut changes = Changes::default();
    changes.add(&Book::default(), book);
    changes.entries().iter().filter_map(|(key, text)| Some((key.clone(), text.clone()?))).collect()
}

/// What is to be done before and after the book is brought into line with the pods.
fn plans_of(book: &Book, pods: &Pods) -> Vec<Act> {
    let mut tidied = book.clone();
    let (noted, services, memory) =
        (HashSet::new(), BTreeSet::from(["da-bridge-1".into()]), Memory::default());
    let world = World {
        config: &CONFIG,
        book,
        noted: &noted,
        pods,
        services: &services,
        memory: &memory,
        unsaved: None,
        now: NOW,
    };
    plan::tidy(&mut tidied, world);
    let before = plan::plan(world).acts;
    let after = plan::plan(World { book: &tidied, ..world }).acts;
    [before, after].concat()
}
