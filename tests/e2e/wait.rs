//! Waiting for what must come true.

use std::thread::sleep;
use std::time::{Duration, Instant};

/// Enough for what takes a few seconds on a machine with nothing else to do.
pub const SOON: Duration = Duration::from_secs(120);

/// How long nothing may happen where a test says that nothing does.
pub const A_WHILE: Duration = Duration::from_secs(25);

const EVERY: Duration = Duration::from_millis(400);

/// Tries until it succeeds; fails with what the last try said.
#[track_caller]
pub fn eventually<T>(what: &str, within: Duration, mut attempt: impl FnMut() -> Result<T, String>) -> T {
    let end = Instant::now() + within;
    loop {
        match attempt() {
            Ok(done) => return done,
            Err(why) if Instant::now() > end => panic!("not within {within:?}: {what}: {why}"),
            Err(_) => sleep(EVERY),
        }
    }
}

/// `Ok` where it holds, else what was found instead.
pub fn check(holds: bool, found: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(found()) }
}
