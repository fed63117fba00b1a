//! Calls of what is known; everything else is not run, and may have changed what it was given.

use super::reader::Execution;
use super::value::{Dict, LONGEST, Placed, Python, Unknown};
use super::{container, expression, path, text};
use crate::settings::Span;
use ruff_python_ast::{Expr, ExprCall};
use std::rc::Rc;

/// The arguments of a call, all known as far as they are needed.
pub(super) struct Arguments {
    pub(super) positional: Vec<Placed>,
    pub(super) named: Vec<(Placed, Placed)>,
    /// Where the call stands.
    pub(super) span: Span,
}

impl Arguments {
    /// The named ones as a dictionary.
    pub(super) fn as_dict(&self) -> Dict {
        let mut dict = Dict::default();
        self.named.iter().for_each(|(key, value)| dict.set(key.clone(), value.clone()));
        dict
    }

    /// The positional ones as text, if they all are.
    fn texts(&self) -> Option<Vec<String>> {
        self.positional
            .iter()
            .map(|item| match &item.value {
                Python::Str(text) | Python::Path(text) => Some(text.to_string()),
                _ => None,
            })
            .collect()
    }

    fn mark(&self, why: &Rc<Unknown>) {
        self.positional.iter().chain(self.named.iter().map(|(_, value)| value)).for_each(|item| item.value.mark(why));
    }
}

/// `func(…)`.
pub(super) fn call(execution: &mut Execution<'_, '_, '_>, call: &ExprCall) -> Placed {
    let span = execution.span(call);
    let (object, name) = match &*call.func {
        Expr::Attribute(attribute) => {
            (Some(expression::evaluate(execution, &attribute.value)), attribute.attr.to_string())
        }
        _ => (None, String::new()),
    };
    let function = match &object {
        Some(object) => expression::attribute(object, &name, span),
        None => expression::evaluate(execution, &call.func),
    };
    let arguments = match arguments(execution, call, span) {
        Ok(arguments) => arguments,
        Err((why, seen)) => {
            seen.mark(&why);
            if let Some(object) = &object {
                object.value.mark(&why);
            }
            return Placed::from(why);
        }
    };
    let not_run = || Execution::unknown(format!("{} is not run", name_of(&call.func)), span);
    if let Expr::Name(name) = &*call.func
        && matches!(name.id.as_str(), "globals" | "locals" | "vars" | "exec" | "eval")
    {
        // Whatever is done with it, every name may be another afterwards.
        let why = not_run();
        execution.lose(why.clone());
        return Placed::from(why);
    }
    let result = match (&function.value, &object) {
        (Python::Named(name), _) => known(execution, name, &arguments),
        (Python::Defined(definition), _) => {
            let why = not_run();
            container::changed_by(execution, &definition.clone(), &why);
            None
        }
        (_, Some(object)) => method(execution, object, &name, &arguments),
        _ => None,
    };
    result.unwrap_or_else(|| {
        let why = match &function.value {
            // The reason is where the thing comes from, if that is not known already.
            Python::Unknown(why) if why.raises.is_none() && object.is_none() => {
                Execution::unknown(format!("{} is not run: {}", name_of(&call.func), why.reason), span)
            }
            _ => not_run(),
        };
        arguments.mark(&why);
        if let Some(object) = &object {
            object.value.mark(&why);
        }
        Placed::from(why)
    })
}

/// `env.str()` for a function that is a dotted name, as it stands in the text.
fn name_of(function: &Expr) -> String {
    fn dotted(function: &Expr) -> Option<String> {
        match function {
            Expr::Name(name) => Some(name.id.to_string()),
            Expr::Attribute(attribute) => Some(format!("{}.{}", dotted(&attribute.value)?, attribute.attr)),
            _ => None,
        }
    }
    dotted(function).map_or_else(|| "a call".to_owned(), |name| format!("{name}()"))
}

type Seen = (Rc<Unknown>, Arguments);

