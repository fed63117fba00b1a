//! Redis commands as Python words them, for threads and for asyncio; and single values in the form of a cache.

use crate::backend::type_name;
use crate::codec::OwnedItem;
use crate::errors::raise;
use crate::event_loop::{LoopState, running};
use crate::operation;
use crate::store_cache::{Shared, StoreCache};
use pinyon::net::{Answered, Multiplexed};
use pinyon::redis::{Commands, RedisStore, Replies, Reply, RespProtocol, Results, server_error};
use pinyon::{Error, ErrorKind};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::pybacked::{PyBackedBytes, PyBackedStr};
use pyo3::types::{PyBool, PyBytes, PyFloat, PyInt, PyList, PyString};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

/// One word of a command, where Python has it.
enum Word {
    Bytes(PyBackedBytes),
    Text(PyBackedStr),
    Made(Vec<u8>),
}

impl AsRef<[u8]> for Word {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
            Self::Made(bytes) => bytes,
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for Word {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            Ok(Self::Bytes(bytes.to_owned().into()))
        } else if let Ok(text) = object.cast::<PyString>() {
            Ok(Self::Text(text.to_owned().try_into()?))
        } else if object.is_instance_of::<PyBool>() {
            Err(PyTypeError::new_err("a word of a Redis command cannot be a bool; give 1 or 0"))
        } else if object.is_instance_of::<PyInt>() {
            // An enumeration's own str() has a name in it.
            let number = object.py().get_type::<PyInt>().call1((object,))?;
            Ok(Self::Text(number.str()?.try_into()?))
        } else if object.is_instance_of::<PyFloat>() {
            Ok(Self::Text(object.repr()?.try_into()?))
        } else if let Ok(bytes) = object.extract::<Vec<u8>>()
            && !object.is_instance_of::<PyList>()
        {
            Ok(Self::Made(bytes))
        } else {
            let given = type_name(&object.to_owned());
            Err(PyTypeError::new_err(format!(
                "a word of a Redis command must be bytes, str, int or float, not {given}"
            )))
        }
    }
}

/// How commands are sent, and what becomes of what goes wrong.
#[derive(Clone, Copy, FromPyObject)]
#[expect(clippy::struct_excessive_bools, reason = "the attributes of the Python object")]
pub(crate) struct Manner {
    /// They write nothing: a replica may be asked.
    read: bool,
    repeatable: bool,
    transaction: bool,
    /// A connection error is answered with None if the settings say so.
    ignore: bool,
    /// A server error is raised, and not given among the replies.
    raise_errors: bool,
    /// Where several primaries share the keys, the one that gets the commands without a key.
    group: usize,
}

fn commands(cache: &Bound<'_, StoreCache>, name: &str, given: &Bound<'_, PyAny>, manner: Manner) -> PyResult<Commands> {
    let mut commands = Commands::new(interned(name))
        .reading(manner.read)
        .repeatable(manner.repeatable)
        .transaction(manner.transaction)
        .on_group(manner.group);
    for command in given.try_iter()? {
        let words = command?.try_iter()?.map(|word| word?.extract::<Word>()).collect::<PyResult<Vec<_>>>()?;
        commands.push(&words).map_err(|error| raise(cache.as_super(), error))?;
    }
    Ok(commands)
}

/// The name of an operation. There are as many as there are methods.
fn interned(name: &str) -> &'static str {
    static NAMES: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut names = NAMES.lock().unwrap_or_else(PoisonError::into_inner);
    let names = names.get_or_insert_default();
    if let Some(known) = names.get(name) {
        return known;
    }
    let kept: &'static str = Box::leak(name.to_owned().into_boxed_str());
    names.insert(kept);
    kept
}

fn store<'a>(cache: &'a Bound<'_, StoreCache>) -> PyResult<&'a Arc<RedisStore>> {
    match StoreCache::shared(cache)? {
        Shared::Redis(store) => Ok(store),
        _ => Err(PyTypeError::new_err("only a Redis cache takes Redis commands")),
    }
}

/// The replies as a list: bytes, int, None, lists of them, and exceptions.
fn read<'py, A: Answered<RespProtocol>>(
    cache: &Bound<'py, StoreCache>,
    (name, raise_errors): (&'static str, bool),
    results: &Results<A>,
) -> PyResult<Bound<'py, PyAny>> {
    if raise_errors {
        let refused = results.replies().find_map(|reply| match reply {
            Reply::Error(text) => Some(server_error(text).with_operation(name)),
            _ => None,
        });
        if let Some(error) = refused {
            // Not one that the settings could ignore: StoreCache::failed counts it.
            StoreCache::failed(cache, error)?;
        }
    }
    Ok(list(cache, name, results.replies())?.into_any())
}

fn list<'py>(cache: &Bound<'py, StoreCache>, name: &'static str, replies: Replies<'_>) -> PyResult<Bound<'py, PyList>> {
    let py = cache.py();
    let items = PyList::empty(py);
    for reply in replies {
        match reply {
            Reply::Nil => items.append(py.None())?,
            Reply::Status(bytes) | Reply::Bytes(bytes) => items.append(PyBytes::new(py, bytes))?,
            Reply::Integer(number) => items.append(number)?,
            Reply::Array(elements) => items.append(list(cache, name, elements)?)?,
            Reply::Error(text) => {
                let error = raise(cache.as_super(), server_error(text).with_operation(name));
                items.append(error.into_value(py))?;
            }
        }
    }
    Ok(items)
}

