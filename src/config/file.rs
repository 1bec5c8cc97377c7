//! The configuration as it stands in the file: reading it, and saying what is wrong with it.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use jiff::SignedDuration;
use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
#[cfg(test)]
use serde_json::json;
use serde_yaml::{Location, Spanned};

use super::{
    Config, Group, MAX_FILE, P2P_PORT, Peer, Probe, RPC_PORT, RestartPolicy, SecretKey, Settings, Volume,
    VolumeSource,
};
use crate::peers::{Address, MAX_VARIABLE, TRUSTED_PEERS, is_host};
use crate::yaml;

/// Reads a configuration.
///
/// # Errors
/// Every fault of the file, each with its place and what to write instead.
pub fn parse(text: &str) -> Result<Config, Problems> {
    let refuse = |problem| Problems(vec![problem]);
    if text.len() > MAX_FILE {
        let message = format!("the file is larger than {} MiB", MAX_FILE >> 20);
        return Err(refuse(Problem { line: 1, column: 1, message }));
    }
    let says_nothing = |line: &str| matches!(line.trim(), "" | "---") || line.trim_start().starts_with('#');
    if text.lines().all(says_nothing) {
        let message = "the file is empty: write `mutualPeers:` with at least one group of `peers`".into();
        return Err(refuse(Problem { line: 1, column: 1, message }));
    }
    let file: File = yaml::read(text).map_err(|e| refuse(Problem::of_yaml(&e, text)))?;
    let mut check = Check::default();
    let config = check.file(file);
    if check.problems.is_empty() { Ok(config) } else { Err(Problems(check.problems)) }
}