fn arguments(execution: &mut Execution<'_, '_, '_>, call: &ExprCall, span: Span) -> Result<Arguments, Seen> {
    let mut arguments = Arguments { positional: Vec::new(), named: Vec::new(), span };
    let mut unclear = None;
    for argument in &call.arguments.args {
        if let Expr::Starred(starred) = argument {
            let items = expression::evaluate(execution, &starred.value);
            match items.value.items() {
                Some(items) => arguments.positional.extend(items),
                None => unclear = Some(spread(&items)),
            }
        } else {
            let value = expression::evaluate(execution, argument);
            arguments.positional.push(value);
        }
    }
    for keyword in &call.arguments.keywords {
        let value = expression::evaluate(execution, &keyword.value);
        if let Some(name) = &keyword.arg {
            arguments.named.push((Placed::new(Python::text(name), execution.span(keyword)), value));
        } else {
            match &value.value {
                Python::Dict(dict) if dict.borrow().doubt.is_none() => {
                    arguments.named.extend(dict.borrow().items.iter().cloned());
                }
                _ => unclear = Some(spread(&value)),
            }
        }
    }
    match unclear {
        Some(why) => Err((why, arguments)),
        None => Ok(arguments),
    }
}

fn spread(value: &Placed) -> Rc<Unknown> {
    value
        .unknown()
        .cloned()
        .unwrap_or_else(|| Execution::unknown("the arguments after a star are not known", value.span))
}

fn method(execution: &Execution<'_, '_, '_>, object: &Placed, name: &str, arguments: &Arguments) -> Option<Placed> {
    match &object.value {
        Python::Dict(_) | Python::List(_) => container::method(execution, object, name, arguments),
        Python::Str(text) => text::method(text, name, arguments),
        Python::Path(path) => path_method(path, name, arguments),
        Python::Unknown(why) => Some(Placed::from(why.clone())).filter(|_| why.raises.is_some()),
        _ => None,
    }
}

fn path_method(path: &str, name: &str, arguments: &Arguments) -> Option<Placed> {
    let value = match (name, arguments.texts()?.as_slice()) {
        ("resolve", []) => path::resolve(path).map(|path| path::pure(&path)),
        ("absolute", []) => path.starts_with('/').then(|| path::pure(path)),
        ("as_posix" | "__str__", []) => Some(Python::text(path)),
        ("joinpath", parts) => Some(parts.iter().fold(path::pure(path), |path, part| {
            path.display().map_or_else(|| path::pure(part), |path| path::slash(&path, part))
        })),
        ("with_name", [name]) => path::parent(path).map(|parent| path::slash(&parent, name)),
        _ => None,
    }?;
    Some(Placed::new(value, arguments.span))
}

/// A function that is known by its name.
fn known(execution: &Execution<'_, '_, '_>, name: &str, arguments: &Arguments) -> Option<Placed> {
    let span = arguments.span;
    let placed = |value| Some(Placed::new(value, span));
    // What is made of something unknown is unknown for the same reason.
    let mut given = arguments.positional.iter().chain(arguments.named.iter().map(|(_, value)| value));
    if !matches!(name, "dict" | "list" | "tuple" | "pinyon.django.accelerate" | "os.environ.get" | "os.getenv")
        && let Some(why) = given.find_map(Placed::unknown)
    {
        return Some(Placed::from(why.clone()));
    }
    match (name, arguments.positional.as_slice()) {
        ("os.environ.get" | "os.getenv", [key, default @ ..]) => {
            let default = default.first().or_else(|| {
                arguments
                    .named
                    .iter()
                    .find(|(name, _)| name.value.display().as_deref() == Some("default"))
                    .map(|(_, v)| v)
            });
            let found = variable(execution, key, span);
            match (found.unknown(), default) {
                (Some(why), Some(default)) if why.raises.is_some() => Some(default.clone()),
                (Some(why), None) if why.raises.is_some() => placed(Python::None),
                _ => Some(found),
            }
        }
        ("pinyon.django.accelerate", [caches]) => {
            let Python::Dict(dict) = &caches.value else { return None };
            let copied = dict.borrow().items.iter().map(|(key, value)| (key.clone(), shallow(value))).collect();
            placed(Python::dict(Dict { items: copied, doubt: dict.borrow().doubt.clone() }))
        }
        ("dict", []) => placed(Python::dict(arguments.as_dict())),
        ("dict", [first]) => {
            let mut dict = container::as_dict(first)?;
            dict.update(&arguments.as_dict());
            placed(Python::dict(dict))
        }
        ("list", []) => placed(Python::list(Vec::new())),
        ("list", [items]) => placed(Python::list(items.value.items()?)),
        ("tuple", [items]) => placed(Python::Tuple(Rc::new(items.value.items()?))),
        ("copy.copy", [value]) => Some(shallow(value)),
        ("copy.deepcopy", [value]) => deep(value, 16),
        ("str" | "os.fspath", [value]) => placed(Python::text(&value.value.display()?)),
        ("str", []) => placed(Python::text("")),
        ("bool", [value]) => placed(Python::Bool(value.value.truth()?)),
        ("len", [value]) => {
            let length = match &value.value {
                Python::Str(text) => text.chars().count(),
                other => other.items()?.len(),
            };
            placed(Python::Int(i64::try_from(length).ok()?))
        }
        ("int" | "float", [value]) => Some(number(name, value, span)),
        ("pathlib.Path" | "pathlib.PurePath" | "pathlib.PosixPath" | "pathlib.PurePosixPath", _) => {
            placed(path::pure(&path::join(&arguments.texts()?)))
        }
        (name, _) => {
            let value = match (name.strip_prefix("os.path.")?, arguments.texts()?.as_slice()) {
                ("join", parts) if !parts.is_empty() => path::join(parts),
                ("dirname", [path]) => path::dirname(path),
                ("basename", [path]) => path::basename(path),
                ("normpath", [path]) => path::normal(path),
                ("abspath", [path]) if path.starts_with('/') => path::normal(path),
                ("realpath", [path]) => path::resolve(path)?,
                _ => return None,
            };
            (value.len() <= LONGEST).then(|| Placed::new(Python::text(&value), span))
        }
    }
}

