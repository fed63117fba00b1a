//! Keys: `prefix:version:key`, and which keys are allowed.
//!
//! Source of the rules: Django's `default_key_func` and `memcache_key_warnings` (`django/core/cache/backends/base.py`).

use crate::error::{Error, ErrorKind, Result};
use std::fmt::{self, Write as _};
use std::sync::Arc;

/// The longest made key that Memcached takes: Django counts characters here, Memcached bytes.
pub const MAX_KEY_LENGTH: usize = 250;

/// The path of Django's own key function, as KEY_FUNCTION names it: what [`KeyMaker`] does without a function.
pub const DEFAULT_KEY_FUNCTION: &str = "django.core.cache.backends.base.default_key_func";

/// The version part of a key. Django allows anything that `str()` takes; `incr_version` needs a number.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// A number, as Django's default of 1.
    Number(i64),
    /// Anything else, as it stands in the key.
    Text(String),
}

impl Default for Version {
    fn default() -> Self {
        Self::Number(1)
    }
}

impl From<i64> for Version {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// A key function: takes key, prefix and version, returns the key that the server sees.
pub type KeyFunction = Arc<dyn Fn(&str, &str, &Version) -> String + Send + Sync>;

/// Makes the keys that the server sees out of the keys that the caller uses.
#[derive(Clone)]
pub struct KeyMaker {
    prefix: String,
    version: Version,
    function: Option<KeyFunction>,
    /// `prefix:version:` of the default version, made once.
    head: String,
}

impl KeyMaker {
    /// A maker with `KEY_PREFIX`, `VERSION` and, in place of Django's default function, `function`.
    pub fn new(prefix: impl Into<String>, version: Version, function: Option<KeyFunction>) -> Self {
        let prefix = prefix.into();
        let head = format!("{prefix}:{version}:");
        Self { prefix, version, function, head }
    }

    /// The default version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// The prefix.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The same maker with another default version.
    #[must_use]
    pub fn with_version(&self, version: Version) -> Self {
        Self::new(self.prefix.clone(), version, self.function.clone())
    }

    /// The key that the server sees. With Django's default function: `prefix:version:key`, with a leading colon if the
    /// prefix is empty.
    pub fn make(&self, key: &str) -> String {
        match &self.function {
            Some(function) => function(key, &self.prefix, &self.version),
            None => [self.head.as_str(), key].concat(),
        }
    }

    /// The Redis glob for the keys that [`KeyMaker::make`] makes of those that fit `pattern`: prefix and version stand in it
    /// literally. What a key function makes of a pattern is its own matter: one that hashes keys makes none that fits.
    pub fn pattern(&self, pattern: &str) -> String {
        let (prefix, version) = (literally(&self.prefix), literally(&self.version.to_string()));
        match &self.function {
            Some(function) => function(pattern, &prefix, &Version::Text(version)),
            None => format!("{prefix}:{version}:{pattern}"),
        }
    }

    /// The key that the caller uses, of one that [`KeyMaker::make`] made. With a key function: what is behind the second
    /// colon, as django-redis has it.
    pub fn reverse<'k>(&self, made: &'k str) -> &'k str {
        let behind = match &self.function {
            // A prefix may have colons in it.
            None => made.strip_prefix(self.head.as_str()),
            Some(_) => None,
        };
        behind.unwrap_or_else(|| made.splitn(3, ':').last().unwrap_or(made))
    }
}

/// `text` as a Redis glob that fits nothing else.
fn literally(text: &str) -> String {
    let mut glob = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\' | '^') {
            glob.push('\\');
        }
        glob.push(character);
    }
    glob
}

impl fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyMaker")
            .field("prefix", &self.prefix)
            .field("version", &self.version)
            .field("function", &self.function.as_ref().map(|_| "custom"))
            .finish_non_exhaustive()
    }
}

/// True if [`key_warnings`] has nothing to say about `key`; costs one pass over its bytes.
#[inline]
pub fn is_portable(key: &str) -> bool {
    // Fewer bytes than the limit means fewer characters; the longer ones are counted.
    (key.len() <= MAX_KEY_LENGTH || key.chars().count() <= MAX_KEY_LENGTH) && !has_refused(key.as_bytes())
}

/// True if a byte is one that Memcached takes in no key.
#[inline]
#[expect(clippy::needless_bitwise_bool, reason = "to look at all bytes at once is less work than to stop at the first")]
pub fn has_refused(key: &[u8]) -> bool {
    key.iter().fold(false, |found, byte| found | (*byte <= b' ') | (*byte == 0x7f))
}

