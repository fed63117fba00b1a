//! The command line.

use crate::failure::Failure;
use crate::output;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Parser, Subcommand};
use pinyon::{Timeout, Version};
use std::path::PathBuf;
use std::process::ExitCode;

/// Look into and look after the caches of a CACHES dictionary: memory, Redis, Memcached, files and databases.
#[derive(Parser)]
#[command(name = "pinyon", version, after_help = EXAMPLES, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) source: Source,
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  pinyon check --settings caches.toml
  pinyon check --settings shop/settings.py
  pinyon get greeting --url redis://127.0.0.1:6379/1
  pinyon set book:7 '{\"title\": \"Emma\"}' --json --alias memcached_cache --settings caches.toml

The settings are Django's CACHES dictionary, in a site's settings.py (which is read and never run: what only Python can know
is named and left out), or as TOML or JSON, for example:
  [default]
  BACKEND = \"django_redis.cache.RedisCache\"
  LOCATION = \"redis://127.0.0.1:6379/1\"

Environment: PINYON_SETTINGS and CACHE_URL stand for --settings and --url if neither is given; CACHE_URL keeps a password
out of the list of processes. NO_COLOR turns colors off.

Exit status: 0 all went well, 1 something failed or was not there, 2 the command line or the settings are wrong.";

/// Where the settings come from.
#[derive(Args)]
pub(crate) struct Source {
    /// The CACHES dictionary: a site's settings.py, or a .toml or .json file [env: PINYON_SETTINGS]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) settings: Option<PathBuf>,
    /// One cache, `default`, as a URL: redis://host:6379/0, memcached://h1:11211,h2:11211,
    /// database+sqlite:///path, … [env: CACHE_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Validate the settings and ask every server of every alias how it is
    #[command(after_help = "\
All servers are asked at the same time. The exit status is 1 if any of them fails.

Examples:
  pinyon check --settings caches.toml
  pinyon check --settings caches.toml --json | jq .ok")]
    Check {
        /// Print JSON: {\"ok\", \"caches\": [{\"alias\", \"servers\": [{\"server\", \"ok\", …, \"error\"}]}], \"warnings\"}
        #[arg(long)]
        json: bool,
    },
    /// Print the value of a key, whoever wrote it; a pickle is shown and never executed
    #[command(after_help = "\
The value is printed as Python would print it. The exit status is 1 if there is no such key.

Example:
  pinyon get book:7 --alias redis_cache --settings caches.toml")]
    Get {
        /// The key as the application uses it, without prefix and version
        key: String,
        #[command(flatten)]
        target: Target,
    },
    /// Store a value: text, or with --int an integer, or with --json what the JSON says
    #[command(after_help = "\
VALUE is text, a str in Python, whatever it looks like: `pinyon set n 5` stores '5', which `incr` may refuse.
With --int it is an integer. With --json it becomes a dict, list, str, int, float, bool or None, written by the cache's
SERIALIZER (pickle unless the settings say otherwise); an integer of more than 64 bits becomes a float there.
A VALUE that begins with a dash goes after `--`: pinyon set key -- -v

Examples:
  pinyon set greeting 'hello, world' --timeout 60 --settings caches.toml
  pinyon set hits 0 --int --timeout never --settings caches.toml
  pinyon set book:7 '{\"title\": \"Emma\", \"pages\": 474}' --json --settings caches.toml")]
    Set {
        /// The key as the application uses it, without prefix and version
        key: String,
        /// The value
        #[arg(allow_negative_numbers = true)]
        value: String,
        /// VALUE is an integer (up to 128 bits), which `incr` counts up
        #[arg(long, conflicts_with = "json")]
        int: bool,
        /// VALUE is JSON
        #[arg(long)]
        json: bool,
        #[command(flatten)]
        timeout: TimeoutArgument,
        #[command(flatten)]
        target: Target,
    },
    /// Remove keys; one that does not exist is no error
    #[command(after_help = "\
Example:
  pinyon delete book:7 book:8 --settings caches.toml")]
    Delete {
        /// The keys as the application uses them, without prefix and version
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Add to an integer, atomically, and print the sum; its timeout stays
    #[command(after_help = "\
The exit status is 1 if there is no such key. On Memcached a number does not go below 0.

Examples:
  pinyon incr hits --settings caches.toml
  pinyon incr hits -5 --settings caches.toml")]
    Incr {
        /// The key as the application uses it, without prefix and version
        key: String,
        /// How much is added; negative to subtract
        #[arg(default_value_t = 1, allow_negative_numbers = true)]
        delta: i64,
        #[command(flatten)]
        target: Target,
    },
    /// Give a key a new timeout
    #[command(after_help = "\
The exit status is 1 if there is no such key.

Example:
  pinyon touch greeting --timeout never --settings caches.toml")]
    Touch {
        /// The key as the application uses it, without prefix and version
        key: String,
        #[command(flatten)]
        timeout: TimeoutArgument,
        #[command(flatten)]
        target: Target,
    },
    /// Print how many seconds a key has left, rounded up, or `never`
    #[command(after_help = "\
The exit status is 1 if there is no such key.

Example:
  pinyon ttl greeting --settings caches.toml")]
    Ttl {
        /// The key as the application uses it, without prefix and version
        key: String,
        #[command(flatten)]
        target: Target,
    },
    /// Make the table of a cache in a database, as Django's createcachetable does
    #[command(after_help = "\
Without --alias: the tables of all caches in databases. A table that is there already stays as it is.

Examples:
  pinyon create-table --settings caches.toml
  pinyon create-table --alias pages --sql --settings caches.toml")]
    CreateTable {
        /// The alias of the cache
        #[arg(long, short)]
        alias: Option<String>,
        /// Print the SQL and make nothing
        #[arg(long)]
        sql: bool,
    },
    /// Remove EVERY key of the store behind an alias, those of other applications too (with CLEAR = "prefix" its own)
    #[command(after_help = "\
Asks first. Without a terminal to ask on, --yes is needed.

Example:
  pinyon clear --alias redis_cache --settings caches.toml")]
    Clear {
        /// Do not ask
        #[arg(long)]
        yes: bool,
        #[command(flatten)]
        target: Target,
    },
}

/// Which cache a command is for.
#[derive(Args)]
pub(crate) struct Target {
    /// The alias of the cache
    #[arg(long, short, default_value = "default")]
    pub(crate) alias: String,
    /// The version of the key, in place of the VERSION of the settings
    #[arg(long, value_name = "VERSION", allow_negative_numbers = true, value_parser = version)]
    pub(crate) key_version: Option<Version>,
}

/// How long an entry lives.
#[derive(Args)]
pub(crate) struct TimeoutArgument {
    /// Seconds (0: expired at once), or `never`; without it the TIMEOUT of the settings
    #[arg(long, value_name = "SECONDS|never", allow_negative_numbers = true, value_parser = timeout)]
    timeout: Option<Timeout>,
}

impl TimeoutArgument {
    pub(crate) fn get(&self) -> Timeout {
        self.timeout.unwrap_or_default()
    }
}

fn timeout(text: &str) -> Result<Timeout, String> {
    if matches!(text.to_ascii_lowercase().as_str(), "never" | "none") {
        return Ok(Timeout::Never);
    }
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() => Ok(Timeout::secs_f64(seconds)),
        _ => Err("a number of seconds or `never` is wanted".to_owned()),
    }
}

