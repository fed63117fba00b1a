//! What can go wrong, told to the person who gets it.
//!
//! An [`Error`] says what failed, on which alias and server, what was being tried and what to do next. It never holds a
//! value or a password.

use crate::settings::Location;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong. Ask the questions on [`Error`] (`is_timeout()`, `is_retryable()`, …) before you match on
/// this: they stay right when a kind is added.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The settings are wrong: an unknown option, a value of the wrong type, an address that cannot be read.
    Config,
    /// The key is not allowed on this backend.
    Key,
    /// `incr` or `incr_version` on a key that has no value.
    KeyNotFound,
    /// No connection could be made; the operation was certainly not applied.
    Unreachable,
    /// The server did not answer in time.
    Timeout,
    /// The connection was lost before the whole answer had arrived.
    Disconnected,
    /// The other side does not speak the protocol: another kind of server at that address, or a broken one.
    Protocol,
    /// The server refused the credentials, or wants some.
    Auth,
    /// TLS could not be set up: an untrusted certificate, a wrong name, a file that cannot be read.
    Tls,
    /// The server answered with an error of its own.
    Server,
    /// The file system refused: it is full or read-only, or the permissions are wrong.
    File,
    /// `incr` or `decr` on a value that is not an integer.
    NotAnInteger,
    /// A number that does not fit the type that was asked for, or that the server can hold.
    OutOfRange,
    /// A value that cannot be written, or that cannot be read as the type that was asked for.
    Value,
    /// Bytes in the cache that no serializer here can read: truncated, overwritten, foreign.
    BadValue,
    /// The backend cannot do this.
    Unsupported,
    /// The caller was interrupted (Ctrl-C) while waiting for a server.
    Interrupted,
}

/// An error: its kind, what was being tried and where, a message, a hint, and the cause beneath it.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: String,
    alias: Option<String>,
    server: Option<String>,
    operation: Option<&'static str>,
    hint: Option<String>,
    ambiguous: bool,
    location: Option<Location>,
    parts: Vec<Error>,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` whose `message` says in one sentence what failed. Values and passwords do not belong in it.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            kind,
            message: message.into(),
            alias: None,
            server: None,
            operation: None,
            hint: None,
            ambiguous: false,
            location: None,
            parts: Vec::new(),
            source: None,
        }))
    }

    /// Adds what the reader can do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Names the alias, unless a deeper layer has named one already.
    #[must_use]
    pub fn with_alias(mut self, alias: &str) -> Self {
        self.0.alias.get_or_insert_with(|| alias.to_owned());
        self
    }

    /// Names the server, for example `redis://127.0.0.1:6379/1`, without credentials.
    #[must_use]
    pub fn with_server(mut self, server: impl Into<String>) -> Self {
        self.0.server.get_or_insert_with(|| server.into());
        self
    }

    /// Names the operation that was being tried, for example `get_many`.
    #[must_use]
    pub fn with_operation(mut self, operation: &'static str) -> Self {
        self.0.operation.get_or_insert(operation);
        self
    }

    /// Marks that the request had been sent: the server may have applied it or not.
    #[must_use]
    pub fn with_ambiguity(mut self, ambiguous: bool) -> Self {
        self.0.ambiguous = ambiguous;
        self
    }

    /// Keeps the error beneath this one.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.0.source = Some(Arc::from(source.into()));
        self
    }

    /// Says where in the settings the mistake stands.
    #[must_use]
    pub fn with_location(mut self, location: Location) -> Self {
        self.0.location = Some(location);
        self
    }

    /// Names the files that the places in this error count, unless they have names.
    #[must_use]
    pub(crate) fn with_files(mut self, files: &[PathBuf]) -> Self {
        if let Some(location) = self.0.location.as_mut().filter(|location| location.file.is_none()) {
            location.file = files.get(usize::from(location.span.source)).cloned();
        }
        self
    }

    /// One error out of several, at least one; [`Error::parts`] has them.
    pub(crate) fn all(mut errors: Vec<Self>, title: &str) -> Self {
        if errors.len() == 1 {
            return errors.remove(0);
        }
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        let kind = errors.first().map_or(ErrorKind::Config, Self::kind);
        let mut error =
            Self::new(kind, format!("{} things are wrong with {title}:\n  {}", lines.len(), lines.join("\n  ")));
        error.0.parts = errors;
        error
    }

    /// The kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What failed, in one sentence, without alias, server and hint.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The alias of the cache, where one is known.
    pub fn alias(&self) -> Option<&str> {
        self.0.alias.as_deref()
    }

    /// The server, where one was involved; never with credentials.
    pub fn server(&self) -> Option<&str> {
        self.0.server.as_deref()
    }

    /// The operation that was being tried.
    pub fn operation(&self) -> Option<&'static str> {
        self.0.operation
    }

    /// What the reader can do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }

    /// Where in the settings the mistake stands, if they were a text.
    pub fn location(&self) -> Option<&Location> {
        self.0.location.as_ref()
    }

    /// The errors that this one lists, each with its own place and hint; empty if it is only itself.
    pub fn parts(&self) -> &[Self] {
        &self.0.parts
    }

    /// True if the server did not answer in time.
    pub fn is_timeout(&self) -> bool {
        self.0.kind == ErrorKind::Timeout
    }

    /// True if no server could be asked: unreachable, timed out or disconnected.
    pub fn is_connection(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Disconnected)
    }

    /// True if the same call may succeed later and repeating it cannot apply it twice.
    pub fn is_retryable(&self) -> bool {
        self.is_connection() && !self.0.ambiguous
    }

    /// True if the request was sent and its result is unknown: it may have been applied.
    pub fn is_ambiguous(&self) -> bool {
        self.0.ambiguous
    }

    /// True if the settings must change before this can succeed.
    pub fn is_config(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Config | ErrorKind::Auth | ErrorKind::Tls)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inner = &*self.0;
        let mut separate = false;
        if let Some(alias) = &inner.alias {
            write!(f, "cache '{alias}'")?;
            separate = true;
        }
        if let Some(operation) = inner.operation {
            write!(f, "{}{operation}", if separate { ", " } else { "" })?;
            separate = true;
        }
        if let Some(server) = &inner.server {
            write!(f, "{}{server}", if separate { " on " } else { "" })?;
            separate = true;
        }
        write!(f, "{}{}", if separate { ": " } else { "" }, inner.message)?;
        if let Some(location) = &inner.location {
            write!(f, " ({location})")?;
        }
        if inner.ambiguous {
            f.write_str(" (the request had been sent, so it may have been applied)")?;
        }
        if let Some(hint) = &inner.hint {
            write!(f, ". {hint}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.0.kind)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_alias_operation_server_cause_and_hint_in_that_order() {
        let error = Error::new(ErrorKind::Unreachable, "connection refused")
            .with_hint("Start the server.")
            .with_server("redis://127.0.0.1:6379/1")
            .with_operation("get")
            .with_alias("default");
        assert_eq!(
            error.to_string(),
            "cache 'default', get on redis://127.0.0.1:6379/1: connection refused. Start the server."
        );
        assert!(error.is_retryable() && error.is_connection() && !error.is_config());
    }

    #[test]
    fn an_ambiguous_error_is_not_retryable_and_says_so() {
        let error = Error::new(ErrorKind::Timeout, "no answer within 2 s").with_ambiguity(true);
        assert!(error.is_timeout() && error.is_ambiguous() && !error.is_retryable());
        assert!(error.to_string().contains("may have been applied"));
    }
}
