//! What a Python expression is, as far as the file shows it.
//!
//! Lists and dictionaries are shared, as in Python: a change through one name is seen through every other.

use super::super::node::Span;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

/// The longest text that is worked out; a longer one is not known.
pub(super) const LONGEST: usize = 1 << 16;

/// A value of Python.
#[derive(Clone)]
pub(super) enum Python {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Rc<str>),
    Bytes,
    /// A `pathlib.Path`.
    Path(Rc<str>),
    Tuple(Rc<Vec<Placed>>),
    Set(Rc<Vec<Placed>>),
    List(Rc<RefCell<List>>),
    Dict(Rc<RefCell<Dict>>),
    /// Something that is known by its dotted name: a builtin, `os.environ`, `pathlib.Path`.
    Named(&'static str),
    /// A function or a class that the settings define.
    Defined(Rc<Definition>),
    /// Another file of the settings.
    Module(Rc<Module>),
    /// Only Python knows.
    Unknown(Rc<Unknown>),
}

/// A value and where it was written.
#[derive(Clone)]
pub(super) struct Placed {
    pub(super) value: Python,
    pub(super) span: Span,
}

/// Why something is not known, and where that begins.
#[derive(Clone)]
pub(super) struct Unknown {
    pub(super) reason: String,
    pub(super) span: Span,
    /// The exception that Python certainly raises here.
    pub(super) raises: Option<&'static str>,
}

/// A list, and why there may be more or less in it.
#[derive(Default)]
pub(super) struct List {
    pub(super) items: Vec<Placed>,
    pub(super) doubt: Option<Rc<Unknown>>,
}

/// A dictionary in its order, and why there may be more or less in it.
#[derive(Default)]
pub(super) struct Dict {
    pub(super) items: Vec<(Placed, Placed)>,
    pub(super) doubt: Option<Rc<Unknown>>,
}

/// A `def` or a `class`.
pub(super) struct Definition {
    /// With its module: `shop.keys.make`.
    pub(super) name: String,
    /// The names in its body: what a call may change.
    pub(super) mentions: Vec<String>,
    /// Its `global` names: what a call may assign.
    pub(super) globals: Vec<String>,
}

/// What a file of settings defines.
pub(super) struct Module {
    pub(super) names: HashMap<String, Placed>,
    /// Why every other name may be there too.
    pub(super) lost: Option<Rc<Unknown>>,
}

impl Placed {
    pub(super) fn new(value: Python, span: Span) -> Self {
        Self { value, span }
    }

    /// The reason, if this is not known.
    pub(super) fn unknown(&self) -> Option<&Rc<Unknown>> {
        match &self.value {
            Python::Unknown(why) => Some(why),
            _ => None,
        }
    }
}

impl From<Rc<Unknown>> for Placed {
    fn from(why: Rc<Unknown>) -> Self {
        Self { span: why.span, value: Python::Unknown(why) }
    }
}

impl Python {
    pub(super) fn text(text: &str) -> Self {
        Self::Str(Rc::from(text))
    }

    pub(super) fn list(items: Vec<Placed>) -> Self {
        Self::List(Rc::new(RefCell::new(List { items, doubt: None })))
    }

    pub(super) fn dict(dict: Dict) -> Self {
        Self::Dict(Rc::new(RefCell::new(dict)))
    }

    /// `bool(self)`, if it is known.
    pub(super) fn truth(&self) -> Option<bool> {
        match self {
            Self::None => Some(false),
            Self::Bool(value) => Some(*value),
            Self::Int(number) => Some(*number != 0),
            Self::Float(number) => Some(*number != 0.0),
            Self::Str(text) => Some(!text.is_empty()),
            Self::Tuple(items) | Self::Set(items) => Some(!items.is_empty()),
            Self::List(list) => Some(list.borrow()).filter(|list| list.doubt.is_none()).map(|l| !l.items.is_empty()),
            Self::Dict(dict) => Some(dict.borrow()).filter(|dict| dict.doubt.is_none()).map(|d| !d.items.is_empty()),
            Self::Path(_) | Self::Defined(_) | Self::Module(_) => Some(true),
            Self::Bytes | Self::Named(_) | Self::Unknown(_) => None,
        }
    }

    /// `str(self)`, if it is known.
    pub(super) fn display(&self) -> Option<String> {
        match self {
            Self::None => Some("None".to_owned()),
            Self::Bool(true) => Some("True".to_owned()),
            Self::Bool(false) => Some("False".to_owned()),
            Self::Int(number) => Some(number.to_string()),
            // Within these bounds both languages write a float in the same way.
            Self::Float(number) if *number == 0.0 || (1e-4..1e16).contains(&number.abs()) => {
                Some(format!("{number:?}"))
            }
            Self::Str(text) | Self::Path(text) => Some(text.to_string()),
            _ => None,
        }
    }

