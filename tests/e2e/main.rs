//! End-to-end tests: Torch and real libp2p nodes on the real cluster of `KUBECONFIG`, to which the
//! images `TORCH_IMAGE` and `PEER_IMAGE` are known (by default those that `tests/cluster/images` loads).
//!
//! Each test works in a namespace of its own, so all of them may run at once. How often a node was
//! restarted is counted from the UIDs of its pods, and what is connected is asked of the nodes themselves.

mod bed;
mod kubectl;
mod measure;
#[allow(dead_code, reason = "tests/faults uses the rest")]
mod node;
mod pod_table;
#[allow(dead_code, reason = "tests/faults uses the rest")]
mod pods;
mod shell;
mod torch;
mod wait;

mod t01_early_pair;
mod t02_two_pairs_and_a_stranger;
mod t03_late_node;
mod t04_through_gen;
mod t05_from_the_file;
mod t06_cannot_start_without_peers;
mod t07_killed_and_started_again;
mod t08_disruption_budget;
mod t09_key_change;
mod t10_configuration_change;
mod t11_rest;
mod t12_probes_and_hostile_containers;
mod t13_nothing_blocks;
mod t14_cost;
mod t14_without_torch;
mod t15_auth;
mod t16_held_connections;
mod t17_deleted_objects;
mod t18_many_nodes;
mod t19_hostile_pod;
mod t20_certificates;
mod t21_command_line;
