//! The form of the file as a JSON Schema, for its reference and for editors.

use schemars::{JsonSchema, Schema, schema_for};
use serde::Serialize;

use super::{File, RawRpc};
use crate::config::{Settings, file};

/// The schema of the whole file.
pub(crate) fn schema() -> Schema {
    schema_for!(File)
}

/// What holds where no level of the file says anything.
pub(crate) fn defaults() -> serde_json::Value {
    let Settings { restart, .. } = Settings::default();
    let mut defaults = serde_json::to_value(Settings::default()).expect("settings are JSON");
    let when = [("early", restart.early), ("partial", restart.partial), ("changed", restart.changed)];
    let when: Vec<_> = when.into_iter().filter_map(|(name, is_on)| is_on.then_some(name)).collect();
    defaults["restart"] = serde_json::json!({ "when": when, "settle": Written(restart.settle) });
    defaults
}

/// A duration as the file has it.
#[derive(Serialize)]
struct Written(#[serde(serialize_with = "file::duration")] jiff::SignedDuration);

/// The forms of a probe, which is read by a visitor that tells what is wrong with it.
#[derive(JsonSchema)]
#[schemars(untagged, inline)]
#[allow(dead_code, reason = "it is for its schema alone")]
pub(super) enum Probe {
    Name(Name),
    With(With),
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", rename = "Probe")]
#[allow(dead_code, reason = "it is for its schema alone")]
pub(super) enum Name {
    /// Connect to the p2p port: the node proves its id in a Noise handshake.
    Dial,
    /// Run `celestia p2p info` in the container and read what it prints.
    Exec,
    /// Read the addresses below `The p2p host is listening on:` in the container's log.
    Log,
    /// Ask the node's JSON-RPC for `p2p.Info`, without a token.
    Rpc,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "camelCase", rename = "ProbeWith")]
#[allow(dead_code, reason = "it is for its schema alone")]
pub(super) enum With {
    /// Run another command that prints one peer id, or addresses of one.
    Exec(#[schemars(length(min = 1))] Vec<String>),
    /// Ask the node's JSON-RPC on another port, or with a token.
    Rpc(RawRpc),
    /// Nothing to learn: the node's address is this. It needs no pod.
    Address(String),
}
