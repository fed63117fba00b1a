//! Settings that the environment names.

use super::model::Settings;
use crate::error::{Error, ErrorKind, Result};
use std::ffi::OsString;

/// The variable with the path of a settings file.
pub const SETTINGS_VARIABLE: &str = "PINYON_SETTINGS";
/// The variable with the URL of one cache.
pub const URL_VARIABLE: &str = "CACHE_URL";

impl Settings {
    /// Reads the settings that the environment names: the file in `PINYON_SETTINGS`, as [`Settings::from_path`], or one cache,
    /// `default`, as the URL in `CACHE_URL`, as [`Settings::from_url`]. An empty variable is none.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] if neither is set, or both are, or as the two say.
    pub fn from_env() -> Result<Self> {
        from_variables(std::env::var_os(SETTINGS_VARIABLE), std::env::var_os(URL_VARIABLE))
    }
}

fn from_variables(file: Option<OsString>, url: Option<OsString>) -> Result<Settings> {
    let set = |variable: Option<OsString>| variable.filter(|value| !value.is_empty());
    let wrong = |message: String| Error::new(ErrorKind::Config, message);
    match (set(file), set(url)) {
        (Some(file), None) => Settings::from_path(file),
        (None, Some(url)) => match url.to_str() {
            Some(url) => Settings::from_url(url),
            None => Err(wrong(format!("{URL_VARIABLE} is not valid UTF-8")).with_hint("Write a URL in ASCII")),
        },
        (Some(_), Some(_)) => {
            Err(wrong(format!("{SETTINGS_VARIABLE} and {URL_VARIABLE} are both set")).with_hint("Unset one of them"))
        }
        (None, None) => Err(wrong(format!("neither {SETTINGS_VARIABLE} nor {URL_VARIABLE} is set")).with_hint(
            "Set PINYON_SETTINGS to the path of a settings file, or CACHE_URL to the URL of a cache, \
             for example redis://127.0.0.1:6379/0",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_the_two_variables_names_the_settings() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("caches.toml");
        std::fs::write(&file, "[default]\nBACKEND = 'memory'\nKEY_PREFIX = 'by file'").unwrap();
        let prefix = |file: Option<&str>, url: Option<&str>| {
            from_variables(file.map(OsString::from), url.map(OsString::from)).map(|s| s.caches[0].key_prefix.clone())
        };
        let file = file.to_str();
        assert_eq!(prefix(file, None).unwrap(), "by file");
        assert_eq!(prefix(file, Some("")).unwrap(), "by file");
        assert_eq!(prefix(Some(""), Some("memory://?key_prefix=url")).unwrap(), "url");
        let both = prefix(file, Some("redis://:s3cret@h")).unwrap_err();
        assert!(both.is_config() && both.to_string().contains("both set") && !both.to_string().contains("s3cret"));
        let none = prefix(None, Some("")).unwrap_err().to_string();
        assert!(none.contains("neither PINYON_SETTINGS nor CACHE_URL"), "{none}");
    }
}
