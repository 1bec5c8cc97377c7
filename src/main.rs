//! Torch.
fn main() {}
