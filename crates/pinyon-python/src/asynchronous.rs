//! The operations of the caches on servers for asyncio: each starts at once on the running loop and returns a future.
//!
//! The `async def` methods of `pinyon.django` await them. They are functions and not methods, because a coroutine function
//! has to be one of Python's: `inspect.iscoroutinefunction` and `asyncio.create_task` ask for that.

use crate::backend::{Backend, TimeoutArgument};
use crate::codec::EncodedMany;
use crate::event_loop::{LoopState, running};
use crate::local::{items, seconds_left};
use crate::made_key::{MadeKey, MadeKeys};
use crate::operation;
use crate::pending::{PendingOperation, Waking};
use crate::store_cache::{Shared, StoreCache};
use pinyon::net::{Answered, Multiplexed};
use pinyon::{Found, Item, ServerStore};
use pyo3::IntoPyObjectExt;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// What a `get` or a `get_many` found, whatever the server.
trait Visit: Send {
    fn visit(&self, visit: &mut dyn FnMut(usize, Item<'_>));
}

impl<S: ServerStore, A: Answered<S::Protocol> + Send> Visit for Found<S, A> {
    fn visit(&self, visit: &mut dyn FnMut(usize, Item<'_>)) {
        Found::visit(self, visit);
    }
}

/// Starts `$operation` on the driver of the running loop, for whichever store the cache has; `$finish` makes the Python
/// result of what it came to, or of `$ignored` after an error that the settings ignore.
macro_rules! start {
    ($cache:expr, $ignored:expr, |$store:ident, $driver:ident| $operation:expr, $finish:expr) => {{
        let (cache, py): (&Bound<'_, StoreCache>, _) = ($cache, $cache.py());
        let event_loop = running(py)?;
        let state = LoopState::of(&event_loop)?;
        let owner = cache.clone().unbind();
        let (finish, ignored) = ($finish, $ignored);
        let finish = Box::new(move |py: Python<'_>, outcome: pinyon::Result<_>| {
            let cache = owner.bind(py);
            match outcome {
                Ok(result) => finish(cache, result),
                Err(error) => StoreCache::failed(cache, error).and_then(|()| finish(cache, ignored)),
            }
        });
        match StoreCache::shared(cache)? {
            Shared::Redis($store) => {
                let $driver = Multiplexed(LoopState::links(&state, py, $store));
                let $store = $store.clone();
                operation::start(&event_loop, &state, Box::pin(async move { $operation }), finish)
            }
            Shared::Memcached($store) => {
                let $driver = Multiplexed(LoopState::links(&state, py, $store));
                let $store = $store.clone();
                operation::start(&event_loop, &state, Box::pin(async move { $operation }), finish)
            }
            Shared::File(_) => Err(no_servers()),
        }
    }};
}

fn no_servers() -> PyErr {
    PyTypeError::new_err("this cache has no servers that an event loop could wait for")
}

fn python<'py, T: IntoPyObjectExt<'py>>(py: Python<'py>, value: T) -> PyResult<Py<PyAny>> {
    value.into_py_any(py)
}

/// Lets the next that waits for room go on: called by whoever has waited, when it has made its request or will make none.
#[pyfunction]
pub(crate) fn invite(cache: &Bound<'_, StoreCache>) -> PyResult<()> {
    let py = cache.py();
    let state = LoopState::of(&running(py)?)?;
    match StoreCache::shared(cache)? {
        Shared::Redis(store) => LoopState::links(&state, py, store).invite(),
        Shared::Memcached(store) => LoopState::links(&state, py, store).invite(),
        Shared::File(_) => return Err(no_servers()),
    }
    LoopState::go_on(state.bind(py), Waking::Soon)
}

/// None if a value may be sent now. Otherwise a coroutine that waits until those before it have left and then calls
/// the function that starts `operation` with `arguments`: what waits is not pickled yet, so that waiting costs no memory.
/// If they do not leave in time and the settings ignore that, the result is `ignored`.
fn unless_room<'py>(
    cache: &Bound<'py, StoreCache>,
    (operation, invited): (&'static str, bool),
    ignored: impl FnOnce(Python<'py>) -> PyResult<Py<PyAny>>,
    arguments: impl FnOnce() -> PyResult<Bound<'py, PyAny>>,
) -> PyResult<Option<Bound<'py, PyAny>>> {
    if invited {
        return Ok(None);
    }
    let py = cache.py();
    let state = LoopState::of(&running(py)?)?;
    let has_room = match StoreCache::shared(cache)? {
        Shared::Redis(store) => LoopState::links(&state, py, store).has_room(),
        Shared::Memcached(store) => LoopState::links(&state, py, store).has_room(),
        Shared::File(_) => return Err(no_servers()),
    };
    if has_room {
        return Ok(None);
    }
    let room = start!(
        cache,
        false,
        |store, driver| {
            let room = driver.room(store.servers().count()).await;
            room.map(|()| true).map_err(|error| error.with_operation(operation))
        },
        |cache: &Bound<'_, StoreCache>, room: bool| python(cache.py(), room)
    )?;
    let function = py.import("pinyon._pinyon")?.getattr(format!("start_{operation}"))?;
    let after = py.import("pinyon.django.event_loop")?.getattr("after")?;
    after.call1((room, ignored(py)?, function, cache, arguments()?)).map(Some)
}

/// Starts `get`. What it returns is awaited, and then asked for its `result`.
#[pyfunction]
#[pyo3(signature = (cache, key, default=None, version=None))]
pub(crate) fn start_get<'py>(
    cache: &Bound<'py, StoreCache>,
    key: &Bound<'py, PyAny>,
    default: Option<Py<PyAny>>,
    version: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let made = Backend::make_key(cache.as_super(), key, version)?;
    made.text()?;
    let pending = start!(
        cache,
        None,
        |store, driver| {
            let found = store.get_over(&driver, made.checked()).await?;
            Ok(Some((made, Box::new(found) as Box<dyn Visit>)))
        },
        move |cache: &Bound<'_, StoreCache>, found: Option<(MadeKey, Box<dyn Visit>)>| {
            let mut value = Ok(None);
            if let Some((made, found)) = &found {
                found.visit(&mut |_, item| value = StoreCache::decode(cache, made.bytes(), item));
            }
            let value = value?;
            StoreCache::count(cache, u64::from(value.is_some()), u64::from(value.is_none()))?;
            Ok(value.map(Bound::unbind).or(default).unwrap_or_else(|| cache.py().None()))
        }
    )?;
    pending.cast::<PendingOperation>()?.get().to_be_asked();
    Ok(pending)
}

/// Starts `set`.
#[pyfunction]
#[pyo3(signature = (cache, key, value, timeout=TimeoutArgument::NotGiven, version=None, invited=false))]
pub(crate) fn start_set<'py>(
    cache: &Bound<'py, StoreCache>,
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    timeout: TimeoutArgument<'py>,
    version: Option<&Bound<'py, PyAny>>,
    invited: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let again = || (key, value, timeout.given(cache.py())?, version).into_bound_py_any(cache.py());
    let ignored = StoreCache::set_result(cache, false)?;
    if let Some(waiting) = unless_room(cache, ("set", invited), |_| Ok(ignored), again)? {
        return Ok(waiting);
    }
    let made = Backend::make_key(cache.as_super(), key, version)?;
    made.text()?;
    let expiry = StoreCache::expiry(cache, &timeout)?;
    let encoded = StoreCache::encode(cache, value)?.into_owned()?;
    start!(
        cache,
        false,
        |store, driver| store.set_over(&driver, made.checked(), encoded.item(), expiry).await,
        |cache: &Bound<'_, StoreCache>, stored| StoreCache::set_result(cache, stored)
    )
}

