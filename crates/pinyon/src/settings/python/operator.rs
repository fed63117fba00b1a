//! Arithmetic, joining and comparing.

use super::container;
use super::expression;
use super::reader::Execution;
use super::text;
use super::value::{Placed, Python};
use super::{MOST_ITEMS, path};
use crate::settings::Span;
use ruff_python_ast::{CmpOp, ExprCompare, Operator, UnaryOp};
use std::cmp::Ordering;

/// `left operation right`.
pub(super) fn binary(operation: Operator, left: &Placed, right: &Placed, span: Span) -> Placed {
    if let Some(why) = left.unknown().or_else(|| right.unknown()) {
        return Placed::from(why.clone());
    }
    let value = match (operation, &left.value, &right.value) {
        (Operator::Div, Python::Path(left), Python::Str(right) | Python::Path(right))
        | (Operator::Div, Python::Str(left), Python::Path(right)) => Some(path::slash(left, right)),
        (Operator::Add, Python::Str(left), Python::Str(right)) => text::bounded(&format!("{left}{right}")),
        (Operator::Mod, Python::Str(format), _) => text::percent(format, right),
        (Operator::BitOr, Python::Dict(old), Python::Dict(new)) => {
            let mut merged = old.borrow().copy();
            merged.update(&new.borrow());
            Some(Python::dict(merged))
        }
        (Operator::Add, Python::List(_), Python::List(_)) => join(left, right).map(Python::list),
        (Operator::Add, Python::Tuple(_), Python::Tuple(_)) => {
            join(left, right).map(|items| Python::Tuple(items.into()))
        }
        (_, one, two) => match (integer(one), integer(two)) {
            (Some(one), Some(two)) => integers(operation, one, two),
            _ => floats(operation, one.number(), two.number()),
        },
    };
    value.map_or_else(
        || Placed::from(Execution::unknown("what this operator makes is not worked out", span)),
        |value| Placed::new(value, span),
    )
}

fn join(left: &Placed, right: &Placed) -> Option<Vec<Placed>> {
    let mut items = left.value.items()?;
    items.extend(right.value.items()?);
    (items.len() <= MOST_ITEMS).then_some(items)
}

fn integer(value: &Python) -> Option<i64> {
    match value {
        Python::Int(number) => Some(*number),
        Python::Bool(flag) => Some(i64::from(*flag)),
        _ => None,
    }
}

fn integers(operation: Operator, left: i64, right: i64) -> Option<Python> {
    let number = match operation {
        Operator::Add => left.checked_add(right),
        Operator::Sub => left.checked_sub(right),
        Operator::Mult => left.checked_mul(right),
        // Python rounds down, and a remainder has the sign of the divisor.
        Operator::FloorDiv => left.checked_div_euclid(right).filter(|_| right > 0),
        Operator::Mod => left.checked_rem_euclid(right).filter(|_| right > 0),
        Operator::Pow => u32::try_from(right).ok().and_then(|right| left.checked_pow(right)),
        Operator::LShift => {
            let factor = u32::try_from(right).ok().filter(|right| *right < 63).map(|right| 1_i64 << right);
            factor.and_then(|factor| left.checked_mul(factor))
        }
        Operator::Div => {
            let number = Python::Int(left).number()? / Python::Int(right).number().filter(|number| *number != 0.0)?;
            return Some(Python::Float(number));
        }
        _ => None,
    };
    number.map(Python::Int)
}

fn floats(operation: Operator, left: Option<f64>, right: Option<f64>) -> Option<Python> {
    let (left, right) = (left?, right?);
    match operation {
        Operator::Add => Some(left + right),
        Operator::Sub => Some(left - right),
        Operator::Mult => Some(left * right),
        Operator::Div if right != 0.0 => Some(left / right),
        _ => None,
    }
    .map(Python::Float)
}

/// `-value`, `+value`, `not value`.
pub(super) fn unary(operation: UnaryOp, value: &Placed, span: Span) -> Placed {
    if let Some(why) = value.unknown() {
        return Placed::from(why.clone());
    }
    let result = match (operation, &value.value) {
        (UnaryOp::Not, value) => value.truth().map(|truth| Python::Bool(!truth)),
        (UnaryOp::USub, Python::Float(number)) => Some(Python::Float(-number)),
        (UnaryOp::USub, value) => integer(value).and_then(i64::checked_neg).map(Python::Int),
        (UnaryOp::UAdd, value @ Python::Float(_)) => Some(value.clone()),
        (UnaryOp::UAdd, value) => integer(value).map(Python::Int),
        (UnaryOp::Invert, _) => None,
    };
    result.map_or_else(
        || Placed::from(Execution::unknown("what this operator makes is not worked out", span)),
        |value| Placed::new(value, span),
    )
}

