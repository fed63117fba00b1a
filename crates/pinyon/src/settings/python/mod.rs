//! Reads CACHES from a Django settings.py without running it.
//!
//! The file is parsed by the parser of ruff and followed statement by statement, as far as it is certain what each does.
//! What only Python can know (a function that is called, a module that is installed, a condition on either) is not guessed:
//! every value that depends on it is unknown, with the reason, and a cache with such a value is left out and reported.

mod call;
mod container;
mod expression;
mod import;
mod known;
mod nesting;
mod operator;
mod path;
mod reader;
mod statement;
mod text;
mod tree;
mod value;

use super::model::Note;
use super::node::{Node, Span};
use crate::error::Result;
use reader::Reader;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The most items of a list, and the most values in CACHES.
const MOST_ITEMS: usize = 10_000;

/// What a settings file says about caches.
pub(super) struct Reading {
    /// The caches that are known, by alias, within `CACHES`.
    pub(super) node: Node,
    /// What was left out.
    pub(super) notes: Vec<Note>,
    /// The files that were read: [`Span::source`] counts them.
    pub(super) files: Vec<PathBuf>,
}

/// Reads `text`, the content of the file `path`. `environment` has the environment variables.
///
/// # Errors
/// [`crate::ErrorKind::Config`] if the text is not Python, or if nothing at all is known of its CACHES.
pub(super) fn read(text: &str, path: &Path, environment: &dyn Fn(&str) -> Option<OsString>) -> Result<Reading> {
    let mut reader = Reader::new(environment);
    reader.begin(Path::new(&path::absolute(path)));
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or("settings");
    let module = reader.follow(text, path, stem)?;
    let (node, notes) = tree::caches(&module, &reader.files)?;
    Ok(Reading { node, notes, files: reader.files })
}
