//! DATABASE_URL: which database, and how it is called in an error.

use crate::error::{Error, ErrorKind, Result};
use percent_encoding::percent_decode_str;
use std::path::PathBuf;
use url::Url;

/// The language of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Engine {
    Sqlite,
    Postgres,
    MySql,
}

impl Engine {
    /// The feature of this crate that it needs.
    fn feature(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
            Self::MySql => "mysql",
        }
    }

    fn is_compiled_in(self) -> bool {
        match self {
            Self::Sqlite => cfg!(feature = "sqlite"),
            Self::Postgres => cfg!(feature = "postgres"),
            Self::MySql => cfg!(feature = "mysql"),
        }
    }
}

/// A DATABASE_URL, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) engine: Engine,
    /// The file of an SQLite database; empty for a server.
    pub(super) path: PathBuf,
    /// The URL of a server, which may hold a password; empty for a file.
    pub(super) url: String,
    /// For errors: the URL without credentials and options.
    pub(super) label: String,
}

impl Address {
    /// Reads `sqlite:///path`, `postgres://user:password@host:port/database` (or `postgresql://`), `mysql://…` (or
    /// `mariadb://`); the options of the last two are sqlx's.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] that repeats nothing of the URL but its scheme; also if the feature is not compiled in.
    pub(super) fn read(text: &str) -> Result<Self> {
        let (scheme, rest) = text.split_once("://").ok_or_else(|| wrong("DATABASE_URL is not a URL"))?;
        let address = match scheme.to_ascii_lowercase().as_str() {
            "sqlite" | "sqlite3" => file(rest)?,
            "postgres" | "postgresql" => server(Engine::Postgres, "postgres", rest)?,
            "mysql" | "mariadb" => server(Engine::MySql, "mysql", rest)?,
            _ => return Err(wrong("the scheme of DATABASE_URL is not known")),
        };
        if address.engine.is_compiled_in() {
            return Ok(address);
        }
        let feature = address.engine.feature();
        let message = format!("this program was built without the feature '{feature}', which {scheme}:// needs");
        Err(Error::new(ErrorKind::Config, message).with_hint(format!("Build it with `--features {feature}`")))
    }
}

fn file(rest: &str) -> Result<Address> {
    if rest.contains('?') {
        return Err(wrong("DATABASE_URL of SQLite takes no options"));
    }
    let path = percent_decode_str(rest).decode_utf8().map_err(|_| wrong("the path in DATABASE_URL is not UTF-8"))?;
    if !path.starts_with('/') || path.ends_with('/') || path.contains(":memory:") {
        let hint =
            "Write sqlite:///absolute/path.sqlite3, with three slashes; for a cache in memory use BACKEND \"memory\"";
        return Err(Error::new(ErrorKind::Config, "DATABASE_URL of SQLite does not name a file").with_hint(hint));
    }
    let label = format!("sqlite://{path}");
    Ok(Address { engine: Engine::Sqlite, path: PathBuf::from(path.into_owned()), url: String::new(), label })
}

fn server(engine: Engine, scheme: &str, rest: &str) -> Result<Address> {
    let url = format!("{scheme}://{rest}");
    let parsed = Url::parse(&url).map_err(|_| {
        wrong(
            "DATABASE_URL cannot be read: / ? # @ in a user name or password must be percent-encoded, %2F %3F %23 %40",
        )
    })?;
    // An '@' behind the authority belongs to a password that was not encoded.
    if parsed.path().contains('@') || parsed.fragment().is_some() {
        return Err(wrong("DATABASE_URL has a / ? # or @ in its user name or password: percent-encode it"));
    }
    let host = parsed.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
    let port = parsed.port().map_or_else(String::new, |port| format!(":{port}"));
    let label = format!("{scheme}://{host}{port}{}", parsed.path());
    Ok(Address { engine, path: PathBuf::new(), url, label })
}

fn wrong(message: &str) -> Error {
    Error::new(ErrorKind::Config, message).with_hint(
        "Write sqlite:///path, postgres://user:password@host:5432/database or mysql://user:password@host:3306/database",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(text: &str) -> String {
        let error = Address::read(text).err().unwrap_or_else(|| panic!("{text} was taken"));
        assert_eq!(error.kind(), ErrorKind::Config);
        error.to_string()
    }

    #[cfg(feature = "sqlite")]
    #[test]
    fn a_file_is_an_absolute_path_that_may_be_percent_encoded() {
        let address = Address::read("sqlite:///var/tmp/a%20cache.sqlite3").unwrap();
        assert_eq!(address.path, PathBuf::from("/var/tmp/a cache.sqlite3"));
        assert_eq!(address.label, "sqlite:///var/tmp/a cache.sqlite3");
        for text in ["sqlite://", "sqlite://relative.db", "sqlite:///", "sqlite:///:memory:"] {
            assert!(complaint(text).contains("does not name a file"), "{text}");
        }
        assert!(complaint("sqlite:///path?mode=ro").contains("no options"));
    }

    #[cfg(feature = "postgres")]
    #[test]
    fn a_label_has_no_credentials_and_no_options() {
        let address = Address::read("postgresql://user:s3cret@db.example:5433/shop?sslmode=require").unwrap();
        assert_eq!((address.engine, address.label.as_str()), (Engine::Postgres, "postgres://db.example:5433/shop"));
        assert_eq!(address.url, "postgres://user:s3cret@db.example:5433/shop?sslmode=require");
    }

    #[test]
    fn no_error_repeats_a_password() {
        for text in ["oracle://u:s3cret@h/d", "postgres://u:s3/cret@h/d", "mysql://u:s3cret@h:port/d", "u:s3cret@h"] {
            assert!(!complaint(text).contains("cret"), "{text}");
        }
    }

    #[cfg(not(feature = "mysql"))]
    #[test]
    fn a_database_that_is_not_compiled_in_is_refused_with_the_feature_it_needs() {
        let complaint = complaint("mysql://user:s3cret@host/shop");
        assert!(complaint.contains("without the feature 'mysql'") && complaint.contains("--features mysql"));
        assert!(!complaint.contains("s3cret"));
    }
}