/// `a < b <= c`, `a in b`, `a is None`.
pub(super) fn compare(execution: &mut Execution<'_, '_, '_>, comparison: &ExprCompare) -> Placed {
    let span = execution.span(comparison);
    let mut left = expression::evaluate(execution, &comparison.left);
    for (operation, right) in comparison.ops.iter().zip(&comparison.comparators) {
        let right = expression::evaluate(execution, right);
        match one(execution, *operation, &left, &right) {
            Some(true) => {}
            Some(false) => return Placed::new(Python::Bool(false), span),
            None => {
                let why = left.unknown().or_else(|| right.unknown()).cloned();
                return Placed::from(
                    why.unwrap_or_else(|| Execution::unknown("the comparison is not worked out", span)),
                );
            }
        }
        left = right;
    }
    Placed::new(Python::Bool(true), span)
}

fn one(execution: &Execution<'_, '_, '_>, operation: CmpOp, left: &Placed, right: &Placed) -> Option<bool> {
    match operation {
        CmpOp::Eq => left.value.equals(&right.value),
        CmpOp::NotEq => left.value.equals(&right.value).map(|equal| !equal),
        CmpOp::Is => same(&left.value, &right.value),
        CmpOp::IsNot => same(&left.value, &right.value).map(|same| !same),
        CmpOp::In => contains(execution, right, left),
        CmpOp::NotIn => contains(execution, right, left).map(|found| !found),
        CmpOp::Lt => order(left, right).map(Ordering::is_lt),
        CmpOp::LtE => order(left, right).map(Ordering::is_le),
        CmpOp::Gt => order(left, right).map(Ordering::is_gt),
        CmpOp::GtE => order(left, right).map(Ordering::is_ge),
    }
}

/// `is`, for what there is one of.
fn same(left: &Python, right: &Python) -> Option<bool> {
    match (left, right) {
        (Python::Unknown(_), _) | (_, Python::Unknown(_)) => None,
        (Python::None, Python::None) => Some(true),
        (Python::Bool(left), Python::Bool(right)) => Some(left == right),
        (Python::None | Python::Bool(_), _) | (_, Python::None | Python::Bool(_)) => Some(false),
        _ => None,
    }
}

fn order(left: &Placed, right: &Placed) -> Option<Ordering> {
    match (&left.value, &right.value) {
        (Python::Str(left), Python::Str(right)) => Some(left.cmp(right)),
        (left, right) => left.number()?.partial_cmp(&right.number()?),
    }
}

fn contains(execution: &Execution<'_, '_, '_>, container: &Placed, item: &Placed) -> Option<bool> {
    match (&container.value, &item.value) {
        (_, Python::Unknown(_)) => None,
        (Python::Str(text), Python::Str(part)) => Some(text.contains(&**part)),
        (Python::Named("os.environ"), Python::Str(name)) => Some(name.as_ref())
            .filter(|name: &&str| !name.contains(['=', '\0']))
            .map(|name| (execution.reader.environment)(name).is_some()),
        (Python::Dict(dict), key) => dict.borrow().get(key).ok().map(|found| found.is_some()),
        (Python::Set(items), item) => within(items, item),
        (container, item) => within(&container.items()?, item),
    }
}

fn within(items: &[Placed], item: &Python) -> Option<bool> {
    let mut found = Some(false);
    for candidate in items {
        match candidate.value.equals(item) {
            Some(true) => return Some(true),
            Some(false) => {}
            None => found = None,
        }
    }
    found
}

/// The value of `container[key]`.
pub(super) fn item(execution: &Execution<'_, '_, '_>, object: &Placed, key: &Placed, span: Span) -> Placed {
    if let Some(why) = object.unknown().or_else(|| key.unknown()) {
        return Placed::from(why.clone());
    }
    let missing = |exception| Placed::from(Execution::raises(exception, "the key or index is not there", span));
    match &object.value {
        Python::Named("os.environ") => super::call::variable(execution, key, span),
        Python::Dict(dict) => match dict.borrow().get(&key.value) {
            Ok(Some(value)) => value,
            Ok(None) => missing("KeyError"),
            Err(Some(why)) => Placed::from(why),
            Err(None) => Placed::from(Execution::unknown("the key cannot be compared", span)),
        },
        Python::List(_) | Python::Tuple(_) => match (object.value.items(), &key.value) {
            (Some(items), Python::Int(_)) => match container::index(&key.value, items.len()) {
                Some(at) => items[at].clone(),
                None => missing("IndexError"),
            },
            _ => Placed::from(Execution::unknown("a part of the list is not worked out", span)),
        },
        _ => Placed::from(Execution::unknown("a part of this is not worked out", span)),
    }
}