/// Django's warnings about a made key that Memcached would not take, in Django's words: longer than 250 characters, and
/// characters below 33 or 127.
pub fn key_warnings(key: &str) -> Vec<String> {
    let mut warnings = Vec::new();
    if key.chars().count() > MAX_KEY_LENGTH {
        warnings.push(format!(
            "Cache key will cause errors if used with memcached: {} (longer than {MAX_KEY_LENGTH})",
            python_repr(key)
        ));
    }
    if has_refused(key.as_bytes()) {
        warnings.push(format!(
            "Cache key contains characters that will cause errors if used with memcached: {}",
            python_repr(key)
        ));
    }
    warnings
}

/// Checks a made key for Memcached: Django's rules, and no more than 250 **bytes**, which is what the server counts.
///
/// # Errors
/// [`ErrorKind::Key`] with Django's text.
pub fn check_memcached(key: &str) -> Result<()> {
    // Nearly every key. So many bytes are no more characters.
    if (1..=MAX_KEY_LENGTH).contains(&key.len()) && !has_refused(key.as_bytes()) {
        return Ok(());
    }
    refuse_memcached(key)
}

#[cold]
fn refuse_memcached(key: &str) -> Result<()> {
    if let Some(warning) = key_warnings(key).into_iter().next() {
        return Err(Error::new(ErrorKind::Key, warning));
    }
    if key.len() > MAX_KEY_LENGTH {
        return Err(Error::new(
            ErrorKind::Key,
            format!(
                "Cache key will cause errors if used with memcached: {} (longer than {MAX_KEY_LENGTH} bytes in UTF-8)",
                python_repr(key)
            ),
        ));
    }
    if key.is_empty() {
        return Err(Error::new(ErrorKind::Key, "Memcached does not take an empty key"));
    }
    Ok(())
}

/// `repr()` of a Python string: the quote that needs no escape, `\x..` for control characters.
pub fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for character in text.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if (c as u32) < 0x20 || ('\u{7f}'..='\u{a0}').contains(&c) || c == '\u{ad}' => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_keys_have_a_leading_colon_without_a_prefix() {
        assert_eq!(KeyMaker::new("", Version::default(), None).make("foo"), ":1:foo");
        assert_eq!(KeyMaker::new("site", Version::Number(2), None).make("foo"), "site:2:foo");
        assert_eq!(KeyMaker::new("site", Version::default(), None).with_version(7.into()).make("k"), "site:7:k");
    }

    #[test]
    fn a_key_function_gets_key_prefix_and_version() {
        let function: KeyFunction = Arc::new(|key, prefix, version| format!("{key}/{prefix}/{version}"));
        assert_eq!(KeyMaker::new("p", Version::Text("v2".into()), Some(function)).make("k"), "k/p/v2");
    }

    #[test]
    fn a_pattern_has_prefix_and_version_literally_and_keys_come_back_without_them() {
        let keys = KeyMaker::new("sh*p:[x]", Version::Text("v?".into()), None);
        assert_eq!(keys.pattern("a*"), r"sh\*p:\[x\]:v\?:a*");
        assert_eq!(keys.reverse("sh*p:[x]:v?:a:b"), "a:b");
        let function: KeyFunction = Arc::new(|key, prefix, version| format!("{version}:{prefix}:{key}"));
        let keys = KeyMaker::new("p^", Version::Number(2), Some(function));
        assert_eq!((keys.pattern("a*").as_str(), keys.reverse("2:p^:a:b")), (r"2:p\^:a*", "a:b"));
    }

    #[test]
    fn warnings_have_djangos_words() {
        assert_eq!(
            key_warnings("key with spaces and 清"),
            ["Cache key contains characters that will cause errors if used with memcached: 'key with spaces and 清'"]
        );
        let long = "a".repeat(251);
        assert_eq!(
            key_warnings(&long),
            [format!("Cache key will cause errors if used with memcached: '{long}' (longer than 250)")]
        );
        assert!(key_warnings(&"é".repeat(250)).is_empty() && is_portable(&"é".repeat(250)));
        assert_eq!(key_warnings("a\u{7f}'").len(), 1);
    }

    #[test]
    fn memcached_counts_bytes() {
        assert!(check_memcached(&"é".repeat(125)).is_ok());
        assert!(check_memcached(&"é".repeat(126)).unwrap_err().to_string().contains("bytes"));
        assert!(check_memcached("").is_err());
    }
}
