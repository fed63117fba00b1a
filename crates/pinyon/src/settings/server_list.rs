//! LOCATION as a list of servers, and SENTINELS.

use super::fields::{Field, Problems};
use super::mask::mask_credentials;
use super::node::{Entry, Node, Span, Value};

/// One server of LOCATION or SENTINELS, as text.
pub(super) struct Server {
    pub(super) text: String,
    /// For example `server 2 of LOCATION`.
    label: String,
    span: Option<Span>,
    /// A string with a password was split, perhaps within the password: its pieces are not shown.
    hidden: bool,
}

impl Server {
    /// Reports that this cannot be the address of a `kind` of server.
    pub(super) fn wrong(&self, problems: &mut Problems<'_>, kind: &str, reason: &str, examples: &str) {
        let shown = if self.hidden { "***".to_owned() } else { mask_credentials(&self.text) };
        let message = format!("{} is '{shown}', but must be the address of a {kind} server: {reason}", self.label);
        problems.error(&message, self.span, format!("Write it as {examples}."));
    }
}

/// The servers of LOCATION: a string is split at `separators`, blanks around a piece are dropped; a list is taken as it
/// is. None of them is empty, and there is at least one unless an error was reported.
pub(super) fn read(
    location: Option<&Entry>,
    separators: &[char],
    examples: &str,
    problems: &mut Problems<'_>,
) -> Vec<Server> {
    let hint = || format!("Write it as {examples}.");
    let Some(entry) = location else {
        problems.error("LOCATION is missing", problems.span, hint());
        return Vec::new();
    };
    let (field, name) = (Field::key(entry), &entry.key);
    let pieces: Vec<(String, Option<Span>)> = match &entry.node.value {
        Value::String(text) => text.split(separators).map(|text| (text.trim().to_owned(), entry.node.span)).collect(),
        Value::List(items) if !items.is_empty() => {
            let Some(texts) = items.iter().map(text_of).collect::<Option<Vec<_>>>() else {
                problems.error(
                    &format!("{name} is a list in which not everything is a string"),
                    entry.node.span,
                    hint(),
                );
                return Vec::new();
            };
            texts.into_iter().zip(items.iter().map(|item| item.span)).collect()
        }
        Value::List(_) => {
            problems.error(&format!("{name} is an empty list"), entry.node.span, hint());
            return Vec::new();
        }
        _ => {
            field.wrong(problems, "a string or a list of strings");
            return Vec::new();
        }
    };
    let count = pieces.len();
    let hidden = count > 1
        && entry.node.as_str().is_some_and(|text| text.contains('@') || text.to_ascii_lowercase().contains("pass"));
    let mut servers = Vec::with_capacity(count);
    for (index, (text, span)) in pieces.into_iter().enumerate() {
        let label = if count == 1 { name.clone() } else { format!("server {} of {name}", index + 1) };
        if text.is_empty() {
            problems.error(&format!("{label} is empty"), span, hint());
            continue;
        }
        servers.push(Server { text, label, span, hidden });
    }
    servers
}

/// A string, or pymemcache's pair of host and port.
fn text_of(item: &Node) -> Option<String> {
    match &item.value {
        Value::String(text) => Some(text.trim().to_owned()),
        Value::List(pair) => match pair.as_slice() {
            [host, port] => {
                let (host, port) = (host.as_str()?, port.as_integer()?);
                Some(if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") })
            }
            _ => None,
        },
        _ => None,
    }
}
