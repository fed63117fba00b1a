//! What an expression is.

use super::reader::Execution;
use super::value::{Dict, Placed, Python};
use super::{MOST_ITEMS, call, known, operator, path, text};
use crate::settings::Span;
use ruff_python_ast::{BoolOp, Expr, ExprDict, Number};
use std::rc::Rc;

/// The value of an expression, or why it is not known.
pub(super) fn evaluate(execution: &mut Execution<'_, '_, '_>, expression: &Expr) -> Placed {
    let span = execution.span(expression);
    let unknown = |reason: &str| Placed::from(Execution::unknown(reason, span));
    if !execution.step() {
        return unknown("there is too much to follow");
    }
    let value = match expression {
        Expr::NoneLiteral(_) => Python::None,
        Expr::BooleanLiteral(literal) => Python::Bool(literal.value),
        Expr::NumberLiteral(literal) => match &literal.value {
            Number::Int(number) => match number.as_i64() {
                Some(number) => Python::Int(number),
                None => return unknown("an integer of more than 64 bits is not worked out"),
            },
            Number::Float(number) => Python::Float(*number),
            Number::Complex { .. } => return unknown("a complex number is not worked out"),
        },
        Expr::StringLiteral(literal) => match text::bounded(literal.value.to_str()) {
            Some(text) => text,
            None => return unknown("the text is too long"),
        },
        Expr::BytesLiteral(_) => Python::Bytes,
        Expr::FString(string) => return text::f_string(execution, string),
        Expr::Name(name) => return self::name(execution, &name.id, span),
        Expr::Named(named) => {
            let value = evaluate(execution, &named.value);
            super::container::assign(execution, &named.target, value.clone());
            return value;
        }
        Expr::Dict(dict) => return self::dict(execution, dict, span),
        Expr::List(list) => match elements(execution, &list.elts) {
            Ok(items) => Python::list(items),
            Err(why) => return why,
        },
        Expr::Tuple(tuple) => match elements(execution, &tuple.elts) {
            Ok(items) => Python::Tuple(Rc::new(items)),
            Err(why) => return why,
        },
        Expr::Set(set) => match elements(execution, &set.elts) {
            Ok(items) => Python::Set(Rc::new(items)),
            Err(why) => return why,
        },
        Expr::BinOp(operation) => {
            let left = evaluate(execution, &operation.left);
            let right = evaluate(execution, &operation.right);
            return operator::binary(operation.op, &left, &right, span);
        }
        Expr::UnaryOp(operation) => {
            let value = evaluate(execution, &operation.operand);
            return operator::unary(operation.op, &value, span);
        }
        Expr::Compare(comparison) => return operator::compare(execution, comparison),
        Expr::BoolOp(operation) => {
            let mut last = unknown("it is empty");
            for value in &operation.values {
                last = evaluate(execution, value);
                let decided = match last.value.truth() {
                    Some(truth) => truth == (operation.op == BoolOp::Or),
                    None => true,
                };
                if decided {
                    break;
                }
            }
            return if last.value.truth().is_none() && last.unknown().is_none() {
                unknown("whether this is true is not known")
            } else {
                last
            };
        }
        Expr::If(branch) => {
            let test = evaluate(execution, &branch.test);
            return match (test.value.truth(), test.unknown()) {
                (Some(true), _) => evaluate(execution, &branch.body),
                (Some(false), _) => evaluate(execution, &branch.orelse),
                (None, Some(why)) => Placed::from(why.clone()),
                (None, None) => unknown("whether the condition is true is not known"),
            };
        }
        Expr::Attribute(access) => {
            let object = evaluate(execution, &access.value);
            return attribute(&object, &access.attr, span);
        }
        Expr::Subscript(access) => {
            let object = evaluate(execution, &access.value);
            let key = evaluate(execution, &access.slice);
            return operator::item(execution, &object, &key, span);
        }
        Expr::Call(call) => return call::call(execution, call),
        Expr::Lambda(_) => return unknown("a lambda is Python code"),
        Expr::ListComp(_) | Expr::SetComp(_) | Expr::DictComp(_) | Expr::Generator(_) => {
            return unknown("a comprehension is not run");
        }
        Expr::Slice(_) => return unknown("a slice is not worked out"),
        Expr::Await(_)
        | Expr::Yield(_)
        | Expr::YieldFrom(_)
        | Expr::TString(_)
        | Expr::EllipsisLiteral(_)
        | Expr::Starred(_)
        | Expr::IpyEscapeCommand(_) => return unknown("this expression is not worked out"),
    };
    Placed::new(value, span)
}