/// What an operation that failed comes to: None if that is ignored.
fn failed(cache: &Bound<'_, StoreCache>, manner: Manner, error: Error) -> PyResult<()> {
    if manner.ignore { StoreCache::failed(cache, error) } else { Err(raise(cache.as_super(), error)) }
}

/// Sends `commands`, each a sequence of words, to the server of `cache` in one round trip; a list with one reply a command.
/// None after an error that the settings ignore.
#[pyfunction]
pub(crate) fn run_commands<'py>(
    cache: &Bound<'py, StoreCache>,
    name: &str,
    given: &Bound<'py, PyAny>,
    manner: Manner,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, name, store) = (cache.py(), interned(name), store(cache)?);
    let commands = commands(cache, name, given, manner)?;
    if commands.is_empty() {
        return Ok(PyList::empty(py).into_any());
    }
    match py.detach(|| store.command(&commands)) {
        Ok(results) => read(cache, (name, manner.raise_errors), &results),
        Err(error) => failed(cache, manner, error).map(|()| py.None().into_bound(py)),
    }
}

/// [`run_commands`] on the running loop; a future.
#[pyfunction]
pub(crate) fn start_commands<'py>(
    cache: &Bound<'py, StoreCache>,
    name: &str,
    given: &Bound<'py, PyAny>,
    manner: Manner,
) -> PyResult<Bound<'py, PyAny>> {
    let (py, name, store) = (cache.py(), interned(name), store(cache)?);
    let commands = commands(cache, name, given, manner)?;
    if commands.waits() {
        let error =
            Error::new(ErrorKind::Unsupported, "this command would hold up everything on the connection of the loop")
                .with_operation(name)
                .with_hint("Call the method without the a in a thread, or ask again and again");
        return Err(raise(cache.as_super(), error));
    }
    let event_loop = running(py)?;
    let state = LoopState::of(&event_loop)?;
    let driver = Multiplexed(LoopState::links(&state, py, store));
    let (store, owner) = (store.clone(), cache.clone().unbind());
    operation::start(
        &event_loop,
        &state,
        Box::pin(async move {
            if commands.is_empty() { Ok(None) } else { store.command_over(&driver, &commands).await.map(Some) }
        }),
        Box::new(move |py, outcome| {
            let cache = owner.bind(py);
            match outcome {
                Ok(Some(results)) => read(cache, (name, manner.raise_errors), &results).map(Bound::unbind),
                Ok(None) => Ok(PyList::empty(py).into_any().unbind()),
                Err(error) => failed(cache, manner, error).map(|()| py.None()),
            }
        }),
    )
}

/// Whether keys have to be told apart by the server that has them.
#[pyfunction]
pub(crate) fn is_divided(cache: &Bound<'_, StoreCache>) -> PyResult<bool> {
    Ok(store(cache)?.is_divided())
}

/// How many primaries share the keys, in a list. None after an error that the settings ignore.
#[pyfunction]
pub(crate) fn count_groups(cache: &Bound<'_, StoreCache>, name: &str) -> PyResult<Option<Vec<usize>>> {
    let (name, store) = (interned(name), store(cache)?);
    match cache.py().detach(|| store.count_groups()) {
        Ok(count) => Ok(Some(vec![count])),
        Err(error) => StoreCache::failed(cache, error.with_operation(name)).map(|()| None),
    }
}

/// [`count_groups`] on the running loop; a future.
#[pyfunction]
pub(crate) fn start_count_groups<'py>(cache: &Bound<'py, StoreCache>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    let (py, name, store) = (cache.py(), interned(name), store(cache)?);
    let event_loop = running(py)?;
    let state = LoopState::of(&event_loop)?;
    let driver = Multiplexed(LoopState::links(&state, py, store));
    let (store, owner) = (store.clone(), cache.clone().unbind());
    operation::start(
        &event_loop,
        &state,
        Box::pin(async move { store.groups_over(&driver).await }),
        Box::new(move |py, outcome| match outcome {
            Ok(count) => Ok(PyList::new(py, [count])?.into_any().unbind()),
            Err(error) => StoreCache::failed(owner.bind(py), error.with_operation(name)).map(|()| py.None()),
        }),
    )
}

/// A value as the cache stores it. `raw_integers`: integers as digits, as entries are, members of sets and values of hashes.
#[pyfunction]
#[pyo3(signature = (cache, value, raw_integers=true))]
pub(crate) fn encode<'py>(
    cache: &Bound<'py, StoreCache>,
    value: &Bound<'py, PyAny>,
    raw_integers: bool,
) -> PyResult<Bound<'py, PyBytes>> {
    let encoded: OwnedItem = StoreCache::codec(cache)?.encode_member(value, raw_integers)?.into_owned()?;
    Ok(PyBytes::new(cache.py(), encoded.item().bytes))
}

/// The value of what [`encode`] made. None for None, and for what cannot be read, which is counted as the settings say; `key` is
/// what the report about it names.
#[pyfunction]
#[pyo3(signature = (cache, key, data, raw_integers=true))]
pub(crate) fn decode<'py>(
    cache: &Bound<'py, StoreCache>,
    key: &str,
    data: Option<&[u8]>,
    raw_integers: bool,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(data) = data else { return Ok(None) };
    let py = cache.py();
    match StoreCache::codec(cache)?.decode_member(py, data, raw_integers) {
        Ok(value) => Ok(Some(value)),
        Err(error) => StoreCache::bad_value(cache, key.as_bytes(), error).map(|()| None),
    }
}