    /// `self == other`, if it is known.
    pub(super) fn equals(&self, other: &Self) -> Option<bool> {
        match (self, other) {
            (Self::Unknown(_) | Self::Named(_) | Self::Bytes, _)
            | (_, Self::Unknown(_) | Self::Named(_) | Self::Bytes) => None,
            (Self::None, Self::None) => Some(true),
            (Self::Str(one), Self::Str(two)) | (Self::Path(one), Self::Path(two)) => Some(one == two),
            (one, two) => match (one.number(), two.number()) {
                #[expect(clippy::float_cmp, reason = "as Python compares")]
                (Some(one), Some(two)) => Some(one == two),
                (Some(_), None) | (None, Some(_)) => Some(false),
                (None, None) if one.is_plain() != two.is_plain() => Some(false),
                (None, None) if one.is_plain() => Some(false),
                // Containers would have to be compared item by item.
                (None, None) => None,
            },
        }
    }

    fn is_plain(&self) -> bool {
        matches!(self, Self::None | Self::Str(_) | Self::Path(_))
    }

    /// As a number, `True` being 1; integers that a float cannot hold are none.
    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Bool(value) => Some(f64::from(u8::from(*value))),
            #[expect(clippy::cast_precision_loss, reason = "checked to be exact")]
            Self::Int(number) if number.unsigned_abs() < 1 << 53 => Some(*number as f64),
            Self::Float(number) => Some(*number),
            _ => None,
        }
    }

    /// The items of what can be iterated over, if they are known.
    pub(super) fn items(&self) -> Option<Vec<Placed>> {
        match self {
            Self::Tuple(items) => Some(items.to_vec()),
            Self::List(list) if list.borrow().doubt.is_none() => Some(list.borrow().items.clone()),
            Self::Dict(dict) if dict.borrow().doubt.is_none() => {
                Some(dict.borrow().items.iter().map(|(key, _)| key.clone()).collect())
            }
            _ => None,
        }
    }

    /// Marks every container in here as one that may have been changed.
    pub(super) fn mark(&self, why: &Rc<Unknown>) {
        self.mark_within(why, 8);
    }

    fn mark_within(&self, why: &Rc<Unknown>, depth: usize) {
        let Some(depth) = depth.checked_sub(1) else { return };
        match self {
            Self::List(list) => {
                let Ok(mut list) = list.try_borrow_mut() else { return };
                if list.doubt.is_none() {
                    list.doubt = Some(why.clone());
                    list.items.iter().for_each(|item| item.value.mark_within(why, depth));
                }
            }
            Self::Dict(dict) => {
                let Ok(mut dict) = dict.try_borrow_mut() else { return };
                if dict.doubt.is_none() {
                    dict.doubt = Some(why.clone());
                    dict.items.iter().for_each(|(_, value)| value.value.mark_within(why, depth));
                }
            }
            Self::Tuple(items) => items.iter().for_each(|item| item.value.mark_within(why, depth)),
            _ => {}
        }
    }
}

impl Dict {
    /// The value of `key`; `Err` if that is not known.
    pub(super) fn get(&self, key: &Python) -> Result<Option<Placed>, Option<Rc<Unknown>>> {
        if let Some(why) = &self.doubt {
            return Err(Some(why.clone()));
        }
        for (name, value) in &self.items {
            if name.value.equals(key).ok_or(None)? {
                return Ok(Some(value.clone()));
            }
        }
        Ok(None)
    }

    /// `self[key] = value`. A key keeps its place in the order and gets the new place in the text.
    pub(super) fn set(&mut self, key: Placed, value: Placed) {
        match self.items.iter_mut().find(|(name, _)| name.value.equals(&key.value) == Some(true)) {
            Some(item) => *item = (key, value),
            None => self.items.push((key, value)),
        }
    }

    /// `self.update(other)`.
    pub(super) fn update(&mut self, other: &Self) {
        for (key, value) in &other.items {
            self.set(key.clone(), value.clone());
        }
        if self.doubt.is_none() {
            self.doubt.clone_from(&other.doubt);
        }
    }

    /// A copy that shares the values.
    pub(super) fn copy(&self) -> Self {
        Self { items: self.items.clone(), doubt: self.doubt.clone() }
    }
}
