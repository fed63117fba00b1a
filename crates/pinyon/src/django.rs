//! The keys under which Django caches template fragments and pages, so that a Rust program can drop what Django cached.
//!
//! These are keys as an application uses them: a [`Cache`](crate::Cache) with the site's settings adds prefix and version.
//! What they are made of changed between versions of Django, so each function takes one.
//!
//! ```
//! use pinyon::django::{DjangoVersion, Page, page_header_key, page_key, template_fragment_key};
//! # let caches = pinyon::Caches::from_url("memory://django-doc")?;
//! # let cache = caches.get("default")?.blocking();
//! let django = DjangoVersion::new(6, 1, 3);
//! // {% cache 600 sidebar user.id %}
//! cache.delete(&template_fragment_key("sidebar", [42], django))?;
//!
//! // @cache_page(600), on a site with USE_I18N and USE_TZ
//! let page = Page::new("https://shop.example/books/?page=2").language("en-us").time_zone("UTC");
//! if let Some(names) = cache.get::<Vec<String>>(&page_header_key(&page))? {
//!     let headers: Vec<_> = names.iter().map(|name| (name.as_str(), None)).collect();
//!     cache.delete(&page_key(&page, "GET", &headers, django))?;
//! }
//! # Ok::<(), pinyon::Error>(())
//! ```
//!
//! Sources: `django/core/cache/utils.py` and `django/utils/cache.py` of Django 5.2.18, 5.2.19, 6.0.10, 6.1.2 and 6.1.3.

use md5::{Digest, Md5};
use std::fmt::{Display, Write};
use std::str::FromStr;

/// A version of Django.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DjangoVersion {
    major: u16,
    minor: u16,
    patch: u16,
}

impl DjangoVersion {
    /// For example `new(6, 1, 3)`. The patch level counts: 5.2.19, 6.0.10 and 6.1.3 changed the key of a page that varies
    /// on a header which the request does not have.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }

    /// Whether parts of a key have their length before them: since 6.1.
    fn has_netstrings(self) -> bool {
        self >= Self::new(6, 1, 0)
    }

    /// What an absent header adds to the key of a page.
    fn absent_header(self) -> &'static [u8] {
        let marker_since = match (self.major, self.minor) {
            (..=4, _) | (5, ..=1) => return b"",
            (5, _) => Self::new(5, 2, 19),
            (6, 0) => Self::new(6, 0, 10),
            (6, 1) => Self::new(6, 1, 3),
            _ => return b"-,",
        };
        if self >= marker_since {
            b"-,"
        } else if self.has_netstrings() {
            b"0:,"
        } else {
            b""
        }
    }
}

/// Text such as `6.1.3`; a missing patch level is 0, and what follows it (`6.1rc1`) does not count.
impl FromStr for DjangoVersion {
    type Err = crate::Error;

    fn from_str(text: &str) -> crate::Result<Self> {
        let mut numbers = text.split('.').map(|part| {
            let digits = part.find(|c: char| !c.is_ascii_digit()).unwrap_or(part.len());
            part[..digits].parse::<u16>()
        });
        match (numbers.next(), numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor)), None) => Ok(Self::new(major, minor, 0)),
            (Some(Ok(major)), Some(Ok(minor)), Some(Ok(patch))) => Ok(Self::new(major, minor, patch)),
            _ => Err(crate::Error::new(crate::ErrorKind::Config, format!("'{text}' is no version of Django"))
                .with_hint("Write it as in 6.1.3")),
        }
    }
}

/// The key of `{% cache seconds name vary_on… %}`, as `django.core.cache.utils.make_template_fragment_key` makes it. The
/// values of `vary_on` stand as Python's `str` writes them: `True`, not `true`.
pub fn template_fragment_key(
    name: &str,
    vary_on: impl IntoIterator<Item = impl Display>,
    version: DjangoVersion,
) -> String {
    let mut hash = Md5::new();
    for value in vary_on {
        let value = value.to_string();
        if version.has_netstrings() {
            netstring(&mut hash, &value);
        } else {
            hash.update(value);
            hash.update(b":");
        }
    }
    format!("template.cache.{name}.{}", hex(hash))
}

/// A page that Django may have cached: what every key of it is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page<'p> {
    url: &'p str,
    key_prefix: &'p str,
    language: Option<&'p str>,
    time_zone: Option<&'p str>,
}

impl<'p> Page<'p> {
    /// The page at this URL, with scheme, host and query, percent-encoded, as `request.build_absolute_uri()` has it.
    pub const fn new(url: &'p str) -> Self {
        Self { url, key_prefix: "", language: None, time_zone: None }
    }

