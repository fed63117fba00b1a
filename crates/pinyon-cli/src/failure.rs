//! What ends the program: a text, a hint and an exit status.

use pinyon::settings::Location;
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
    /// Every mistake that has a place in a settings file.
    pub(crate) mistakes: Vec<Mistake>,
    /// The exit status.
    pub(crate) status: u8,
}

/// A mistake in a settings file.
#[derive(Debug)]
pub(crate) struct Mistake {
    /// Without place and hint.
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) location: Location,
}

impl Mistake {
    /// The mistake that this error is about, if it has a place.
    fn of(error: &Error) -> Option<Self> {
        let message = error.alias().map(|alias| format!("cache '{alias}': ")).unwrap_or_default() + error.message();
        let hint = error.hint().map(str::to_owned);
        error.location().map(|location| Self { message, hint, location: location.clone() })
    }
}

impl Failure {
    /// The command line is wrong.
    pub(crate) fn usage(message: impl Into<String>, hint: &str) -> Self {
        Self {
            kind: "Usage".to_owned(),
            message: message.into(),
            hint: Some(hint.to_owned()),
            mistakes: Vec::new(),
            status: WRONG,
        }
    }

    /// Something was not there, or was not wanted.
    pub(crate) fn missing(message: impl Into<String>, hint: Option<&str>) -> Self {
        let kind = format!("{:?}", ErrorKind::KeyNotFound);
        Self { kind, message: message.into(), hint: hint.map(str::to_owned), mistakes: Vec::new(), status: FAILED }
    }

    /// The user said no, or the server did.
    pub(crate) fn refused(message: impl Into<String>, hint: Option<&str>) -> Self {
        Self {
            kind: "Refused".to_owned(),
            message: message.into(),
            hint: hint.map(str::to_owned),
            mistakes: Vec::new(),
            status: FAILED,
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            kind: format!("{:?}", error.kind()),
            message: message(&error),
            hint: error.hint().map(str::to_owned),
            mistakes: std::iter::once(&error).chain(error.parts()).filter_map(Mistake::of).collect(),
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
    fn every_mistake_of_a_list_has_its_own_message_place_and_hint() {
        let text = "[a]\nBACKEND = 'memroy'\n[b]\nBACKEND = 'memory'\nTIMEOT = 1";
        let failure = Failure::from(pinyon::Settings::from_toml(text).unwrap_err());
        let said: Vec<_> = failure.mistakes.iter().map(|m| (m.message.as_str(), m.location.span.line)).collect();
        assert_eq!(
            said,
            [("cache 'a': BACKEND 'memroy' is not known", 2), ("cache 'b': TIMEOT is not a key of a cache", 5)]
        );
        assert_eq!(failure.mistakes[1].hint.as_deref(), Some("Did you mean 'TIMEOUT'?"));
    }
}
