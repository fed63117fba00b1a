//! Reads settings in TOML, with the line and column of every key and value.
//!
//! Source of the format: TOML 1.1, <https://toml.io/en/v1.1.0>.

use super::fields::placed;
use super::node::{Entry, Lines, Node, Value};
use crate::error::{Error, ErrorKind, Result};
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

/// Reads TOML.
///
/// # Errors
/// [`ErrorKind::Config`] with line and column if `text` is not TOML.
pub(super) fn read(text: &str) -> Result<Node> {
    let lines = Lines::new(text);
    let root = DeTable::parse(text).map_err(|error| {
        let place = error.span().map(|span| lines.span(span.start));
        // The error itself is not kept as the source: it quotes the line, and the line may hold a password.
        let message = format!("the settings are not TOML: {}", error.message().replace('\n', ", "));
        placed(Error::new(ErrorKind::Config, message), place)
    })?;
    Ok(Node::at(table(root.get_ref(), &lines), lines.span(root.span().start)))
}

fn table(entries: &DeTable<'_>, lines: &Lines<'_>) -> Value {
    let mut ordered: Vec<_> = entries.iter().collect();
    ordered.sort_by_key(|(key, _)| key.span().start);
    let entry = |(key, value): (&Spanned<DeString<'_>>, &Spanned<DeValue<'_>>)| Entry {
        key: key.get_ref().to_string(),
        key_span: Some(lines.span(key.span().start)),
        node: node(value, lines),
    };
    Value::Table(ordered.into_iter().map(entry).collect())
}

fn node(value: &Spanned<DeValue<'_>>, lines: &Lines<'_>) -> Node {
    let converted = match value.get_ref() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Int(number),
            // Too large for every setting: the float keeps its size for the error.
            Err(_) => Value::Float(number.as_str().parse().unwrap_or(f64::INFINITY)),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(_) => Value::Opaque("a TOML date or time".to_owned()),
        DeValue::Array(items) => Value::List(items.iter().map(|item| node(item, lines)).collect()),
        DeValue::Table(entries) => table(entries, lines),
    };
    Node::at(converted, lines.span(value.span().start))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::node::Span;

    #[test]
    fn keys_and_values_have_their_places_and_their_order() {
        let node =
            read("[zeta]\nBACKEND = 'memory'\n\n[alpha]\nOPTIONS = { MAX_ENTRIES = 0x10, ratio = 1.5, on = true }\n")
                .unwrap();
        let entries = node.as_table().unwrap();
        assert_eq!(entries.iter().map(|e| e.key.as_str()).collect::<Vec<_>>(), ["zeta", "alpha"]);
        assert_eq!(entries[1].key_span, Some(Span::new(4, 2)));
        let options = entries[1].node.get("OPTIONS").unwrap();
        assert_eq!(options.get("MAX_ENTRIES"), Some(&Node::at(Value::Int(16), Span::new(5, 27))));
        assert_eq!(options.get("ratio").unwrap().value, Value::Float(1.5));
        assert_eq!(options.get("on").unwrap().value, Value::Bool(true));
    }

    #[test]
    fn a_syntax_error_has_line_and_column_and_does_not_quote_the_line() {
        let error = read("[default]\nPASSWORD = 'hunter2\n").unwrap_err();
        assert!(error.is_config());
        let text = format!("{error} {error:?}");
        assert!(text.contains("not TOML") && text.contains("line 2, column "), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn an_integer_beyond_64_bits_does_not_panic() {
        let node = read("a = 99999999999999999999999999").unwrap();
        assert!(matches!(node.get("a").unwrap().value, Value::Float(_)));
    }
}
