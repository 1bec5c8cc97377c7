//! Torch, the Trusted Peers Orchestrator.
//!
//! A peer-to-peer node learns its own multiaddress only by running, and its peers need that address
//! when they start. Torch learns the addresses of the configured nodes of its namespace, hands them
//! to their peers, and restarts a node only where that is the one way to hand them over.
//!
//! The modules stand in layers, from the top down; each uses only what stands below it:
//!
//! | layer | module | its one responsibility |
//! |---|---|---|
//! | 6 | [`cli`] | parse, run, exit code |
//! | 5 | [`app`] | the only place where parts are put together and tasks supervised |
//! | 4 | [`http`] | routes, JSON in and out, errors to statuses |
//! | 4 | [`server`] | accept loop, TLS, time limits, drain |
//! | 3 | [`leader`] | discovery, delivery, restart: carries out the plan |
//! | 3 | [`certificates`] | keeps the certificate renewed or taken up, and its CA published and registered |
//! | 3 | [`election`] | which replica leads |
//! | 3 | [`injection`] | keeps what the policy below the webhook injects from |
//! | 3 | [`reload`] | takes up changes of mounted files |
//! | 2 | [`admission`] | pure: (review, configuration, book) → patch |
//! | 2 | [`plan`] | pure: (configuration, book, pods, now) → what to do next, and why each node waits |
//! | 2 | [`view`] | what readers see, exchanged mesh by mesh |
//! | 1 | [`cluster`] | the only Kubernetes calls |
//! | 1 | [`tls`] | certificates: make, read, verify, swap |
//! | 1 | [`telemetry`], [`shutdown`] | logs, metrics, health; signals |
//! | 0 | [`connection`] | what is known of the connection that a request came by |
//! | 0 | [`peers`], [`config`] | the words of Torch as types |
//! | 0 | [`yaml`] | YAML, within limits |

pub mod admission;
pub mod app;
pub mod certificates;
pub mod cli;
pub mod cluster;
pub mod config;
pub mod connection;
pub mod election;
pub mod http;
pub mod injection;
pub mod leader;
pub mod peers;
pub mod plan;
#[cfg(test)]
mod reference;
pub mod reload;
pub mod server;
pub mod shutdown;
pub mod telemetry;
pub mod tls;
pub mod view;
pub mod yaml;
