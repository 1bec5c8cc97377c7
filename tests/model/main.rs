//! The pure part of Torch, built alone, and a cluster around it of which every course of events is explored.
//!
//! [`torch`] does around the plan what `src/leader` does, with [`replica`] and [`cluster`] around that; what may
//! go wrong is in [`faults`], and how much of it in [`scenarios`]. [`properties`] says what must hold in every
//! state, and [`mutations`] breaks the plan on purpose, to see that it would be noticed.

mod admits;
mod cluster;
mod faults;
mod model;
mod mutations;
mod properties;
mod real;
mod replica;
mod report;
mod scenarios;
mod state;
mod time;
mod torch;

/// The sources of Torch themselves; not all of it is needed here.
#[allow(dead_code, unused_imports)]
#[path = "../../src"]
mod core {
    pub mod admission;
    pub mod config;
    pub mod peers;
    pub mod plan;
    pub mod view;
    pub mod yaml;
}

use std::process::ExitCode;

use core::{admission, config, peers, plan, view, yaml};
use mutations::Mutation;

fn main() -> ExitCode {
    let figures = report::explore_all();
    println!(
        "\nmodel: {} states, depth {}, {} s, {} of {} mutations found",
        report::grouped(figures.states),
        figures.depth,
        figures.seconds,
        figures.mutations_found,
        Mutation::ALL.len()
    );
    let all_found = figures.mutations_found == Mutation::ALL.len();
    if figures.all_held && all_found { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
