//! What ends the program: a text, a hint and an exit status.

use pinyon::{Error, ErrorKind};

/// The exit status if the operation failed or what was asked for is not there.
const FAILED: u8 = 1;
/// The exit status if the command line or the settings are wrong.
const WRONG: u8 = 2;

/// Why the program could not do what it was asked.
#[derive(Debug)]
pub(crate) struct Failure {
    /// The name of an [`ErrorKind`], or `Usage`.
    pub(crate) kind: String,
    /// What failed and where; never a value or a password.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
    /// The exit status.
    pub(crate) status: u8,
}

impl Failure {
    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>, hint: &str) -> Self {
        Self { kind: "Usage".to_owned(), message: message.into(), hint: Some(hint.to_owned()), status: WRONG }
    }

    /// Something was not there, or was not wanted.
    pub(crate) fn missing(message: impl Into<String>, hint: Option<&str>) -> Self {
        let kind = format!("{:?}", ErrorKind::KeyNotFound);
        Self { kind, message: message.into(), hint: hint.map(str::to_owned), status: FAILED }
    }

    /// The user said no, or the server did.
    pub(crate) fn refused(message: impl Into<String>, hint: Option<&str>) -> Self {
        Self { kind: "Refused".to_owned(), message: message.into(), hint: hint.map(str::to_owned), status: FAILED }
    }

    /// Puts the name of the settings file before the message, unless it is in it.
    pub(crate) fn in_file(mut self, file: &str) -> Self {
        if !self.message.contains(file) {
            self.message = format!("{file}: {}", self.message);
        }
        self
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            kind: format!("{:?}", error.kind()),
            message: message(&error),
            hint: error.hint().map(str::to_owned),
            status: if error.kind() == ErrorKind::Config { WRONG } else { FAILED },
        }
    }
}

/// The error as it prints itself, but without its hint, which gets a line of its own.
fn message(error: &Error) -> String {
    let text = error.to_string();
    let hint = error.hint().map(|hint| format!(". {hint}"));
    hint.and_then(|hint| text.strip_suffix(&hint)).unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hint_is_no_part_of_the_message() {
        let error = Error::new(ErrorKind::Unreachable, "nobody there").with_alias("default").with_hint("Start it");
        let failure = Failure::from(error);
        assert_eq!(
            (failure.message.as_str(), failure.hint.as_deref()),
            ("cache 'default': nobody there", Some("Start it"))
        );
        assert_eq!((failure.kind.as_str(), failure.status), ("Unreachable", 1));
        assert_eq!(Failure::from(Error::new(ErrorKind::Config, "no")).status, 2);
    }

    #[test]
    fn a_file_is_named_once() {
        let failure = || Failure::usage("a.toml cannot be read", "");
        assert_eq!(failure().in_file("a.toml").message, "a.toml cannot be read");
        assert_eq!(failure().in_file("b.toml").message, "b.toml: a.toml cannot be read");
    }
}