    /// The `key_prefix` of `cache_page`, or CACHE_MIDDLEWARE_KEY_PREFIX; default empty. It is not KEY_PREFIX of the cache.
    #[must_use]
    pub const fn key_prefix(mut self, prefix: &'p str) -> Self {
        self.key_prefix = prefix;
        self
    }

    /// The language in which the page is shown, for example `en-us`: for a site with USE_I18N (Django's default), and only
    /// for one. Default none.
    #[must_use]
    pub const fn language(mut self, code: &'p str) -> Self {
        self.language = Some(code);
        self
    }

    /// The name of the current time zone, for example `UTC`: for a site with USE_TZ (Django's default), and only for one.
    /// Default none.
    #[must_use]
    pub const fn time_zone(mut self, name: &'p str) -> Self {
        self.time_zone = Some(name);
        self
    }

    fn finish(&self, mut key: String) -> String {
        for part in [self.language, self.time_zone].into_iter().flatten() {
            key.push('.');
            key.push_str(part);
        }
        key
    }
}

/// The key under which Django keeps the names of the headers that a page varies on: a list of text, as
/// [`vary_header_names`] makes it.
pub fn page_header_key(page: &Page<'_>) -> String {
    let url = hex(Md5::new_with_prefix(page.url));
    page.finish(format!("views.decorators.cache.cache_header.{}.{url}", page.key_prefix))
}

/// The key under which Django keeps the page itself, for requests with this method (`GET` or `HEAD`) and these headers: the
/// names that are cached under [`page_header_key`], in their order, each with what the request has for it, or none.
pub fn page_key(page: &Page<'_>, method: &str, headers: &[(&str, Option<&str>)], version: DjangoVersion) -> String {
    let mut hash = Md5::new();
    for (_, value) in headers {
        match value {
            None => hash.update(version.absent_header()),
            Some(value) if version.has_netstrings() => netstring(&mut hash, value),
            Some(value) => hash.update(value),
        }
    }
    let (url, headers) = (hex(Md5::new_with_prefix(page.url)), hex(hash));
    page.finish(format!("views.decorators.cache.cache_page.{}.{method}.{url}.{headers}", page.key_prefix))
}

/// The names that Django learns from the `Vary` of a response, as it caches them: `Accept-Encoding, Cookie` is
/// `["HTTP_ACCEPT_ENCODING", "HTTP_COOKIE"]`, sorted. With `use_i18n`, the site's USE_I18N, Accept-Language is left out,
/// since the language is in the key itself.
pub fn vary_header_names(vary: &str, use_i18n: bool) -> Vec<String> {
    let mut names: Vec<String> = vary
        .split(',')
        .map(|name| name.trim().to_uppercase().replace('-', "_"))
        .filter(|name| !name.is_empty() && (!use_i18n || name != "ACCEPT_LANGUAGE"))
        .map(|name| format!("HTTP_{name}"))
        .collect();
    names.sort();
    names
}

fn netstring(hash: &mut Md5, value: &str) {
    hash.update(value.len().to_string());
    hash.update(b":");
    hash.update(value);
    hash.update(b",");
}