/// Starts `add`.
#[pyfunction]
#[pyo3(signature = (cache, key, value, timeout=TimeoutArgument::NotGiven, version=None, invited=false))]
pub(crate) fn start_add<'py>(
    cache: &Bound<'py, StoreCache>,
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    timeout: TimeoutArgument<'py>,
    version: Option<&Bound<'py, PyAny>>,
    invited: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let again = || (key, value, timeout.given(cache.py())?, version).into_bound_py_any(cache.py());
    if let Some(waiting) = unless_room(cache, ("add", invited), |py| python(py, false), again)? {
        return Ok(waiting);
    }
    let made = Backend::make_key(cache.as_super(), key, version)?;
    made.text()?;
    let expiry = StoreCache::expiry(cache, &timeout)?;
    let encoded = StoreCache::encode(cache, value)?.into_owned()?;
    start!(
        cache,
        false,
        |store, driver| store.add_over(&driver, made.checked(), encoded.item(), expiry).await,
        |cache: &Bound<'_, StoreCache>, stored: bool| python(cache.py(), stored)
    )
}

/// Starts `touch`.
#[pyfunction]
#[pyo3(signature = (cache, key, timeout=TimeoutArgument::NotGiven, version=None))]
pub(crate) fn start_touch<'py>(
    cache: &Bound<'py, StoreCache>,
    key: &Bound<'py, PyAny>,
    timeout: TimeoutArgument<'py>,
    version: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let made = Backend::make_key(cache.as_super(), key, version)?;
    made.text()?;
    let expiry = StoreCache::expiry(cache, &timeout)?;
    start!(
        cache,
        false,
        |store, driver| store.touch_over(&driver, made.checked(), expiry).await,
        |cache: &Bound<'_, StoreCache>, touched: bool| python(cache.py(), touched)
    )
}