#[expect(clippy::unnecessary_wraps, reason = "the form that clap wants")]
fn version(text: &str) -> Result<Version, String> {
    Ok(text.parse().map_or_else(|_| Version::Text(text.to_owned()), Version::Number))
}

/// Prints help, the version, or what is wrong with the command line. What may be a value or hold a password is not repeated.
pub(crate) fn refuse(error: &clap::Error) -> ExitCode {
    let said = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.as_str(),
        _ => "",
    };
    let failure = match error.kind() {
        ErrorKind::InvalidSubcommand if said(ContextKind::InvalidSubcommand).contains("://") => {
            Failure::usage("a URL stands where a command is expected", "Write --url before it")
        }
        ErrorKind::UnknownArgument if !said(ContextKind::InvalidArg).starts_with('-') => {
            Failure::usage("there is an argument too many", "Put quotes around a value with spaces in it")
        }
        _ => {
            // If the message cannot be printed there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::from(error.use_stderr()) * 2);
        }
    };
    output::complain(&failure);
    ExitCode::from(failure.status)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::time::Duration;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_timeout_is_seconds_or_never() {
        assert_eq!(timeout("never"), Ok(Timeout::Never));
        assert_eq!(timeout("1.5"), Ok(Timeout::After(Duration::from_millis(1500))));
        assert_eq!(timeout("-1"), Ok(Timeout::After(Duration::ZERO)));
        assert!(timeout("inf").is_err() && timeout("soon").is_err());
    }

    #[test]
    fn a_version_is_a_number_where_it_looks_like_one() {
        assert_eq!(version("2"), Ok(Version::Number(2)));
        assert_eq!(version("v2"), Ok(Version::Text("v2".to_owned())));
    }
}