fn hex(hash: Md5) -> String {
    hash.finalize().iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const V52: DjangoVersion = DjangoVersion::new(5, 2, 19);
    const V60: DjangoVersion = DjangoVersion::new(6, 0, 10);
    const V61: DjangoVersion = DjangoVersion::new(6, 1, 3);

    #[test]
    fn fragments_have_the_keys_of_djangos_own_tests() {
        let key = |vary: &[&str]| template_fragment_key("foo", vary, V61);
        assert_eq!(key(&["abc"]), "template.cache.foo.a6360ec2c58ecc4b23fd5bd00216fccd");
        assert_eq!(key(&[]), "template.cache.foo.d41d8cd98f00b204e9800998ecf8427e");
        assert_eq!(key(&["42º", "😀"]), "template.cache.foo.ab66482052ab2084b9d25bdd04bc9b10");
        assert_eq!(key(&["abc", "def"]), "template.cache.foo.250310c146db454966b64f5fc265a540");
        let numbers = template_fragment_key("foo", 1..=5, V61);
        assert_eq!(numbers, "template.cache.foo.087c006c1b99e0d147f624b4921f8a13");
        // What make_template_fragment_key of 5.2.19 answers; 6.0.10 has the same code.
        for version in [V52, V60] {
            let key = |vary: &[&str]| template_fragment_key("foo", vary, version);
            assert_eq!(key(&[]), "template.cache.foo.d41d8cd98f00b204e9800998ecf8427e");
            assert_eq!(key(&["abc"]), "template.cache.foo.493e283d571a73056196f1a68efd0f66");
            assert_eq!(key(&["abc", "def"]), "template.cache.foo.17c1a507a0cb58384f4c639067a93520");
            assert_eq!(key(&["42º", "😀"]), "template.cache.foo.7ced1c94e543668590ba39b3c08b0237");
            assert_eq!(
                template_fragment_key("foo", 1..=5, version),
                "template.cache.foo.7ae8fd2e0d25d651c683bdeebdb29461"
            );
        }
    }

    #[test]
    fn an_absent_header_is_marked_since_the_security_releases() {
        let absent = |major, minor, patch| DjangoVersion::new(major, minor, patch).absent_header();
        assert_eq!([absent(4, 2, 30), absent(5, 2, 18), absent(6, 0, 9)], [b"", b"", b""]);
        assert_eq!(absent(6, 1, 2), b"0:,");
        assert_eq!([absent(5, 2, 19), absent(6, 0, 10), absent(6, 1, 3), absent(6, 2, 0)], [b"-,"; 4]);
    }

    #[test]
    fn pages_have_the_keys_that_django_makes() {
        // What _generate_cache_header_key and _generate_cache_key of 5.2.19 and 6.1.3 answer.
        let page = Page::new("http://testserver/cache/test/?q=1").key_prefix("shop").language("en-us");
        let page = page.time_zone("America/Chicago");
        let url = "7e38218daa15ddc1247fe1b177498de3";
        let end = "en-us.America/Chicago";
        assert_eq!(page_header_key(&page), format!("views.decorators.cache.cache_header.shop.{url}.{end}"));
        let headers = [("HTTP_ACCEPT", None), ("HTTP_COOKIE", Some("")), ("HTTP_X_COLOR", Some("grün"))];
        for (version, hash) in [
            (V52, "9afbd3e9e311a20e5f97d3821488b773"),
            (V60, "9afbd3e9e311a20e5f97d3821488b773"),
            (V61, "c11f84e907879a5126176ad5ea5678d9"),
        ] {
            let key = page_key(&page, "GET", &headers, version);
            assert_eq!(key, format!("views.decorators.cache.cache_page.shop.GET.{url}.{hash}.{end}"), "{version:?}");
        }
        let bare = page_key(&Page::new("http://testserver/cache/test/?q=1"), "HEAD", &[], V61);
        assert_eq!(bare, format!("views.decorators.cache.cache_page..HEAD.{url}.d41d8cd98f00b204e9800998ecf8427e"));
    }

    #[test]
    fn a_header_counts_with_its_value_its_order_and_its_absence() {
        let page = Page::new("http://testserver/");
        for version in [V52, V60, V61] {
            let key = |value| page_key(&page, "GET", &[("HTTP_COOKIE", value)], version);
            assert_ne!(key(None), key(Some("")), "{version:?}");
            assert_ne!(key(Some("a")), key(Some("b")));
        }
        let two = |version| {
            [("ab", "c"), ("a", "bc")]
                .map(|(one, two)| page_key(&page, "GET", &[("A", Some(one)), ("B", Some(two))], version))
        };
        let ([old_one, old_two], [new_one, new_two]) = (two(V60), two(V61));
        // The weakness of the old form, which is Django's.
        assert_eq!(old_one, old_two);
        assert_ne!(new_one, new_two);
    }

    #[test]
    fn vary_is_learned_as_django_learns_it() {
        let names = vary_header_names("Cookie , accept-encoding,Accept-Language", true);
        assert_eq!(names, ["HTTP_ACCEPT_ENCODING", "HTTP_COOKIE"]);
        assert_eq!(vary_header_names("Accept-Language", false), ["HTTP_ACCEPT_LANGUAGE"]);
        assert!(vary_header_names("", true).is_empty());
    }

    #[test]
    fn a_version_is_read_from_text() {
        assert_eq!("6.1.3".parse::<DjangoVersion>().unwrap(), V61);
        assert_eq!("6.1rc1".parse::<DjangoVersion>().unwrap(), DjangoVersion::new(6, 1, 0));
        for text in ["", "6", "six.one", "6.1.x"] {
            assert!(text.parse::<DjangoVersion>().unwrap_err().is_config(), "{text}");
        }
    }
}