/// Starts `delete`.
#[pyfunction]
#[pyo3(signature = (cache, key, version=None))]
pub(crate) fn start_delete<'py>(
    cache: &Bound<'py, StoreCache>,
    key: &Bound<'py, PyAny>,
    version: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let made = Backend::make_key(cache.as_super(), key, version)?;
    made.text()?;
    start!(
        cache,
        false,
        |store, driver| store.delete_over(&driver, made.checked()).await,
        |cache: &Bound<'_, StoreCache>, deleted: bool| python(cache.py(), deleted)
    )
}

/// Starts `has_key`.
#[pyfunction]
#[pyo3(signature = (cache, key, version=None))]
pub(crate) fn start_has_key<'py>(
    cache: &Bound<'py, StoreCache>,
    key: &Bound<'py, PyAny>,
    version: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let made = Backend::make_key(cache.as_super(), key, version)?;
    made.text()?;
    start!(
        cache,
        false,
        |store, driver| store.has_over(&driver, made.checked()).await,
        |cache: &Bound<'_, StoreCache>, found: bool| python(cache.py(), found)
    )
}

/// Starts `ttl`.
#[pyfunction]
#[pyo3(signature = (cache, key, version=None))]
pub(crate) fn start_ttl<'py>(
    cache: &Bound<'py, StoreCache>,
    key: &Bound<'py, PyAny>,
    version: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let made = Backend::make_key(cache.as_super(), key, version)?;
    made.text()?;
    start!(
        cache,
        pinyon::Ttl::Missing,
        |store, driver| store.ttl_over(&driver, made.checked()).await,
        |cache: &Bound<'_, StoreCache>, ttl| python(cache.py(), seconds_left(ttl))
    )
}

/// Starts `incr`.
#[pyfunction]
#[pyo3(signature = (cache, key, delta=1, version=None))]
pub(crate) fn start_incr<'py>(
    cache: &Bound<'py, StoreCache>,
    key: &Bound<'py, PyAny>,
    delta: i64,
    version: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let made = Backend::make_key(cache.as_super(), key, version)?;
    made.text()?;
    let key = key.clone().unbind();
    start!(
        cache,
        None,
        |store, driver| {
            let sum = store.incr_over(&driver, made.checked(), delta).await?;
            Ok(Some((made, sum)))
        },
        move |cache: &Bound<'_, StoreCache>, sum: Option<(MadeKey, _)>| match sum {
            Some((made, sum)) => StoreCache::sum(cache, &made, key.bind(cache.py()), sum).map(Bound::unbind),
            // Ignored: None, as with django-redis.
            None => Ok(cache.py().None()),
        }
    )
}

