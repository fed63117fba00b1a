//! `pathlib` and `os.path` on paths with slashes.

use super::value::Python;
use std::path::Path;
use std::rc::Rc;

/// The path of the settings file as `__file__` has it.
pub(super) fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// A `Path` of this text, as pathlib writes it: without double slashes and single dots.
pub(super) fn pure(text: &str) -> Python {
    Python::Path(Rc::from(tidy(text)))
}

fn tidy(text: &str) -> String {
    let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let root = match text.bytes().take_while(|byte| *byte == b'/').count() {
        0 => "",
        // POSIX gives two slashes, and no other number of them, a meaning of their own.
        2 => "//",
        _ => "/",
    };
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".to_owned() } else { joined }
}

/// `Path(left) / right`.
pub(super) fn slash(left: &str, right: &str) -> Python {
    if right.starts_with('/') { pure(right) } else { pure(&format!("{left}/{right}")) }
}

/// `os.path.join`.
pub(super) fn join(parts: &[String]) -> String {
    let mut joined = String::new();
    for part in parts {
        if part.starts_with('/') || joined.is_empty() {
            joined.clone_from(part);
        } else {
            if !joined.ends_with('/') {
                joined.push('/');
            }
            joined.push_str(part);
        }
    }
    joined
}

/// `os.path.dirname`.
pub(super) fn dirname(path: &str) -> String {
    let head = path.rfind('/').map_or("", |at| &path[..=at]);
    if head.bytes().all(|byte| byte == b'/') { head.to_owned() } else { head.trim_end_matches('/').to_owned() }
}

/// `os.path.basename`.
pub(super) fn basename(path: &str) -> String {
    path.rsplit('/').next().unwrap_or("").to_owned()
}

/// `os.path.normpath`.
pub(super) fn normal(path: &str) -> String {
    let tidy = tidy(path);
    let root = &tidy[..tidy.bytes().take_while(|byte| *byte == b'/').count()];
    let mut parts: Vec<&str> = Vec::new();
    for part in tidy[root.len()..].split('/').filter(|part| !part.is_empty() && *part != ".") {
        match (part, parts.last()) {
            ("..", Some(last)) if *last != ".." => {
                parts.pop();
            }
            ("..", None) if !root.is_empty() => {}
            _ => parts.push(part),
        }
    }
    let joined = format!("{root}{}", parts.join("/"));
    if joined.is_empty() { ".".to_owned() } else { joined }
}

/// `os.path.realpath` and `Path.resolve`; none for a relative path, which depends on where Python is started.
pub(super) fn resolve(path: &str) -> Option<String> {
    if !path.starts_with('/') {
        return None;
    }
    // As far as it is there, symbolic links are followed.
    let mut missing = Vec::new();
    let mut present = path.to_owned();
    loop {
        if let Ok(real) = std::fs::canonicalize(&present) {
            missing.reverse();
            return Some(normal(&format!("{}/{}", real.to_str()?.trim_end_matches('/'), missing.join("/"))));
        }
        let trimmed = present.trim_end_matches('/').to_owned();
        missing.push(basename(&trimmed));
        present = dirname(&trimmed);
        if present.is_empty() {
            return Some(normal(path));
        }
    }
}

/// The parents of a `Path`, nearest first.
pub(super) fn parents(path: &str) -> Vec<Python> {
    let mut parents = Vec::new();
    let mut here = path.to_owned();
    while let Some(parent) = parent(&here) {
        parents.push(pure(&parent));
        here = parent;
    }
    parents
}

/// The parent of a `Path`; none for a root and for `.`.
pub(super) fn parent(path: &str) -> Option<String> {
    if path == "." || path.bytes().all(|byte| byte == b'/') {
        return None;
    }
    let parent = dirname(path);
    Some(if parent.is_empty() { ".".to_owned() } else { parent })
}

/// `Path.stem`.
pub(super) fn stem(path: &str) -> String {
    let name = basename(path);
    match name.rfind('.') {
        Some(at) if at > 0 && at + 1 < name.len() => name[..at].to_owned(),
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_what_python_makes_of_them() {
        let text = |path: Python| path.display().unwrap();
        assert_eq!(text(pure("/a//b/./c/")), "/a/b/c");
        assert_eq!(text(pure("")), ".");
        assert_eq!(text(slash("/a", "../b")), "/a/../b");
        assert_eq!(text(slash("/a", "/b")), "/b");
        assert_eq!(join(&["/a".into(), "b/".into(), "c".into()]), "/a/b/c");
        assert_eq!(join(&["/a".into(), "/b".into()]), "/b");
        assert_eq!((dirname("/a/b").as_str(), dirname("/a").as_str(), dirname("a").as_str()), ("/a", "/", ""));
        assert_eq!((normal("/a/../../b/./c").as_str(), normal("../a/..").as_str()), ("/b/c", ".."));
        assert_eq!(resolve("/no/such/../place").as_deref(), Some("/no/place"));
        assert_eq!(resolve("relative"), None);
        assert_eq!(parents("/a/b").len(), 2);
        assert_eq!((stem("/a/b.tar.gz").as_str(), stem(".env").as_str()), ("b.tar", ".env"));
    }
}
