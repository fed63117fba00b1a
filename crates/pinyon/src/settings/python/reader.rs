//! Reads files of settings and remembers what they define.

use super::super::node::{Lines, Span};
use super::value::{Module, Placed, Python, Unknown};
use super::{nesting, path, statement};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::Location;
use ruff_python_parser::parse_module;
use ruff_text_size::Ranged;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The most files that one settings file may pull in.
const MOST_FILES: usize = 50;
/// How many files may stand between a file and the settings.
const DEEPEST_IMPORT: usize = 10;
/// The largest file that is read, in bytes.
const LARGEST_FILE: usize = 1 << 20;
/// The most statements and calls that are followed in all files together.
const MOST_STEPS: usize = 100_000;

/// What all files of one reading share.
pub(super) struct Reader<'e> {
    pub(super) environment: &'e dyn Fn(&str) -> Option<OsString>,
    /// The files in the order in which they were opened: [`Span::source`] counts them.
    pub(super) files: Vec<PathBuf>,
    /// None while a file is being read: it imports itself.
    modules: HashMap<PathBuf, Option<Rc<Module>>>,
    depth: usize,
    steps: usize,
}

/// One file while it is followed.
pub(super) struct Execution<'r, 'e, 't> {
    pub(super) reader: &'r mut Reader<'e>,
    lines: Lines<'t>,
    pub(super) path: PathBuf,
    /// The name of the module, as far as the import that led here shows it.
    pub(super) module: String,
    pub(super) names: HashMap<String, Placed>,
    /// Why what is assigned now may not be assigned at all, innermost last.
    pub(super) doubts: Vec<Rc<Unknown>>,
    /// How many `try` statements stand around what is followed now.
    pub(super) tries: usize,
    /// Why names that are not in `names` may be defined.
    pub(super) lost: Option<Rc<Unknown>>,
}

impl<'e> Reader<'e> {
    pub(super) fn new(environment: &'e dyn Fn(&str) -> Option<OsString>) -> Self {
        Self { environment, files: Vec::new(), modules: HashMap::new(), depth: 0, steps: 0 }
    }

    /// Follows `text`, which is the content of `path`.
    pub(super) fn follow(&mut self, text: &str, path: &Path, module: &str) -> Result<Rc<Module>> {
        let source = u16::try_from(self.files.len()).unwrap_or(u16::MAX);
        self.files.push(path.to_owned());
        let lines = Lines::of(text, source);
        let wrong = |reason: &str, span: Span| {
            Err(Error::new(ErrorKind::Config, format!("the settings are not Python: {reason}"))
                .with_location(Location { file: Some(path.to_owned()), span }))
        };
        if text.len() > LARGEST_FILE {
            return wrong("the file is larger than 1 MiB", lines.span(0));
        }
        if nesting::too_deep(text) {
            return wrong("something in them is nested too deeply to be read", lines.span(0));
        }
        let parsed = match parse_module(text) {
            Ok(parsed) => parsed,
            // The parser's words name what was expected and found, and never quote a string.
            Err(error) => return wrong(&error.error.to_string(), lines.span(error.range().start().to_usize())),
        };
        let module = module.to_owned();
        let mut execution = Execution {
            reader: self,
            lines,
            path: path.to_owned(),
            module,
            names: HashMap::new(),
            doubts: Vec::new(),
            tries: 0,
            lost: None,
        };
        let file = Placed::new(Python::text(&path::absolute(path)), Span { line: 1, column: 1, source });
        execution.names.insert("__file__".to_owned(), file);
        statement::body(&mut execution, parsed.suite());
        Ok(Rc::new(Module { names: execution.names, lost: execution.lost }))
    }

    /// The module in `path`, followed once; the reason if it cannot be.
    pub(super) fn import(&mut self, path: &Path, module: &str) -> Result<Rc<Module>, String> {
        if let Some(known) = self.modules.get(path) {
            return known.clone().ok_or_else(|| format!("{} imports itself", path.display()));
        }
        if self.files.len() >= MOST_FILES || self.depth >= DEEPEST_IMPORT {
            return Err(format!("{} is one file too many", path.display()));
        }
        let text =
            std::fs::read_to_string(path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
        self.modules.insert(path.to_owned(), None);
        self.depth += 1;
        let followed = self.follow(&text, path, module).map_err(|error| error.to_string());
        self.depth -= 1;
        if let Ok(module) = &followed {
            self.modules.insert(path.to_owned(), Some(module.clone()));
        }
        followed
    }

    /// Marks the settings file itself as being read, so that nothing imports it again.
    pub(super) fn begin(&mut self, path: &Path) {
        self.modules.insert(path.to_owned(), None);
    }
}

impl Execution<'_, '_, '_> {
    /// The place of something in this file.
    pub(super) fn span(&self, ranged: &impl Ranged) -> Span {
        self.lines.span(ranged.start().to_usize())
    }

    /// Something at `span` that only Python knows.
    pub(super) fn unknown(reason: impl Into<String>, span: Span) -> Rc<Unknown> {
        Rc::new(Unknown { reason: reason.into(), span, raises: None })
    }

    /// Something at `span` that raises an exception in Python.
    pub(super) fn raises(exception: &'static str, reason: impl Into<String>, span: Span) -> Rc<Unknown> {
        Rc::new(Unknown { reason: reason.into(), span, raises: Some(exception) })
    }

    /// Counts a step; false if there were too many.
    pub(super) fn step(&mut self) -> bool {
        self.reader.steps += 1;
        self.reader.steps <= MOST_STEPS
    }

    /// Why what happens now may not happen.
    pub(super) fn doubt(&self) -> Option<Rc<Unknown>> {
        self.doubts.last().cloned()
    }

    /// `name = value`.
    pub(super) fn bind(&mut self, name: &str, value: Placed) {
        let value = match self.doubt() {
            // The container may now have two names or one: what happens to it later is not known either.
            Some(why) => {
                value.value.mark(&why);
                Placed::from(why)
            }
            None => value,
        };
        self.names.insert(name.to_owned(), value);
    }

    /// Everything may have any value from here on.
    pub(super) fn lose(&mut self, why: Rc<Unknown>) {
        for placed in self.names.values() {
            placed.value.mark(&why);
        }
        self.names.clear();
        self.lost = Some(why);
    }
}
