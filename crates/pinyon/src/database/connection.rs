//! What a driver does for the store: statements in, rows of text out.

use crate::error::{Error, ErrorKind};
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// A statement with its parameters, all of them text: the SQL casts what is none.
#[derive(Clone)]
pub(super) struct Statement<'a> {
    pub(super) sql: Arc<str>,
    pub(super) parameters: Vec<Cow<'a, str>>,
    /// Whether it answers with rows, all of whose columns are text.
    pub(super) answers: bool,
    /// Whether it comes again in the same words, so that preparing it pays.
    pub(super) kept: bool,
}

/// One open connection. It belongs to one thread at a time.
pub(super) trait Connection: Send {
    /// Runs a statement; calls `row` with the columns of each row, null as empty text. Returns the number of rows that it
    /// wrote or answered with.
    fn run(&mut self, statement: &Statement<'_>, limit: Duration, row: &mut dyn FnMut(&[&str]))
    -> Result<u64, Failure>;

    /// Runs statements that answer with nothing, all of them or none.
    fn run_together(&mut self, statements: &[Statement<'_>], limit: Duration) -> Result<(), Failure>;

    /// Whether the other side still answers.
    fn is_alive(&mut self, limit: Duration) -> bool;
}

/// Why a statement failed, and what that means for the connection and for another try.
pub(super) struct Failure {
    pub(super) error: Error,
    pub(super) cause: Cause,
    /// The connection must not be used again.
    pub(super) broken: bool,
}

/// What the store treats in a way of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(any(feature = "postgres", feature = "mysql")), allow(dead_code, reason = "a file knows neither"))]
pub(super) enum Cause {
    /// The table is not there.
    MissingTable,
    /// The database chose this transaction to end a deadlock: the same again succeeds.
    Deadlock,
    /// The connection was lost; a pooled one may have been dead for long.
    Lost,
    /// Nothing special.
    Other,
}

impl Failure {
    /// A failure that leaves the connection in order.
    pub(super) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { error: Error::new(kind, message), cause: Cause::Other, broken: false }
    }

    pub(super) fn with_hint(mut self, hint: &str) -> Self {
        self.error = self.error.with_hint(hint);
        self
    }

    pub(super) fn with_cause(mut self, cause: Cause) -> Self {
        self.cause = cause;
        self
    }

    /// Marks that the connection is of no more use.
    pub(super) fn fatal(mut self) -> Self {
        self.broken = true;
        self
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Failure({:?}, {:?})", self.cause, self.error)
    }
}