/// A fault of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Its line, counted from 1.
    pub line: u64,
    /// Its column, counted from 1.
    pub column: u64,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl Problem {
    fn of_yaml(error: &serde_yaml::Error, text: &str) -> Self {
        let place = error.location().unwrap_or(Location::UNKNOWN);
        let whole = error.without_snippet().to_string();
        let said = whole.split(" at line ").next().unwrap_or(&whole);
        let (mut line, mut column) = (place.line().max(1), place.column().max(1));
        if is_of_several_documents(said) {
            // What is found is the second document; what is too much stands before it.
            while line > 1 && !nth_line(text, line).starts_with("---") {
                (line, column) = (line - 1, 1);
            }
        }
        Self { line, column, message: in_words(said.trim_start_matches("error: "), nth_line(text, line)) }
    }

    /// The problem with the lines of the file that it is about, as compilers show it.
    pub fn excerpt(&self, file_name: &str, text: &str) -> String {
        let Self { line, column, message } = self;
        let number = line.to_string();
        let margin = " ".repeat(number.len());
        let shown: String = nth_line(text, *line).chars().take(200).collect();
        let indent = " ".repeat(usize::try_from(column - 1).unwrap_or(0).min(200));
        format!(
            "error: {message}\n{margin}--> {file_name}:{line}:{column}\n{margin} |\n{number} | {shown}\n{margin} | {indent}^"
        )
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

fn nth_line(text: &str, line: u64) -> &str {
    usize::try_from(line - 1).ok().and_then(|n| text.lines().nth(n)).unwrap_or_default()
}

fn is_of_several_documents(said: &str) -> bool {
    said.contains("multiple") && said.contains("document")
}

/// Says what to write where the YAML library only says what it met, on a line where that is `written`.
fn in_words(said: &str, written: &str) -> String {
    let hint = match said {
        "expected mapping start" if written.contains("restart") => {
            "fields are expected here: `restart: {when: []}` is never, `restart: {when: [early, changed]}` is for these reasons"
        }
        "expected mapping start" if written.contains('-') || written.contains("peers") => {
            "fields are expected here: write each peer as `- nodeName: <its name>`"
        }
        _ if said.starts_with("unknown field `apiVersion`") => {
            "this is a Kubernetes object: write what stands in its `data`, below `config.yaml: |`"
        }
        _ if said.starts_with("cannot deserialize null") => "a value is expected here",
        _ if said.contains("limits breached") || said.starts_with("budget breached") => {
            "the file has more values than any configuration needs"
        }
        _ if said.starts_with("unknown variant `never`") => "`when: []` is never",
        "expected sequence start" => "a list is expected here: begin each entry with `- `, or write `[…]`",
        "expected mapping start" => "fields are expected here, such as `mutualPeers:` at the beginning",
        "expected string scalar" => "a text is expected here",
        "invalid boolean" => "write `true` or `false` here",
        "invalid u16" => "write a whole number up to 65535 here",
        _ if is_of_several_documents(said) => "one document is expected: take the `---` out",
        _ => return said.split(", set DuplicateKeyPolicy").next().unwrap_or(said).to_owned(),
    };
    hint.to_owned()
}

/// All faults of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.0.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            write!(f, "{separator}{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Declares a level of the file: its own fields, and the settings that every level can have. What is said of the
/// fields is what `docs/configuration.md` says of them.
macro_rules! level {
    ($(#[$of:meta])* $name:ident { $($(#[$meta:meta])* $field:ident: $type:ty),* $(,)? }) => {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        #[cfg_attr(test, derive(schemars::JsonSchema))]
        $(#[$of])*
        struct $name {
            $($(#[$meta])* $field: $type,)*
            /// The container that the node runs in.
            #[cfg_attr(test, schemars(with = "Option<String>", example = &"node"))]
            container_name: Option<Spanned<String>>,
            /// The directory of the file `TRUSTED_PEERS` in that container.
            #[cfg_attr(test, schemars(with = "Option<String>", example = &"/var/lib/peers"))]
            trusted_peers_path: Option<Spanned<String>>,
            /// The host of the node's address, a DNS name that resolves from other pods; `{pod}` in it stands for
            /// the pod's name. Without it Torch finds one, as "The host" says.
            #[cfg_attr(test, schemars(with = "Option<String>", example = &"{pod}.da.example.com"))]
            host: Option<Spanned<String>>,
            /// The node's TCP port for libp2p.
            #[cfg_attr(test, schemars(with = "Option<u16>", range(min = 1), example = 4001))]
            port: Option<Spanned<u16>>,
            /// The volume that keeps the file when the pod is restarted: one of `claimName` and `name`. Without it,
            /// it is that of the pod's only claim, where that does no harm, as "The volume" says.
            #[cfg_attr(test, schemars(with = "Option<RawVolume>"))]
            #[cfg_attr(test, schemars(example = json!({"claimName": "peers", "subPath": "mesh"})))]
            volume: Option<Spanned<RawVolume>>,
            /// How to learn the node's peer id: one probe after the other, until one succeeds.
            #[cfg_attr(test, schemars(with = "Option<Vec<schema::Probe>>", length(min = 1)))]
            #[cfg_attr(test, schemars(example = ["dial", "log"]))]
            probe: Option<Spanned<Vec<Probe>>>,
            /// Whether a node's own address is in its list, too.
            #[cfg_attr(test, schemars(example = true))]
            include_self: Option<bool>,
            /// When to restart the node. Each of the two fields is inherited by itself.
            #[cfg_attr(test, schemars(example = json!({"when": ["early", "changed"], "settle": "30s"})))]
            restart: Option<RawRestart>,
        }

        impl $name {
            /// Lays what this level sets over `settings`.
            fn apply(&self, check: &mut Check, settings: &mut Settings) {
                let level = Level {
                    container_name: self.container_name.as_ref(),
                    trusted_peers_path: self.trusted_peers_path.as_ref(),
                    host: self.host.as_ref(),
                    port: self.port.as_ref(),
                    volume: self.volume.as_ref(),
                    probe: self.probe.as_ref(),
                    include_self: self.include_self,
                    restart: self.restart.as_ref(),
                };
                check.settings(level, settings);
            }
        }
    };
}

level!(
    /// The configuration of Torch, the Trusted Peers Orchestrator.
    #[cfg_attr(test, schemars(rename = "Configuration of Torch"))]
    File {
        /// The groups: nodes of which each trusts every other. At least one.
        #[cfg_attr(test, schemars(with = "Vec<RawGroup>", length(min = 1)))]
        #[cfg_attr(test, schemars(example = [json!({"peers": [{"nodeName": "da-bridge-1"}, {"nodeName": "da-full-1"}]})]))]
        mutual_peers: Spanned<Vec<RawGroup>>,
    }
);
level!(
    /// Nodes of which each trusts every other.
    #[cfg_attr(test, schemars(rename = "Group"))]
    RawGroup {
        /// The group's name, which `/list` and `torch status` show: 1 to 63 printable characters, and no other
        /// group's. Without it, `group-1`, `group-2`, … by its place in the file.
        #[cfg_attr(test, schemars(with = "Option<String>", length(min = 1, max = 63), example = &"mocha"))]
        name: Option<Spanned<String>>,
        /// The group's members, each once. At least one.
        #[cfg_attr(test, schemars(with = "Vec<RawPeer>", length(min = 1)))]
        #[cfg_attr(test, schemars(example = [json!({"nodeName": "da-bridge-1"}), json!({"nodeName": "da-full-1", "port": 2122})]))]
        peers: Spanned<Vec<RawPeer>>,
    }
);
level!(
    /// A member of a group.
    #[cfg_attr(test, schemars(rename = "Peer"))]
    RawPeer {
        /// The name of a pod, or of the StatefulSet or Deployment that owns it; then each of its pods is a node. A
        /// node may be in several groups, with the same settings in each.
        #[cfg_attr(test, schemars(with = "String", example = &"da-bridge-1"))]
        node_name: Spanned<String>,
    }
);

struct Level<'a> {
    container_name: Option<&'a Spanned<String>>,
    trusted_peers_path: Option<&'a Spanned<String>>,
    host: Option<&'a Spanned<String>>,
    port: Option<&'a Spanned<u16>>,
    volume: Option<&'a Spanned<RawVolume>>,
    probe: Option<&'a Spanned<Vec<Probe>>>,
    include_self: Option<bool>,
    restart: Option<&'a RawRestart>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Volume", extend("oneOf" = [{"required": ["claimName"]}, {"required": ["name"]}])))]
struct RawVolume {
    /// A PersistentVolumeClaim; its volume is added to the pod where it has none of it.
    claim_name: Option<String>,
    /// Instead of `claimName`: a volume that the pod has, of a PersistentVolumeClaim.
    name: Option<String>,
    /// The directory on that volume.
    #[cfg_attr(test, schemars(extend("default" = SUB_PATH)))]
    sub_path: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Restart"))]
struct RawRestart {
    /// The reasons to restart a node; `[]`, never.
    when: Option<Vec<When>>,
    /// How long to wait, after the last address was learned, for a group that is not complete. Then its early nodes
    /// are restarted with what is known.
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    settle: Option<Spanned<String>>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase")]
#[cfg_attr(test, derive(schemars::JsonSchema))]
enum When {
    /// It runs without the variable.
    Early,
    /// Its variable lacks a peer that is known by now.
    Partial,
    /// Its variable has an address that is no longer right.
    Changed,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "Rpc"))]
struct RawRpc {
    /// The port of JSON-RPC.
    #[cfg_attr(test, schemars(range(min = 1), extend("default" = RPC_PORT)))]
    port: Option<u16>,
    /// Where the token is, if the node asks for one.
    token_secret: Option<RawSecretKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema), schemars(rename = "SecretKey"))]
struct RawSecretKey {
    /// A Secret in Torch's namespace.
    name: String,
    /// The entry of the Secret.
    #[cfg_attr(test, schemars(extend("default" = TOKEN)))]
    key: Option<String>,
}

/// The directory on a volume, where none is written.
const SUB_PATH: &str = "torch";

/// The longest path, in bytes.
const MOST_PATH: usize = 1024;

/// The longest name in a path, in bytes: Linux's `NAME_MAX`.
const MOST_NAME: usize = 255;

/// The entry of a Secret, where none is written.
const TOKEN: &str = "token";

impl Default for Settings {
    fn default() -> Self {
        Self {
            container_name: "da".into(),
            trusted_peers_path: "/tmp".into(),
            host: None,
            port: P2P_PORT,
            volume: None,
            probe: [Probe::Dial, Probe::exec()].into(),
            include_self: false,
            restart: RestartPolicy {
                early: true,
                partial: false,
                changed: false,
                settle: SignedDuration::from_mins(2),
            },
        }
    }
}

impl Probe {
    /// `exec` with the command that the original ran.
    pub fn exec() -> Self {
        Self::Exec(["celestia", "p2p", "info"].map(String::from).into())
    }
}

const PROBES: &str = "`dial`, `exec`, `log`, `rpc` or `address`";

impl<'de> Deserialize<'de> for Probe {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ProbeVisitor)
    }
}

/// A probe is its name, or its name with what it needs: `dial`, `exec: [my-node, id]`.
struct ProbeVisitor;

impl<'de> Visitor<'de> for ProbeVisitor {
    type Value = Probe;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a probe: {PROBES}")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<Probe, E> {
        match name {
            "dial" => Ok(Probe::Dial),
            "exec" => Ok(Probe::exec()),
            "log" => Ok(Probe::Log),
            "rpc" => Ok(Probe::Rpc { port: RPC_PORT, token: None }),
            "address" => {
                Err(E::custom("`address` needs one: write `address: /dns/<host>/tcp/<port>/p2p/<peer id>`"))
            }
            _ => Err(E::custom(format!("unknown probe `{name}`: write {PROBES}"))),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Probe, A::Error> {
        let Some(name) = map.next_key::<String>()? else {
            return Err(de::Error::custom(format!("an empty probe: write {PROBES}")));
        };
        let probe = match name.as_str() {
            "exec" => Probe::Exec(map.next_value()?),
            "rpc" => {
                let rpc: RawRpc = map.next_value()?;
                Probe::Rpc {
                    port: rpc.port.unwrap_or(RPC_PORT),
                    token: rpc
                        .token_secret
                        .map(|s| SecretKey { name: s.name, key: s.key.unwrap_or_else(|| TOKEN.into()) }),
                }
            }
            "address" => Probe::Address(map.next_value::<Address>()?),
            "dial" | "log" => {
                return Err(de::Error::custom(format!("`{name}` takes nothing: write `- {name}`")));
            }
            _ => {
                return Err(de::Error::custom(format!("unknown probe `{name}`: write {PROBES}")));
            }
        };
        match map.next_key::<String>()? {
            None => Ok(probe),
            Some(_) => Err(de::Error::custom("two probes in one entry: write one `- ` for each")),
        }
    }
}

/// Collects what is wrong beyond the form of the file.
#[derive(Default)]
struct Check {
    problems: Vec<Problem>,
}

impl Check {
    fn say<T>(&mut self, place: &Spanned<T>, message: String) {
        let at = place.referenced;
        self.problems.push(Problem { line: at.line().max(1), column: at.column().max(1), message });
    }

    fn file(&mut self, file: File) -> Config {
        let settings = self.inner(&Arc::default(), |check, settings| file.apply(check, settings));
        if file.mutual_peers.value.is_empty() {
            self.say(
                &file.mutual_peers,
                "`mutualPeers` is empty: write at least one group of `peers`".into(),
            );
        }
        let raws = file.mutual_peers.value.iter().enumerate();
        let groups: Vec<Arc<Group>> = raws.map(|(i, raw)| self.group(raw, i, &settings)).collect();
        self.names_differ(&file.mutual_peers.value, &groups);
        self.agree(&file.mutual_peers.value, &groups);
        let config = Config::new(groups);
        self.fits(&file.mutual_peers.value, &config);
        config
    }

    /// A written name may clash with one that another group is given, too.
    fn names_differ(&mut self, raw: &[RawGroup], groups: &[Arc<Group>]) {
        for (i, written) in raw.iter().enumerate().filter_map(|(i, raw)| Some((i, raw.name.as_ref()?))) {
            let others =
                groups.iter().enumerate().filter(|(other, _)| *other < i || raw[*other].name.is_none());
            if others.into_iter().any(|(other, group)| other != i && group.name == written.value) {
                self.say(
                    written,
                    format!("a second group called `{}`: give each its own name", shorten(&written.value)),
                );
            }
        }
    }

    /// What becomes of the settings around it where a level of the file has its say.
    fn inner(
        &mut self,
        outer: &Arc<Settings>,
        apply: impl FnOnce(&mut Self, &mut Settings),
    ) -> Arc<Settings> {
        let mut settings = Settings::clone(outer);
        apply(self, &mut settings);
        if settings == **outer { Arc::clone(outer) } else { Arc::new(settings) }
    }

    fn group(&mut self, raw: &RawGroup, index: usize, outer: &Arc<Settings>) -> Arc<Group> {
        let settings = self.inner(outer, |check, settings| raw.apply(check, settings));
        if raw.peers.value.is_empty() {
            self.say(
                &raw.peers,
                "a group without `peers`: write a `- nodeName:` for each member, or take the group out"
                    .into(),
            );
        }
        let mut peers: Vec<Peer> = Vec::new();
        for peer in &raw.peers.value {
            let name = &peer.node_name;
            self.name(name, "nodeName", "the name of a pod, StatefulSet or Deployment");
            if peers.iter().any(|p| p.node_name == name.value) {
                self.say(name, format!("`{}` stands in this group twice: take one out", name.value));
            }
            let settings = self.inner(&settings, |check, settings| peer.apply(check, settings));
            peers.push(Peer { node_name: name.value.clone(), settings });
        }
        let name = raw.name.as_ref().map_or_else(|| format!("group-{}", index + 1), |n| n.value.clone());
        if let Some(written) = raw.name.as_ref().filter(|n| {
            n.value.is_empty() || n.value.chars().count() > 63 || n.value.chars().any(char::is_control)
        }) {
            self.say(written, "a group's `name` has 1 to 63 printable characters".into());
        }
        Arc::new(Group { name, peers })
    }

    fn settings(&mut self, level: Level<'_>, settings: &mut Settings) {
        if let Some(name) = level.container_name {
            self.name(name, "containerName", "the name of a container");
            settings.container_name.clone_from(&name.value);
        }
        if let Some(path) = level.trusted_peers_path {
            settings.trusted_peers_path = self.path(path);
        }
        if let Some(host) = level.host {
            if !is_host(&host.value.replace("{pod}", "pod")) {
                self.say(host, format!("`{}` is not a DNS name: write letters a-z, digits, `-` and `.`; `{{pod}}` stands for the pod's name", shorten(&host.value)));
            }
            settings.host = Some(host.value.clone());
        }
        if let Some(port) = level.port {
            if port.value == 0 {
                self.say(port, "port 0 cannot be dialled: write the node's p2p port, 1 to 65535".into());
            }
            settings.port = port.value.max(1);
        }
        if let Some(volume) = level.volume {
            settings.volume = self.volume(volume);
        }
        if let Some(probe) = level.probe {
            self.probes(probe);
            settings.probe = probe.value.as_slice().into();
        }
        settings.include_self = level.include_self.unwrap_or(settings.include_self);
        if let Some(restart) = level.restart {
            self.restart(restart, &mut settings.restart);
        }
    }

    fn name(&mut self, name: &Spanned<String>, field: &str, what: &str) {
        if !is_host(&name.value) {
            self.say(
                name,
                format!(
                    "`{}` cannot be a {field}: write {what} (letters a-z, digits, `-`)",
                    shorten(&name.value)
                ),
            );
        }
    }

    fn path(&mut self, path: &Spanned<String>) -> String {
        let trimmed = path.value.trim_end_matches('/');
        let parts = trimmed.split('/').skip(1);
        let harmless = |p: &str| is_component(p) && !p.contains('\r');
        let is_kernels = ["/proc", "/sys"].into_iter().any(|kernels| Path::new(trimmed).starts_with(kernels));
        if is_kernels {
            self.say(path, format!("nothing can be written to `{}`, which is the kernel's: write another directory, such as `/tmp`", shorten(trimmed)));
        } else if !trimmed.starts_with('/') || trimmed.len() > MOST_PATH || !parts.into_iter().all(harmless) {
            self.say(path, format!("`{}` cannot hold the file: write an absolute directory below `/`, without `.`, `..` or `:` and each name of 255 bytes at most, such as `/tmp`", shorten(&path.value)));
        }
        trimmed.to_owned()
    }

    fn volume(&mut self, volume: &Spanned<RawVolume>) -> Option<Volume> {
        let raw = &volume.value;
        let source = match (&raw.claim_name, &raw.name) {
            (Some(claim), None) => VolumeSource::ClaimName(claim.clone()),
            (None, Some(name)) => VolumeSource::Name(name.clone()),
            _ => {
                self.say(
                    volume,
                    "write one of `claimName` (a PersistentVolumeClaim) and `name` (a volume of the pod)"
                        .into(),
                );
                return None;
            }
        };
        let (VolumeSource::ClaimName(name) | VolumeSource::Name(name)) = &source;
        if !is_host(name) {
            self.say(volume, format!("`{}` is not the name of a claim or volume", shorten(name)));
        }
        let sub_path = raw.sub_path.clone().unwrap_or_else(|| SUB_PATH.into());
        if sub_path.len() > MOST_PATH || !sub_path.split('/').all(is_component) {
            self.say(
                volume,
                format!(
                    "`subPath: {}` is not a relative directory without `.` and `..`, each name of 255 bytes at most",
                    shorten(&sub_path)
                ),
            );
        }
        Some(Volume { source, sub_path })
    }

    fn probes(&mut self, probes: &Spanned<Vec<Probe>>) {
        if probes.value.is_empty() {
            self.say(probes, format!("`probe` is empty: write at least one of {PROBES}, or leave it out"));
        }
        for probe in &probes.value {
            match probe {
                Probe::Exec(command) if command.is_empty() || command[0].is_empty() => {
                    self.say(probes, "`exec` has no command: write `exec: [celestia, p2p, info]`".into());
                }
                Probe::Rpc { port: 0, .. } => self.say(probes, "`rpc` cannot ask on port 0".into()),
                Probe::Rpc { token: Some(secret), .. } if !is_host(&secret.name) => {
                    self.say(probes, format!("`{}` is not the name of a Secret", shorten(&secret.name)));
                }
                _ => {}
            }
        }
    }

    fn restart(&mut self, raw: &RawRestart, policy: &mut RestartPolicy) {
        if let Some(when) = &raw.when {
            policy.early = when.contains(&When::Early);
            policy.partial = when.contains(&When::Partial);
            policy.changed = when.contains(&When::Changed);
        }
        if let Some(settle) = &raw.settle {
            match settle.value.parse::<SignedDuration>() {
                Ok(time) if !time.is_negative() => policy.settle = time,
                _ => self.say(
                    settle,
                    format!(
                        "`{}` is not a time to wait: write it like `30s` or `2m`",
                        shorten(&settle.value)
                    ),
                ),
            }
        }
    }

    /// A node in several groups is still one node.
    fn agree(&mut self, raw: &[RawGroup], groups: &[Arc<Group>]) {
        let mut first: HashMap<&str, (&Group, &Peer)> = HashMap::new();
        for (raw, group) in raw.iter().zip(groups) {
            for (raw, peer) in raw.peers.value.iter().zip(&group.peers) {
                let (other, same) = *first.entry(&peer.node_name).or_insert((group, peer));
                if same.settings != peer.settings {
                    let message = format!(
                        "`{}` is set differently here and in `{}`: write the same settings for it in both groups",
                        peer.node_name, other.name
                    );
                    self.say(&raw.node_name, message);
                }
            }
        }
    }

    /// Refuses groups whose value could never be an environment variable.
    fn fits(&mut self, raw: &[RawGroup], config: &Config) {
        for (raw, group) in raw.iter().zip(&config.groups) {
            let least: usize = group.peers.iter().map(least_length).sum();
            if least + TRUSTED_PEERS.len() > MAX_VARIABLE {
                let message = format!(
                    "the addresses of these {} members make at least {least} characters, and an environment variable holds {MAX_VARIABLE}: split the group",
                    group.peers.len()
                );
                self.say(&raw.peers, message);
            }
        }
    }
}

/// Whether a file system can have a directory of that name, and the kubelet can be told of it.
fn is_component(name: &str) -> bool {
    !matches!(name, "" | "." | "..") && name.len() <= MOST_NAME && !name.contains([':', '\0', '\n'])
}

/// The least that a peer adds to its peers' variable: its address and a comma.
fn least_length(peer: &Peer) -> usize {
    let host = peer.settings.host.as_deref().unwrap_or(&peer.node_name);
    let peer_id = 46;
    "/dns//tcp/1/p2p/,".len() + host.len() + peer_id
}

fn shorten(text: &str) -> String {
    text.chars().take(80).collect::<String>().escape_debug().to_string()
}

/// Writes a duration as it is written in the file.
pub(super) fn duration<S: Serializer>(time: &SignedDuration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{time:#}"))
}

#[cfg(test)]
pub(crate) mod schema;
#[cfg(test)]
mod tests;
