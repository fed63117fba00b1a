//! Where the settings come from: a file or a URL, from the command line or the environment.

use crate::args::Source;
use crate::failure::Failure;
use pinyon::Settings;
use pinyon::key::DEFAULT_KEY_FUNCTION;
use pinyon::settings::{CacheSettings, SETTINGS_VARIABLE, URL_VARIABLE};
use std::env;

/// The KEY_FUNCTION of this cache, if it is Python code that only the site itself can run.
pub(crate) fn python_key_function(cache: &CacheSettings) -> Option<&str> {
    cache.key_function.as_deref().filter(|name| *name != DEFAULT_KEY_FUNCTION)
}

/// The settings that the command line names, or else the environment.
pub(crate) fn settings(source: &Source) -> Result<Settings, Failure> {
    match (&source.settings, &source.url) {
        (Some(file), None) => Ok(Settings::from_path(file)?),
        (None, Some(url)) => Ok(Settings::from_url(url)?),
        (Some(_), Some(_)) => Err(Failure::usage("--settings and --url are both given", "Leave one of them out")),
        (None, None) => from_environment(),
    }
}

fn from_environment() -> Result<Settings, Failure> {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    match (is_set(SETTINGS_VARIABLE), is_set(URL_VARIABLE)) {
        (true, true) => Err(Failure::usage(
            format!("{SETTINGS_VARIABLE} and {URL_VARIABLE} are both set"),
            "Unset one of them, or give --settings or --url",
        )),
        (false, false) => Err(Failure::usage(
            "there are no settings",
            "Give the CACHES dictionary with --settings caches.toml (or .json, or a site's settings.py), or one cache with \
             --url redis://127.0.0.1:6379/0; PINYON_SETTINGS and CACHE_URL do the same",
        )),
        _ => Ok(Settings::from_env()?),
    }
}
