//! The page in a real browser, as an operator opens it: by a forwarded port of a Torch on the test bed. Nodes come,
//! are learned and restarted while it is looked at; it loses its connection; in the end it shows 500 nodes. Writes
//! its picture to the file in `PICTURE`, and closes with its figures on one line.

#![allow(dead_code, reason = "the end-to-end tests' parts can do more than is needed here")]

#[path = "../e2e/bed.rs"]
mod bed;
#[path = "../e2e/kubectl.rs"]
mod kubectl;
#[path = "../e2e/node.rs"]
mod node;
#[path = "../e2e/pods.rs"]
mod pods;
#[path = "../e2e/shell.rs"]
mod shell;
#[path = "../e2e/torch.rs"]
mod torch;
#[path = "../e2e/wait.rs"]
mod wait;

mod access;
mod browser;
mod connection;
mod forward;
mod life;
mod many;
mod page;
mod policy;

use std::time::Instant;

use bed::Bed;
use forward::Forward;
use page::Page;
use torch::Torch;

fn main() {
    let begun = Instant::now();
    let bed = Bed::make("page");
    let torch = Torch::deploy(&bed, life::CONFIG);
    let forward = Forward::to(bed.name(), &torch.pod());
    let mut page = Page::open(&forward.url());

    life::follow(&bed, &mut page);
    access::check(&mut page);
    policy::check(&bed, &torch, &mut page);
    connection::check(&bed, &torch, forward, &mut page);
    let forward = Forward::to(bed.name(), &torch.pod());
    let figures = many::measure(&bed, &torch, &forward, &mut page);
    println!("page: {figures}, {} checks passed, after {} s", page.passed, begun.elapsed().as_secs());
}
