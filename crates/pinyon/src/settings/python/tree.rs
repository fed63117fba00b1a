//! CACHES as a tree of nodes, and what had to be left out of it.

use super::MOST_ITEMS;
use super::value::{Module, Placed, Python, Unknown};
use crate::error::{Error, ErrorKind, Result};
use crate::settings::node::{Entry, Node, Span, Value};
use crate::settings::{Location, Note};
use std::path::PathBuf;
use std::rc::Rc;

/// The deepest that CACHES may be nested.
const DEEPEST: usize = 32;

/// The caches of a module that are known, and a note for everything that is not.
pub(super) fn caches(module: &Module, files: &[PathBuf]) -> Result<(Node, Vec<Note>)> {
    let place = |span: Span| Location { file: files.get(usize::from(span.source)).cloned(), span };
    let nothing_known = |why: &Unknown| {
        let message = format!("CACHES cannot be known without running the file: {}", why.reason);
        Error::new(ErrorKind::Config, message)
            .with_hint("Write it in a form that can be read, or give the caches as TOML or JSON")
            .with_location(place(why.span))
    };
    let Some(caches) = module.names.get("CACHES") else {
        if let Some(why) = &module.lost {
            return Err(nothing_known(why));
        }
        let message = "CACHES is not assigned in it: there is Django's default, a cache in process memory".to_owned();
        let note = Note { alias: None, message, location: place(Span::new(1, 1)) };
        let memory = Node::table([("BACKEND", "django.core.cache.backends.locmem.LocMemCache")]);
        return Ok((Node::table([("CACHES", Node::table([("default", memory)]))]), vec![note]));
    };
    if let Python::Unknown(why) = &caches.value {
        return Err(nothing_known(why));
    }
    let Python::Dict(dict) = &caches.value else {
        let mut tree = Tree { unknown: Vec::new(), values: 0 };
        let node = tree.node(caches, "CACHES", 0);
        return Ok((Node::table([("CACHES", node)]), Vec::new()));
    };
    let dict = dict.borrow();
    if let Some(why) = &dict.doubt {
        return Err(nothing_known(why));
    }
    let (mut entries, mut notes) = (Vec::new(), Vec::new());
    let mut values = 0;
    for (key, value) in &dict.items {
        let mut tree = Tree { unknown: Vec::new(), values };
        let alias = key.value.display().unwrap_or_else(|| "?".to_owned());
        let node = tree.node(value, "", 0);
        values = tree.values;
        if tree.unknown.is_empty() {
            entries.push(Entry { key: alias.clone(), key_span: Some(key.span), node });
        }
        notes.extend(tree.unknown.into_iter().map(|(what, why)| {
            let what = if what.is_empty() { "it" } else { &what };
            let message = format!("it is left out, because {what} is not known: {}", why.reason);
            Note { alias: Some(alias.clone()), message, location: place(why.span) }
        }));
    }
    Ok((Node::table([("CACHES", Node::at(Value::Table(entries), caches.span))]), notes))
}

struct Tree {
    /// The path to everything that is not known, and why.
    unknown: Vec<(String, Rc<Unknown>)>,
    values: usize,
}

impl Tree {
    fn node(&mut self, placed: &Placed, path: &str, depth: usize) -> Node {
        self.values += 1;
        if depth > DEEPEST || self.values > MOST_ITEMS {
            let reason = "there is more in it than is read".to_owned();
            self.unknown.push((path.to_owned(), Rc::new(Unknown { reason, span: placed.span, raises: None })));
            return Node::new(Value::Null);
        }
        let opaque = |what: &str| Value::Opaque(what.to_owned());
        let value = match &placed.value {
            Python::None => Value::Null,
            Python::Bool(value) => Value::Bool(*value),
            Python::Int(number) => Value::Int(*number),
            Python::Float(number) => Value::Float(*number),
            Python::Str(text) | Python::Path(text) => Value::String(text.to_string()),
            Python::Tuple(items) => Value::List(self.list(items, path, depth)),
            Python::List(list) => {
                let list = list.borrow();
                self.doubt(list.doubt.as_ref(), path);
                Value::List(self.list(&list.items, path, depth))
            }
            Python::Dict(dict) => {
                let dict = dict.borrow();
                self.doubt(dict.doubt.as_ref(), path);
                Value::Table(dict.items.iter().map(|item| self.entry(item, path, depth)).collect())
            }
            Python::Bytes => opaque("bytes"),
            Python::Set(_) => opaque("a set"),
            Python::Named(name) => opaque(name),
            Python::Defined(definition) => opaque(&definition.name),
            Python::Module(_) => opaque("a module"),
            Python::Unknown(why) => {
                self.doubt(Some(why), path);
                Value::Null
            }
        };
        Node::at(value, placed.span)
    }

    fn list(&mut self, items: &[Placed], path: &str, depth: usize) -> Vec<Node> {
        items.iter().map(|item| self.node(item, path, depth + 1)).collect()
    }

    fn entry(&mut self, (key, value): &(Placed, Placed), path: &str, depth: usize) -> Entry {
        let name = key.value.display().unwrap_or_else(|| "?".to_owned());
        let path = if path.is_empty() { name.clone() } else { format!("{path} '{name}'") };
        Entry { node: self.node(value, &path, depth + 1), key: name, key_span: Some(key.span) }
    }

    fn doubt(&mut self, why: Option<&Rc<Unknown>>, path: &str) {
        if let Some(why) = why {
            self.unknown.push((path.to_owned(), why.clone()));
        }
    }
}
