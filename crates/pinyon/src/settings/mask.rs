//! Keeps user names and passwords out of errors.

/// `text` with everything that may be a user name or a password replaced by `***`: what stands before the last `@`, a
/// port that is no number (the beginning of a password that was cut), and a query that has a password in it.
pub(super) fn mask_credentials(text: &str) -> String {
    // Cut first: an '@' in a password that stands in a query is no end of a user name.
    let (text, query) = match text.split_once('?') {
        Some((head, query)) if query.to_ascii_lowercase().contains("pass") => (head, "?***"),
        _ => (text, ""),
    };
    let (scheme, rest) = match text.find("://") {
        Some(at) => text.split_at(at + 3),
        None => ("", text),
    };
    match rest.rsplit_once('@') {
        Some((_, rest)) if is_scheme(scheme.trim_end_matches("://")) => format!("{scheme}***@{rest}{query}"),
        Some((_, rest)) => format!("***@{rest}{query}"),
        None if scheme.is_empty() => format!("{rest}{query}"),
        None => format!("{scheme}{}{query}", mask_port(rest)),
    }
}

/// Whether text may be a scheme (RFC 3986, 3.1). Something else before `://` may be a part of a password that has them in it.
fn is_scheme(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
}

/// Masks what stands in the place of a port and is none.
fn mask_port(authority_and_path: &str) -> String {
    let end = authority_and_path.find('/').unwrap_or(authority_and_path.len());
    let (authority, path) = authority_and_path.split_at(end);
    let from = authority.find(']').unwrap_or(0);
    match authority[from..].find(':') {
        Some(at) if !authority[from + at + 1..].bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{}:***", &authority[..from + at])
        }
        _ => format!("{authority}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_password_survives() {
        for text in [
            "redis://user:s3cret@host:6379/0",
            "redis://:s3@cret@host/0",
            "redis://:s3cret/more@host/0",
            "redis://:s3cret",
            "redis://:s3cret/1",
            "redis:/:s3cret@host",
            "redis:/:s3://cret@host",
            " redis://:s3cret",
            "user:s3cret@host:11211",
            "redis+cluster://user:s3cret@host1:7000,host2:7000",
            "rediss+cluster://host1:7000,:s3cret",
            "redis://host/0?password=s3cret",
            "redis://host/0?password=s3@cret",
            "unix:///run/redis.sock?db=1&PASSWORD=s3cret",
            "redis+sentinel://:s3cret@h1:26379,h2:26379/mymaster/0",
            "redis+sentinel://h1:26379,h2:26379/mymaster/0?sentinel_password=s3cret",
        ] {
            let masked = mask_credentials(text);
            assert!(!masked.contains("s3") && !masked.contains("cret"), "{text} became {masked}");
        }
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        assert_eq!(mask_credentials("redis://u:p@host:6379/x"), "redis://***@host:6379/x");
        assert_eq!(mask_credentials("redis://[::1]:6379/0?db=2"), "redis://[::1]:6379/0?db=2");
        assert_eq!(mask_credentials("127.0.0.1:11211"), "127.0.0.1:11211");
        assert_eq!(mask_credentials("abc"), "abc");
    }
}
