//! Why a node waits, in words for people and for machines.

use std::fmt;

use jiff::Timestamp;
use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

/// What a node waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wait {
    /// There is no pod of that name.
    Pod,
    /// The pod has no such container.
    Container {
        /// The configured name.
        name: String,
    },
    /// The container does not run.
    Start,
    /// Its address is being learned.
    Address {
        /// Why the last try failed.
        why: Option<String>,
    },
    /// None of its peers is known.
    Peers,
    /// Its group is not complete.
    Group {
        /// Some of the members that are not known.
        missing: Vec<String>,
        /// How many more are not.
        more: usize,
        /// When it is restarted nonetheless.
        until: Timestamp,
    },
    /// Its process is looked at.
    Look {
        /// Why the last look failed.
        why: Option<String>,
    },
    /// Nothing would recreate it.
    Owner,
    /// It opted out.
    OptedOut,
    /// The configuration says not to restart it.
    RestartOff,
    /// Another node of its group is being restarted.
    Turn {
        /// That node's pod.
        after: String,
    },
    /// It is being restarted.
    Restart,
    /// Its restart was refused, by a PodDisruptionBudget in most cases.
    Budget {
        /// What the API server said.
        why: String,
    },
    /// Its restart would be in vain as things are, or could not be carried out.
    Obstacle {
        /// What is in the way.
        why: String,
    },
    /// Its last restart did not bring the variable.
    Backoff {
        /// How many did not, in a row.
        attempts: u32,
        /// When the next is allowed.
        until: Timestamp,
    },
    /// No restart brought the variable.
    GaveUp {
        /// How many did not, in a row.
        attempts: u32,
    },
}

/// How many are named of those that a node waits for.
const NAMED: usize = 10;

impl Wait {
    /// A wait for these members.
    pub(super) fn group<'a>(mut missing: impl Iterator<Item = &'a str>, until: Timestamp) -> Self {
        let named = missing.by_ref().take(NAMED).map(String::from).collect();
        Self::Group { missing: named, more: missing.count(), until }
    }

    /// The kind of it, for machines.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Container { .. } => "container",
            Self::Start => "start",
            Self::Address { .. } => "address",
            Self::Peers => "peers",
            Self::Group { .. } => "group",
            Self::Look { .. } => "look",
            Self::Owner => "owner",
            Self::OptedOut => "optedOut",
            Self::RestartOff => "restartOff",
            Self::Turn { .. } => "turn",
            Self::Restart => "restart",
            Self::Budget { .. } => "podDisruptionBudget",
            Self::Obstacle { .. } => "obstacle",
            Self::Backoff { .. } => "backoff",
            Self::GaveUp { .. } => "gaveUp",
        }
    }
}

impl fmt::Display for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pod => f.write_str("there is no such pod, StatefulSet or Deployment yet"),
            Self::Container { name } => write!(f, "it has no container `{name}`: set containerName"),
            Self::Start => f.write_str("its container does not run"),
            Self::Address { why: None } => f.write_str("its address is being learned"),
            Self::Address { why: Some(why) } => write!(f, "its address is being learned: {why}"),
            Self::Peers => f.write_str("the address of none of its peers is known"),
            Self::Group { missing, more, until } => {
                write!(f, "its group is not complete ({}", missing.join(", "))?;
                if *more > 0 {
                    write!(f, " and {more} more")?;
                }
                write!(f, " not known); restarted with what is known at {until:.0}")
            }
            Self::Look { why: None } => f.write_str("whether its process has the variable is being looked at"),
            Self::Look { why: Some(why) } => {
                write!(f, "whether its process has the variable could not be seen: {why}")
            }
            Self::Owner => f.write_str(
                "no StatefulSet, Deployment or the like would recreate the pod, so Torch does not delete it: recreate it by hand, or use one",
            ),
            Self::OptedOut => f.write_str("it opted out by its annotation, so a restart would not help"),
            Self::RestartOff => f.write_str("the configuration says not to restart it (restart.when)"),
            Self::Turn { after } => write!(f, "its turn: {after} is being restarted"),
            Self::Restart => f.write_str("its restart"),
            Self::Budget { why } => write!(f, "its eviction is refused for now: {why}"),
            Self::Obstacle { why } => write!(f, "its restart is held back: {why}"),
            Self::Backoff { attempts, until } => write!(
                f,
                "{attempts} restart(s) did not bring the variable (does the webhook reach its pods?); next at {until:.0}"
            ),
            Self::GaveUp { attempts } => write!(
                f,
                "{attempts} restarts did not bring the variable: not restarted any more. See that the webhook is called for its pods, then recreate the pod"
            ),
        }
    }
}

#[cfg(test)]
impl schemars::JsonSchema for Wait {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Wait".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "What a node waits for.",
            "type": "object",
            "required": ["reason", "message"],
            "properties": {
                "reason": {"description": "The kind of it, for machines.", "type": "string"},
                "message": {"description": "The same in words, for people.", "type": "string"},
            },
        })
    }
}

impl Serialize for Wait {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Wait", 2)?;
        object.serialize_field("reason", self.reason())?;
        object.serialize_field("message", &self.to_string())?;
        object.end()
    }
}