/// A name.
fn name(execution: &Execution<'_, '_, '_>, name: &str, span: Span) -> Placed {
    if let Some(value) = execution.names.get(name) {
        return value.clone();
    }
    if let Some(why) = &execution.lost {
        return Placed::from(why.clone());
    }
    match known::builtin(name) {
        Some(builtin) => Placed::new(builtin, span),
        None => Placed::from(Execution::unknown(format!("{name} is not defined as far as can be seen"), span)),
    }
}

/// `object.name`, if it is no method.
pub(super) fn attribute(object: &Placed, name: &str, span: Span) -> Placed {
    let unknown = || Placed::from(Execution::unknown(format!("the attribute {name} is not followed"), span));
    let value = match &object.value {
        Python::Unknown(why) => return Placed::from(why.clone()),
        Python::Named("os.environ") if name == "get" => Some(Python::Named("os.environ.get")),
        Python::Named(module) => known::attribute(module, name),
        Python::Module(module) => {
            return match (module.names.get(name), &module.lost) {
                (Some(value), _) => value.clone(),
                (None, Some(why)) => Placed::from(why.clone()),
                (None, None) => unknown(),
            };
        }
        Python::Path(path) => match name {
            "parent" => Some(path::pure(&path::parent(path).unwrap_or_else(|| path.to_string()))),
            "parents" => {
                let parents = path::parents(path).into_iter().map(|path| Placed::new(path, span));
                Some(Python::Tuple(Rc::new(parents.collect())))
            }
            "name" => Some(Python::text(&path::basename(path))),
            "stem" => Some(Python::text(&path::stem(path))),
            _ => None,
        },
        _ => None,
    };
    value.map_or_else(unknown, |value| Placed::new(value, span))
}

/// The elements of a list, a tuple or a set.
fn elements(execution: &mut Execution<'_, '_, '_>, expressions: &[Expr]) -> Result<Vec<Placed>, Placed> {
    let mut items = Vec::with_capacity(expressions.len());
    for expression in expressions {
        let Expr::Starred(starred) = expression else {
            items.push(evaluate(execution, expression));
            continue;
        };
        let more = evaluate(execution, &starred.value);
        match (more.value.items(), more.unknown()) {
            (Some(more), _) if items.len() + more.len() <= MOST_ITEMS => items.extend(more),
            (_, Some(why)) => return Err(Placed::from(why.clone())),
            _ => return Err(Placed::from(Execution::unknown("what is after the star is not known", more.span))),
        }
    }
    Ok(items)
}

/// `{"key": value, **more}`.
fn dict(execution: &mut Execution<'_, '_, '_>, literal: &ExprDict, span: Span) -> Placed {
    let mut dict = Dict::default();
    for item in &literal.items {
        let key = item.key.as_ref().map(|key| evaluate(execution, key));
        let value = evaluate(execution, &item.value);
        let doubt = match (&key, &value.value) {
            (Some(key), _) if key.unknown().is_none() => {
                dict.set(key.clone(), value);
                continue;
            }
            (Some(key), _) => key.unknown().cloned(),
            (None, Python::Dict(more)) => {
                dict.update(&more.borrow());
                continue;
            }
            (None, Python::Unknown(why)) => Some(why.clone()),
            (None, _) => Some(Execution::unknown("what is after the stars is not known", value.span)),
        };
        dict.doubt = dict.doubt.or(doubt);
    }
    Placed::new(Python::dict(dict), span)
}
