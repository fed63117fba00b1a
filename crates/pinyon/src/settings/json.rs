//! Reads settings in JSON, with the line and column of every key and value. Comments are allowed, nothing else is that
//! RFC 8259 does not have.

use super::fields::placed;
use super::node::{Entry, Lines, Node, Value};
use crate::error::{Error, ErrorKind, Result};
use jsonc_parser::common::Ranged;
use jsonc_parser::{CollectOptions, ParseOptions, ast, parse_to_ast};

/// Reads JSON.
///
/// # Errors
/// [`ErrorKind::Config`] with line and column if `text` is not JSON, is empty, or has one key twice in an object.
pub(super) fn read(text: &str) -> Result<Node> {
    let lines = Lines::new(text);
    let error = |reason: String, offset: usize| {
        placed(Error::new(ErrorKind::Config, format!("the settings are not JSON: {reason}")), Some(lines.span(offset)))
    };
    let options = ParseOptions {
        allow_comments: true,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    let parsed = parse_to_ast(text, &CollectOptions::default(), &options)
        .map_err(|problem| error(problem.kind().to_string().to_lowercase(), problem.range().start))?;
    let root = parsed.value.ok_or_else(|| error("there is nothing in them".to_owned(), 0))?;
    node(&root, &lines)
}

fn node(value: &ast::Value<'_>, lines: &Lines<'_>) -> Result<Node> {
    let converted = match value {
        ast::Value::StringLit(text) => Value::String(text.value.to_string()),
        ast::Value::NumberLit(number) => match number.value.parse::<i64>() {
            Ok(number) => Value::Int(number),
            Err(_) => Value::Float(number.value.parse().unwrap_or(f64::NAN)),
        },
        ast::Value::BooleanLit(value) => Value::Bool(value.value),
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::Array(array) => {
            Value::List(array.elements.iter().map(|item| node(item, lines)).collect::<Result<_>>()?)
        }
        ast::Value::Object(object) => Value::Table(table(object, lines)?),
    };
    Ok(Node::at(converted, lines.span(value.range().start)))
}

fn table(object: &ast::Object<'_>, lines: &Lines<'_>) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::with_capacity(object.properties.len());
    for property in &object.properties {
        let key = property.name.as_str().to_owned();
        let key_span = lines.span(property.range.start);
        if let Some(first) = entries.iter().find(|entry| entry.key == key) {
            let first = first.key_span.map(|span| span.to_string()).unwrap_or_default();
            let error = Error::new(ErrorKind::Config, format!("'{key}' is given twice, before at {first}"));
            return Err(placed(error, Some(key_span)).with_hint("Keep one of the two."));
        }
        entries.push(Entry { key, key_span: Some(key_span), node: node(&property.value, lines)? });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::node::Span;

    #[test]
    fn keys_and_values_have_their_places() {
        let node =
            read("{\n  // the shop\n  \"default\": {\"TIMEOUT\": null, \"n\": 1.5, \"l\": [1, true]}\n}").unwrap();
        assert_eq!(node.as_table().unwrap()[0].key_span, Some(Span::new(3, 3)));
        let cache = node.get("default").unwrap();
        assert_eq!(cache.get("TIMEOUT"), Some(&Node::at(Value::Null, Span::new(3, 26))));
        assert_eq!(cache.get("n").unwrap().value, Value::Float(1.5));
        assert!(matches!(&cache.get("l").unwrap().value, Value::List(items) if items.len() == 2));
    }

    #[test]
    fn what_is_not_json_is_an_error_with_line_and_column() {
        for (text, place) in [
            ("", "line 1, column 1"),
            ("{\n 'a': 1}", "line 2, column 2"),
            ("{\"a\": 1,\n}", "line 1, column 8"),
            ("{\"a\": 0x10}", "line 1, column 7"),
            ("{\"a\": 1", "line 1, column 1"),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.is_config() && error.to_string().contains(place), "{text:?}: {error}");
        }
    }

    #[test]
    fn a_key_given_twice_is_an_error_with_both_places() {
        let error = read("{\"a\": 1,\n \"a\": 2}").unwrap_err().to_string();
        assert!(error.contains("'a' is given twice, before at line 1, column 2 (line 2, column 2)"), "{error}");
    }
}
