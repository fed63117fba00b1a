//! Text: f-strings, `%`, and the methods of str.

use super::call::Arguments;
use super::container;
use super::expression;
use super::reader::Execution;
use super::value::{LONGEST, Placed, Python};
use ruff_python_ast::{ConversionFlag, ExprFString, FStringPart, InterpolatedStringElement};
use std::rc::Rc;

/// An f-string without format specifications.
pub(super) fn f_string(execution: &mut Execution<'_, '_, '_>, string: &ExprFString) -> Placed {
    let span = execution.span(string);
    let mut text = String::new();
    for part in string.value.as_slice() {
        let string = match part {
            FStringPart::Literal(literal) => {
                text.push_str(&literal.value);
                continue;
            }
            FStringPart::FString(string) => string,
        };
        for element in &string.elements {
            let element = match element {
                InterpolatedStringElement::Literal(literal) => {
                    text.push_str(&literal.value);
                    continue;
                }
                InterpolatedStringElement::Interpolation(element) => element,
            };
            let value = expression::evaluate(execution, &element.expression);
            if let Some(why) = value.unknown() {
                return Placed::from(why.clone());
            }
            let plain = element.format_spec.is_none()
                && element.debug_text.is_none()
                && matches!(element.conversion, ConversionFlag::None | ConversionFlag::Str);
            match value.value.display().filter(|_| plain) {
                Some(value) => text.push_str(&value),
                None => {
                    return Placed::from(Execution::unknown("a part of the f-string is not worked out", value.span));
                }
            }
        }
    }
    bounded(&text)
        .map_or_else(|| Placed::from(Execution::unknown("the text is too long", span)), |text| Placed::new(text, span))
}

/// The text as a value, unless it is too long.
pub(super) fn bounded(text: &str) -> Option<Python> {
    (text.len() <= LONGEST).then(|| Python::text(text))
}

/// `format % values` with `%s`, `%d`, `%(name)s` and `%%`.
pub(super) fn percent(format: &str, values: &Placed) -> Option<Python> {
    let mut positional = match &values.value {
        Python::Tuple(items) => items.to_vec(),
        _ => vec![values.clone()],
    }
    .into_iter();
    let by_name = container::as_dict(values).filter(|_| matches!(values.value, Python::Dict(_)));
    let mut text = String::new();
    let mut rest = format;
    while let Some((before, after)) = rest.split_once('%') {
        text.push_str(before);
        let (value, after) = match after.strip_prefix('(') {
            Some(named) => {
                let (name, after) = named.split_once(')')?;
                (Some(by_name.as_ref()?.get(&Python::text(name)).ok()??), after)
            }
            None => (None, after),
        };
        let mut after = after.chars();
        match after.next()? {
            '%' if value.is_none() => text.push('%'),
            's' => text.push_str(&value.or_else(|| positional.next())?.value.display()?),
            'd' | 'i' => match value.or_else(|| positional.next())?.value {
                Python::Int(number) => text.push_str(&number.to_string()),
                _ => return None,
            },
            _ => return None,
        }
        rest = after.as_str();
    }
    text.push_str(rest);
    if by_name.is_none() && positional.next().is_some() {
        return None;
    }
    bounded(&text)
}

/// A method of str. None: it is not worked out.
pub(super) fn method(text: &str, name: &str, arguments: &Arguments) -> Option<Placed> {
    let mut given = Vec::new();
    for argument in &arguments.positional {
        match &argument.value {
            Python::Str(text) => given.push(text.to_string()),
            Python::Unknown(why) => return Some(Placed::from(why.clone())),
            _ => {}
        }
    }
    let all_text = given.len() == arguments.positional.len();
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let value = match (name, given.as_slice()) {
        ("format", _) => format(text, arguments),
        ("join", []) => join(text, arguments),
        _ if !all_text || !arguments.named.is_empty() => None,
        ("lower", []) => bounded(&text.to_lowercase()),
        ("upper", []) => bounded(&text.to_uppercase()),
        ("strip", []) => bounded(text.trim_matches(is_space)),
        ("lstrip", []) => bounded(text.trim_start_matches(is_space)),
        ("rstrip", []) => bounded(text.trim_end_matches(is_space)),
        ("strip", [set]) => bounded(text.trim_matches(|c| set.contains(c))),
        ("lstrip", [set]) => bounded(text.trim_start_matches(|c| set.contains(c))),
        ("rstrip", [set]) => bounded(text.trim_end_matches(|c| set.contains(c))),
        ("removeprefix", [prefix]) => bounded(text.strip_prefix(prefix).unwrap_or(text)),
        ("removesuffix", [suffix]) => bounded(text.strip_suffix(suffix).unwrap_or(text)),
        ("startswith", [prefix]) => Some(Python::Bool(text.starts_with(prefix))),
        ("endswith", [suffix]) => Some(Python::Bool(text.ends_with(suffix))),
        ("replace", [old, new]) if !old.is_empty() && text.len().saturating_mul(new.len().max(1)) <= LONGEST => {
            bounded(&text.replace(old, new))
        }
        ("split", []) => Some(pieces(text.split(is_space).filter(|piece| !piece.is_empty()), arguments)),
        ("split", [separator]) if !separator.is_empty() => Some(pieces(text.split(separator), arguments)),
        _ => None,
    }?;
    Some(Placed::new(value, arguments.span))
}

/// What Python takes for white space: four control characters more than Unicode does.
fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&character)
}

fn pieces<'t>(pieces: impl Iterator<Item = &'t str>, arguments: &Arguments) -> Python {
    Python::list(pieces.map(|piece| Placed::new(Python::text(piece), arguments.span)).collect())
}

fn join(separator: &str, arguments: &Arguments) -> Option<Python> {
    let [items] = arguments.positional.as_slice() else { return None };
    let text = |item: &Placed| match &item.value {
        Python::Str(text) => Some(Rc::clone(text)),
        _ => None,
    };
    let items: Vec<Rc<str>> = items.value.items()?.iter().map(text).collect::<Option<_>>()?;
    let length: usize = items.iter().map(|item| item.len() + separator.len()).sum();
    (length <= LONGEST).then(|| Python::text(&items.join(separator)))
}

/// `format.format(…)` with `{}`, `{0}`, `{name}`, `{{` and `}}`.
fn format(format: &str, arguments: &Arguments) -> Option<Python> {
    let mut text = String::new();
    let mut next = 0;
    let mut rest = format;
    while let Some(at) = rest.find(['{', '}']) {
        text.push_str(&rest[..at]);
        let bracket = &rest[at..=at];
        let after = &rest[at + 1..];
        if let Some(after) = after.strip_prefix(bracket) {
            text.push_str(bracket);
            rest = after;
            continue;
        }
        let (field, after) = after.split_once('}').filter(|_| bracket == "{")?;
        let value = if field.is_empty() {
            next += 1;
            arguments.positional.get(next - 1)?
        } else if let Ok(at) = field.parse::<usize>() {
            arguments.positional.get(at)?
        } else {
            &arguments.named.iter().find(|(name, _)| name.value.display().as_deref() == Some(field))?.1
        };
        text.push_str(&value.value.display()?);
        if text.len() > LONGEST {
            return None;
        }
        rest = after;
    }
    text.push_str(rest);
    bounded(&text)
}
