//! The texts that commands read and print.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};

/// The largest text taken, in bytes: more than all pods of a large cluster make.
const MOST: u64 = 256 << 20;

/// Standard output could not be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write to standard output: {0}")]
pub struct Unwritable(io::Error);

impl Unwritable {
    /// Whether that is since nobody reads it any more, as after `| head`.
    pub fn is_unwanted(&self) -> bool {
        self.0.kind() == io::ErrorKind::BrokenPipe
    }
}

/// Prints a text; its colours on a terminal only.
///
/// # Errors
/// Where standard output cannot be written.
pub fn print(text: &str) -> Result<(), Unwritable> {
    write(anstream::stdout(), text.as_bytes())
}

/// Prints a text, each byte of it as it is.
///
/// # Errors
/// Where standard output cannot be written.
pub fn print_raw(text: &[u8]) -> Result<(), Unwritable> {
    write(io::stdout(), text)
}

fn write(mut out: impl io::Write, text: &[u8]) -> Result<(), Unwritable> {
    out.write_all(text).and_then(|()| out.flush()).map_err(Unwritable)
}

/// Says something on standard error. There is nobody to tell where that fails.
pub fn say(text: impl Display) {
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// What a file is called in messages.
pub fn name(file: &Path) -> String {
    if is_stdin(file) { "standard input".into() } else { file.display().to_string() }
}

/// The text of a file; `-` is standard input.
///
/// # Errors
/// Where it cannot be read, is not UTF-8, or is too large.
pub fn read(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    let done = if is_stdin(file) {
        io::stdin().take(MOST + 1).read_to_string(&mut text)
    } else {
        File::open(file).and_then(|file| file.take(MOST + 1).read_to_string(&mut text))
    };
    done.with_context(|| format!("cannot read {}", name(file)))?;
    if text.len() as u64 > MOST {
        bail!("{} is larger than {} MiB", name(file), MOST >> 20);
    }
    Ok(text)
}

fn is_stdin(file: &Path) -> bool {
    file == Path::new("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/no/such/file")).unwrap_err();
        assert_eq!(error.to_string(), "cannot read /no/such/file");
    }

    #[test]
    fn a_file_without_an_end_is_refused() {
        let error = read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "/dev/zero is larger than 256 MiB");
    }
}
