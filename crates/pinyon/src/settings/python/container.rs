//! Assignments, and what changes a dictionary or a list.

use super::reader::Execution;
use super::value::{Definition, Dict, Placed, Python, Unknown};
use super::{expression, operator};
use ruff_python_ast::{Expr, Operator};
use std::rc::Rc;

/// `target = value`, for every form of target.
pub(super) fn assign(execution: &mut Execution<'_, '_, '_>, target: &Expr, value: Placed) {
    match target {
        Expr::Name(name) => execution.bind(&name.id, value),
        Expr::Subscript(subscript) => {
            let object = expression::evaluate(execution, &subscript.value);
            let key = expression::evaluate(execution, &subscript.slice);
            set_item(execution, &object, key, value);
        }
        Expr::Tuple(_) | Expr::List(_) => {
            let elements = match target {
                Expr::Tuple(tuple) => &tuple.elts,
                Expr::List(list) => &list.elts,
                _ => return,
            };
            let items = value.value.items().filter(|items| items.len() == elements.len());
            let starred = elements.iter().any(Expr::is_starred_expr);
            if let Some(items) = items.filter(|_| !starred) {
                for (element, item) in elements.iter().zip(items) {
                    assign(execution, element, item);
                }
            } else {
                let why = value.unknown().cloned();
                let why = why
                    .unwrap_or_else(|| Execution::unknown("it is unpacked in a way that is not followed", value.span));
                value.value.mark(&why);
                for element in elements {
                    assign(execution, element, Placed::from(why.clone()));
                }
            }
        }
        Expr::Starred(starred) => assign(execution, &starred.value, value),
        // An attribute of something: of no dictionary.
        _ => {}
    }
}

/// `object[key] = value`.
fn set_item(execution: &Execution<'_, '_, '_>, object: &Placed, key: Placed, value: Placed) {
    let doubt = execution.doubt();
    if let Some(why) = &doubt {
        value.value.mark(why);
    }
    let value = doubt.map_or(value, Placed::from);
    match (&object.value, key.unknown()) {
        (Python::Dict(dict), None) => dict.borrow_mut().set(key, value),
        (Python::List(list), None) => {
            let mut list = list.borrow_mut();
            let length = list.items.len();
            if let Some(item) = index(&key.value, length).and_then(|at| list.items.get_mut(at)) {
                *item = value;
            }
        }
        (_, Some(why)) => object.value.mark(why),
        _ => {}
    }
}

