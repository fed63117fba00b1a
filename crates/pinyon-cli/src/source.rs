//! Where the settings come from: a file or a URL, from the command line or the environment.

use crate::args::Source;
use crate::failure::Failure;
use pinyon::Settings;
use pinyon::settings::CacheSettings;
use std::env;
use std::path::{Path, PathBuf};

/// The variable that stands for `--settings`.
const SETTINGS: &str = "PINYON_SETTINGS";
/// The variable that stands for `--url`.
const URL: &str = "CACHE_URL";

/// Django's own key function: what Rust does anyway.
const DEFAULT_KEY_FUNCTION: &str = "django.core.cache.backends.base.default_key_func";

/// The KEY_FUNCTION of this cache, if it is Python code that only the site itself can run.
pub(crate) fn python_key_function(cache: &CacheSettings) -> Option<&str> {
    cache.key_function.as_deref().filter(|name| *name != DEFAULT_KEY_FUNCTION)
}

/// The settings that the command line names, or else the environment.
pub(crate) fn settings(source: &Source) -> Result<Settings, Failure> {
    match (&source.settings, &source.url) {
        (Some(file), None) => from_file(file),
        (None, Some(url)) => from_url(url),
        (Some(_), Some(_)) => Err(Failure::usage("--settings and --url are both given", "Leave one of them out")),
        (None, None) => from_environment(),
    }
}

fn from_environment() -> Result<Settings, Failure> {
    let read = |name| env::var_os(name).filter(|value| !value.is_empty());
    match (read(SETTINGS), read(URL)) {
        (Some(file), None) => from_file(&PathBuf::from(file)),
        (None, Some(url)) => {
            let url = url.into_string();
            from_url(&url.map_err(|_| Failure::usage(format!("{URL} is not valid UTF-8"), "Write a URL in ASCII"))?)
        }
        (Some(_), Some(_)) => Err(Failure::usage(
            format!("{SETTINGS} and {URL} are both set"),
            "Unset one of them, or give --settings or --url",
        )),
        (None, None) => Err(Failure::usage(
            "there are no settings",
            "Give the CACHES dictionary with --settings caches.toml (or .json), or one cache with \
             --url redis://127.0.0.1:6379/0; PINYON_SETTINGS and CACHE_URL do the same",
        )),
    }
}

fn from_file(file: &Path) -> Result<Settings, Failure> {
    Settings::from_path(file).map_err(|error| Failure::from(error).in_file(&file.display().to_string()))
}

fn from_url(url: &str) -> Result<Settings, Failure> {
    Ok(Settings::from_url(url)?)
}