/// `os.environ[key]`.
pub(super) fn variable(execution: &Execution<'_, '_, '_>, key: &Placed, span: Span) -> Placed {
    let Python::Str(name) = &key.value else {
        let why = key.unknown().cloned();
        return Placed::from(why.unwrap_or_else(|| Execution::unknown("the name of a variable is no text", span)));
    };
    // The operating system has no such names.
    let found =
        Some(name).filter(|name| !name.contains(['=', '\0'])).and_then(|name| (execution.reader.environment)(name));
    match found.map(std::ffi::OsString::into_string) {
        Some(Ok(value)) => Placed::new(Python::text(&value), span),
        Some(Err(_)) => Placed::from(Execution::unknown(format!("the environment variable {name} is not UTF-8"), span)),
        None => {
            let reason = format!("the environment variable {name} is not set");
            Placed::from(Execution::raises("KeyError", reason, span))
        }
    }
}

/// `int(value)` and `float(value)`.
fn number(name: &str, value: &Placed, span: Span) -> Placed {
    let plain = |text: &str| text.trim().replace('_', "");
    let number = match (name, &value.value) {
        ("int", Python::Str(text)) => plain(text).parse().ok().map(Python::Int),
        ("int", Python::Int(number)) => Some(Python::Int(*number)),
        ("int", Python::Bool(flag)) => Some(Python::Int(i64::from(*flag))),
        #[expect(clippy::cast_possible_truncation, reason = "checked to be within 2^53")]
        ("int", Python::Float(number)) if number.abs() < 9e15 => Some(Python::Int(number.trunc() as i64)),
        ("float", Python::Str(text)) => plain(text).parse().ok().map(Python::Float),
        ("float", other) => other.number().map(Python::Float),
        _ => None,
    };
    match (number, &value.value) {
        (Some(number), _) => Placed::new(number, span),
        (None, Python::Str(_)) => {
            Placed::from(Execution::raises("ValueError", format!("{name}() of a text that is no number"), span))
        }
        _ => Placed::from(Execution::unknown(format!("{name}() of this is not worked out"), span)),
    }
}

/// A container of its own with the same items.
fn shallow(value: &Placed) -> Placed {
    let copied = match &value.value {
        Python::Dict(dict) => Python::dict(dict.borrow().copy()),
        Python::List(list) if list.borrow().doubt.is_none() => Python::list(list.borrow().items.clone()),
        other => other.clone(),
    };
    Placed::new(copied, value.span)
}

fn deep(value: &Placed, depth: usize) -> Option<Placed> {
    let depth = depth.checked_sub(1)?;
    let copied = match &value.value {
        Python::Dict(dict) => {
            let dict = dict.try_borrow().ok()?;
            let items = dict.items.iter().map(|(key, value)| Some((key.clone(), deep(value, depth)?)));
            Python::dict(Dict { items: items.collect::<Option<_>>()?, doubt: dict.doubt.clone() })
        }
        Python::List(list) => {
            let list = list.borrow();
            let items = list.items.iter().map(|item| deep(item, depth)).collect::<Option<_>>()?;
            let copy = Python::list(items);
            if let Some(why) = &list.doubt {
                copy.mark(why);
            }
            copy
        }
        other => other.clone(),
    };
    Some(Placed::new(copied, value.span))
}
