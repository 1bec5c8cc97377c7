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
//! | 2 | [`admission`] | pure: (review, configuration, book) → patch |
//! | 2 | [`plan`] | pure: (configuration, book, pods, now) → what to do next, and why each node waits |
//! | 1 | [`cluster`] | the only Kubernetes calls |
//! | 0 | [`peers`], [`config`] | the words of Torch as types |

pub mod admission;
pub mod cluster;
pub mod config;
pub mod peers;
pub mod plan;