/// The index that `key` is in something of this length: Python counts negative ones from the end.
pub(super) fn index(key: &Python, length: usize) -> Option<usize> {
    let Python::Int(at) = key else { return None };
    let at = if *at < 0 { at.checked_add(i64::try_from(length).ok()?)? } else { *at };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// `del target`.
pub(super) fn delete(execution: &mut Execution<'_, '_, '_>, target: &Expr) {
    match target {
        Expr::Name(name) => {
            let span = execution.span(target);
            let why = execution.doubt();
            let why = why.unwrap_or_else(|| Execution::raises("NameError", format!("{} is deleted", name.id), span));
            execution.names.insert(name.id.to_string(), Placed::from(why));
        }
        Expr::Subscript(subscript) => {
            let object = expression::evaluate(execution, &subscript.value);
            let key = expression::evaluate(execution, &subscript.slice);
            remove(execution, &object, &key);
        }
        _ => {}
    }
}

/// Takes `key` out of a dictionary, or says that it may be out.
fn remove(execution: &Execution<'_, '_, '_>, object: &Placed, key: &Placed) -> Option<Placed> {
    let why = execution.doubt().or_else(|| key.unknown().cloned());
    let Python::Dict(dict) = &object.value else {
        object.value.mark(&why.unwrap_or_else(|| Execution::unknown("a part of it is deleted", key.span)));
        return None;
    };
    let mut dict = dict.borrow_mut();
    let at = dict.items.iter().position(|(name, _)| name.value.equals(&key.value) == Some(true))?;
    match why {
        Some(why) => {
            dict.items[at].1 = Placed::from(why.clone());
            Some(Placed::from(why))
        }
        None => Some(dict.items.remove(at).1),
    }
}

/// `target |= value` and `target += value` on a container: the container itself changes.
pub(super) fn augment(
    execution: &Execution<'_, '_, '_>,
    target: &Placed,
    operation: Operator,
    value: &Placed,
) -> Placed {
    match (&target.value, operation) {
        (Python::Dict(_), Operator::BitOr) => {
            merge(execution, target, value);
            target.clone()
        }
        (Python::List(_), Operator::Add) => {
            extend(execution, target, value);
            target.clone()
        }
        _ => operator::binary(operation, target, value, target.span),
    }
}

/// `target.update(value)`.
fn merge(execution: &Execution<'_, '_, '_>, target: &Placed, value: &Placed) {
    let (Python::Dict(target), Some(new)) = (&target.value, as_dict(value)) else {
        let why = value.unknown().cloned();
        target.value.mark(
            &why.unwrap_or_else(|| Execution::unknown("it is updated with something that is not followed", value.span)),
        );
        return;
    };
    let Some(why) = execution.doubt() else {
        target.borrow_mut().update(&new);
        return;
    };
    for (key, value) in new.items {
        value.value.mark(&why);
        target.borrow_mut().set(key, Placed::from(why.clone()));
    }
}

fn extend(execution: &Execution<'_, '_, '_>, target: &Placed, value: &Placed) {
    let Python::List(list) = &target.value else { return };
    let why = execution.doubt().or_else(|| value.unknown().cloned());
    match (value.value.items(), why) {
        (Some(items), None) => {
            let mut list = list.borrow_mut();
            if list.items.len() + items.len() <= super::MOST_ITEMS {
                list.items.extend(items);
                return;
            }
            list.doubt = Some(Execution::unknown("the list is too long", value.span));
        }
        (_, why) => target
            .value
            .mark(&why.unwrap_or_else(|| Execution::unknown("what is added to the list is not followed", value.span))),
    }
}

/// A dictionary, or pairs, as a dictionary of its own.
pub(super) fn as_dict(value: &Placed) -> Option<Dict> {
    if let Python::Dict(dict) = &value.value {
        return Some(dict.borrow().copy());
    }
    let mut dict = Dict::default();
    for pair in value.value.items()? {
        let [key, value] = <[Placed; 2]>::try_from(pair.value.items()?).ok()?;
        if key.unknown().is_some() {
            return None;
        }
        dict.set(key, value);
    }
    Some(dict)
}

/// What the call of something that was defined in the settings may have done.
pub(super) fn changed_by(execution: &mut Execution<'_, '_, '_>, definition: &Definition, why: &Rc<Unknown>) {
    for name in &definition.mentions {
        if let Some(placed) = execution.names.get(name) {
            placed.value.mark(why);
        }
    }
    for name in &definition.globals {
        execution.names.insert(name.clone(), Placed::from(why.clone()));
    }
}

/// A method of a dictionary or a list. None: there is no such method here.
pub(super) fn method(
    execution: &Execution<'_, '_, '_>,
    object: &Placed,
    name: &str,
    arguments: &super::call::Arguments,
) -> Option<Placed> {
    let placed = |value| Some(Placed::new(value, arguments.span));
    let failed = |error: Option<Rc<Unknown>>| {
        let error = error.unwrap_or_else(|| Execution::unknown("the key cannot be compared", arguments.span));
        Some(Placed::from(error))
    };
    match (&object.value, name, arguments.positional.as_slice()) {
        (Python::Dict(dict), "get", [key, default @ ..]) if default.len() < 2 => match dict.borrow().get(&key.value) {
            Ok(Some(value)) => Some(value),
            Ok(None) => default.first().cloned().or_else(|| placed(Python::None)),
            Err(why) => failed(why),
        },
        (Python::Dict(_), "update", positional) if positional.len() < 2 => {
            for value in positional {
                merge(execution, object, value);
            }
            let named = Placed::new(Python::dict(arguments.as_dict()), arguments.span);
            merge(execution, object, &named);
            placed(Python::None)
        }
        (Python::Dict(dict), "setdefault", [key, default]) => {
            let found = dict.borrow().get(&key.value);
            match found {
                Ok(Some(value)) => Some(value),
                Ok(None) => {
                    set_item(execution, object, key.clone(), default.clone());
                    Some(default.clone())
                }
                Err(why) => failed(why),
            }
        }
        (Python::Dict(dict), "pop", [key, default @ ..]) if default.len() < 2 && dict.borrow().doubt.is_none() => {
            remove(execution, object, key).or_else(|| default.first().cloned()).or_else(|| {
                let why = Execution::raises("KeyError", "the key is not in the dictionary", arguments.span);
                Some(Placed::from(why))
            })
        }
        (Python::Dict(dict), "copy", []) => placed(Python::dict(dict.borrow().copy())),
        (Python::Dict(dict), "keys" | "values" | "items", []) if dict.borrow().doubt.is_none() => {
            let item = |(key, value): &(Placed, Placed)| match name {
                "keys" => key.clone(),
                "values" => value.clone(),
                _ => Placed::new(Python::Tuple(Rc::new(vec![key.clone(), value.clone()])), key.span),
            };
            placed(Python::Tuple(Rc::new(dict.borrow().items.iter().map(item).collect())))
        }
        (Python::List(_), "append", [item]) => {
            let one = Placed::new(Python::Tuple(Rc::new(vec![item.clone()])), item.span);
            extend(execution, object, &one);
            placed(Python::None)
        }
        (Python::List(_), "extend", [items]) => {
            extend(execution, object, items);
            placed(Python::None)
        }
        _ => None,
    }
}