/// Starts `get_many`.
#[pyfunction]
#[pyo3(signature = (cache, keys, version=None))]
pub(crate) fn start_get_many<'py>(
    cache: &Bound<'py, StoreCache>,
    keys: &Bound<'py, PyAny>,
    version: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (names, made) = MadeKeys::make(cache.as_super(), keys, version)?;
    made.texts()?;
    let names: Vec<Py<PyAny>> = names.into_iter().map(Bound::unbind).collect();
    start!(
        cache,
        None,
        |store, driver| {
            let keys = made.checked();
            let found = store.get_many_over(&driver, &keys).await?;
            drop(keys);
            Ok(Some((made, Box::new(found) as Box<dyn Visit>)))
        },
        move |cache: &Bound<'_, StoreCache>, found: Option<(MadeKeys, Box<dyn Visit>)>| {
            let values = PyDict::new(cache.py());
            let mut outcome = Ok(());
            if let Some((made, found)) = &found {
                found.visit(&mut |index, item| {
                    if outcome.is_ok() {
                        let decoded = StoreCache::decode(cache, made.bytes(index), item);
                        outcome = decoded
                            .and_then(|value| value.map_or(Ok(()), |value| values.set_item(&names[index], value)));
                    }
                });
            }
            outcome?;
            let hits = values.len() as u64;
            StoreCache::count(cache, hits, (names.len() as u64).saturating_sub(hits))?;
            Ok(values.into_any().unbind())
        }
    )
}

/// Starts `set_many`.
#[pyfunction]
#[pyo3(signature = (cache, data, timeout=TimeoutArgument::NotGiven, version=None, invited=false))]
pub(crate) fn start_set_many<'py>(
    cache: &Bound<'py, StoreCache>,
    data: &Bound<'py, PyAny>,
    timeout: TimeoutArgument<'py>,
    version: Option<&Bound<'py, PyAny>>,
    invited: bool,
) -> PyResult<Bound<'py, PyAny>> {
    let again = || (data, timeout.given(cache.py())?, version).into_bound_py_any(cache.py());
    if let Some(waiting) =
        unless_room(cache, ("set_many", invited), |py| Ok(py.get_type::<PyList>().call1((data,))?.unbind()), again)?
    {
        return Ok(waiting);
    }
    let expiry = StoreCache::expiry(cache, &timeout)?;
    let data = items(data)?;
    let (mut names, mut values) = (Vec::with_capacity(data.len()), EncodedMany::with_capacity(data.len()));
    let mut made = MadeKeys::with_capacity(data.len());
    let codec = StoreCache::codec(cache)?;
    for (key, value) in data {
        made.push(cache.as_super(), &key, version)?;
        values.push(codec, &value)?;
        names.push(key.unbind());
    }
    made.texts()?;
    let values = values.into_owned()?;
    let all = (0..names.len()).collect();
    start!(
        cache,
        all,
        |store, driver| {
            let items: Vec<_> = made.checked().into_iter().zip(values.items()).collect();
            store.set_many_over(&driver, &items, expiry).await
        },
        move |cache: &Bound<'_, StoreCache>, failed: Vec<usize>| {
            let failed = failed.into_iter().map(|index| names[index].bind(cache.py()));
            Ok(PyList::new(cache.py(), failed.collect::<Vec<_>>())?.into_any().unbind())
        }
    )
}

/// Starts `delete_many`.
#[pyfunction]
#[pyo3(signature = (cache, keys, version=None))]
pub(crate) fn start_delete_many<'py>(
    cache: &Bound<'py, StoreCache>,
    keys: &Bound<'py, PyAny>,
    version: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let (_, made) = MadeKeys::make(cache.as_super(), keys, version)?;
    made.texts()?;
    start!(
        cache,
        (),
        |store, driver| {
            let keys = made.checked();
            store.delete_many_over(&driver, &keys).await
        },
        |cache: &Bound<'_, StoreCache>, ()| Ok(cache.py().None())
    )
}

/// Starts `clear`.
#[pyfunction]
pub(crate) fn start_clear<'py>(cache: &Bound<'py, StoreCache>) -> PyResult<Bound<'py, PyAny>> {
    start!(cache, (), |store, driver| store.clear_over(&driver).await, |cache: &Bound<'_, StoreCache>, ()| python(
        cache.py(),
        StoreCache::cleared(cache)?
    ))
}
