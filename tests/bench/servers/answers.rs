//! Answers that are known beforehand.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::{fs, io};

use hyper::body::Bytes;

/// By their names.
pub type Answers = Arc<HashMap<String, Bytes>>;

/// The files of a directory.
pub fn read(directory: &Path) -> io::Result<Answers> {
    let files = fs::read_dir(directory)?;
    let read = files.map(|file| {
        let file = file?;
        Ok((file.file_name().to_string_lossy().into_owned(), fs::read(file.path())?.into()))
    });
    read.collect::<io::Result<HashMap<_, _>>>().map(Arc::new)
}
