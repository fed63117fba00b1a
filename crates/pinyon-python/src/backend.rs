//! What all backends have in common: the attributes of `BaseCache` that decide keys and timeouts, kept in Rust.
//!
//! Django reads these attributes anew with every call, and tests and sites change them at run time. Here they are
//! properties of the Rust class, which stands first in the class hierarchy: whoever sets one changes the Rust state, and no
//! call has to look anything up. What a subclass overrides is called, as Django would.

use crate::class_version::class_version;
use crate::configuration::Configuration;
use crate::hooks::hooks;
use crate::made_key::{self, KeyBuffer, MadeKey};
use pinyon::{Expiry, Timeout};
use pyo3::exceptions::{PyAttributeError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A method that decides keys is not Django's.
const OVERRIDES_KEYS: u8 = 1;
/// `get_backend_timeout` is not Django's.
const OVERRIDES_TIMEOUT: u8 = 2;
/// `get`, `set` or `delete` are not Pinyon's, so that bulk methods have to call them.
const OVERRIDES_SINGLE: u8 = 4;

/// The base of all backends.
#[pyclass(subclass, frozen, module = "pinyon._pinyon")]
#[derive(Debug)]
pub(crate) struct Backend {
    state: Mutex<State>,
    /// A method was replaced on this very object.
    patched: AtomicBool,
}

/// What classes override, `version << 8 | overrides` at the place of the version: no two states of classes have one version.
static CLASSES: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

fn of_class(version: u32) -> &'static AtomicU64 {
    &CLASSES[version as usize % CLASSES.len()]
}

/// The attributes of `BaseCache` that are kept here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Attribute {
    DefaultTimeout,
    KeyPrefix,
    Version,
    KeyFunc,
    MaxEntries,
    CullFrequency,
}

#[derive(Debug)]
pub(crate) struct State {
    /// By [`Attribute`], as they were set; none before that, and after a `del` (which `mock.patch` uses).
    attributes: [Option<Py<PyAny>>; 6],
    /// What follows from `default_timeout`.
    expiry: Expiry,
    /// `prefix:version:` for the default version and the default key function.
    head: Option<Box<[u8]>>,
    max_entries: i64,
    cull_frequency: i64,
}

/// A `timeout` argument as it was given; nothing given is Django's `DEFAULT_TIMEOUT`.
#[derive(Clone)]
pub(crate) enum TimeoutArgument<'py> {
    NotGiven,
    Given(Bound<'py, PyAny>),
}

impl<'py> TimeoutArgument<'py> {
    /// The argument to give to another call.
    pub(crate) fn given(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Self::NotGiven => Ok(hooks(py)?.default_timeout.bind(py).clone()),
            Self::Given(timeout) => Ok(timeout.clone()),
        }
    }
}

impl<'py> FromPyObject<'_, 'py> for TimeoutArgument<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        Ok(Self::Given(object.to_owned()))
    }
}

pub(crate) fn type_name(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "?".to_owned(), |name| name.to_string())
}

impl Backend {
    /// An object before its `__init__`.
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                attributes: [const { None }; 6],
                expiry: Expiry::Never,
                head: None,
                max_entries: 300,
                cull_frequency: 3,
            }),
            patched: AtomicBool::new(false),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn limits(&self) -> (i64, i64) {
        let state = self.state();
        (state.max_entries, state.cull_frequency)
    }

    /// The key that the server sees, validated as the class says.
    #[expect(clippy::inline_always, reason = "a key that is returned would be copied: 5 % of a hit in memory")]
    #[inline(always)]
    pub(crate) fn make_key(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<MadeKey> {
        let mut made = MadeKey::new();
        Self::write_key(slf, key, version, &mut made)?;
        Ok(made)
    }

    /// Appends the key that the server sees, validated as the class says.
    pub(crate) fn write_key(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
        out: &mut impl KeyBuffer,
    ) -> PyResult<()> {
        let py = slf.py();
        if Self::overrides(slf)? & OVERRIDES_KEYS != 0 {
            let keywords = PyDict::new(py);
            keywords.set_item(intern!(py, "version"), version)?;
            let made = slf.call_method(intern!(py, "make_and_validate_key"), (key,), Some(&keywords))?;
            out.append(MadeKey::of(&made)?.bytes());
            return Ok(());
        }
        let start = out.length();
        if !slf.get().write_fast_key(key, version, out) {
            out.append(Self::slow_key(slf, key, version)?.bytes());
        }
        let made = out.since(start);
        if is_portable(made) {
            return Ok(());
        }
        // Django's own words, as a warning or an error: that is for the class to say.
        let text = made_key::to_python(py, made)?;
        slf.call_method1(intern!(py, "validate_key"), (text,)).map(drop)
    }

    /// The default key function on a `str` with the default version. False if that is not what is asked for.
    fn write_fast_key(
        &self,
        key: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
        out: &mut impl KeyBuffer,
    ) -> bool {
        let Ok(Ok(key)) = key.cast_exact::<PyString>().map(|key| key.to_str()) else { return false };
        let state = self.state();
        let Some(head) = state.head.as_deref().filter(|_| version.is_none()) else { return false };
        out.append(head);
        out.append(key.as_bytes());
        true
    }

    fn slow_key(
        slf: &Bound<'_, Self>,
        key: &Bound<'_, PyAny>,
        version: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<MadeKey> {
        let py = slf.py();
        let (function, prefix, default_version) = {
            let state = slf.get().state();
            let attribute = |attribute| state.get(py, attribute);
            (attribute(Attribute::KeyFunc), attribute(Attribute::KeyPrefix), attribute(Attribute::Version))
        };
        let is_default = function.is(&hooks(py)?.default_key_func);
        let version = version.unwrap_or_else(|| default_version.bind(py));
        if is_default {
            let mut made = head(prefix.bind(py), version)?;
            made.extend_from_slice(MadeKey::of(key.str()?.as_any())?.bytes());
            return Ok(MadeKey::from_bytes(&made));
        }
        MadeKey::of(&function.bind(py).call1((key, prefix, version))?)
    }

    /// What the class and the object have overridden.
    fn overrides(slf: &Bound<'_, Self>) -> PyResult<u8> {
        let this = slf.get();
        if this.patched.load(Ordering::Relaxed) {
            return Ok(OVERRIDES_KEYS | OVERRIDES_TIMEOUT | OVERRIDES_SINGLE);
        }
        let class = slf.get_type();
        if let Some(version) = class_version(&class) {
            let known = of_class(version).load(Ordering::Relaxed);
            if u64::from(version) == known >> 8 {
                return Ok(u8::try_from(known & 0xff).unwrap_or(0));
            }
        }
        let mut overrides = 0;
        for (name, accepted) in &hooks(slf.py())?.stand_ins {
            let found = class.getattr(name.as_str())?;
            if !accepted.iter().any(|function| function.is(&found)) {
                overrides |= match name.as_str() {
                    "get_backend_timeout" => OVERRIDES_TIMEOUT,
                    "get" | "set" | "delete" => OVERRIDES_SINGLE,
                    _ => OVERRIDES_KEYS,
                };
            }
        }
        // Looked up just now, so the class has a number again.
        if let Some(version) = class_version(&class) {
            of_class(version).store(u64::from(version) << 8 | u64::from(overrides), Ordering::Relaxed);
        }
        Ok(overrides)
    }

    /// True if bulk methods have to go through `get`, `set` and `delete`, because somebody has overridden one of them.
    pub(crate) fn overrides_single(slf: &Bound<'_, Self>) -> PyResult<bool> {
        Ok(Self::overrides(slf)? & OVERRIDES_SINGLE != 0)
    }

    /// What a timeout means. `read_overridden` understands what an overridden `get_backend_timeout` returned, which is in the
    /// form of the backend that it overrides.
    pub(crate) fn expiry(
        slf: &Bound<'_, Self>,
        timeout: &TimeoutArgument<'_>,
        read_overridden: fn(Option<f64>) -> Expiry,
    ) -> PyResult<Expiry> {
        let py = slf.py();
        if Self::overrides(slf)? & OVERRIDES_TIMEOUT != 0 {
            let name = intern!(py, "get_backend_timeout");
            let given = match timeout {
                TimeoutArgument::NotGiven => slf.call_method0(name)?,
                TimeoutArgument::Given(timeout) => slf.call_method1(name, (timeout,))?,
            };
            return Ok(read_overridden(given.extract()?));
        }
        match timeout {
            TimeoutArgument::NotGiven => Ok(slf.get().state().expiry),
            TimeoutArgument::Given(timeout) if timeout.is(&hooks(py)?.default_timeout) => Ok(slf.get().state().expiry),
            TimeoutArgument::Given(timeout) => to_expiry(timeout),
        }
    }
}

/// As `key::is_portable`, by bytes: what is too long for Memcached is for the class to judge.
fn is_portable(key: &[u8]) -> bool {
    key.len() <= pinyon::key::MAX_KEY_LENGTH && !pinyon::key::has_refused(key)
}

fn head(prefix: &Bound<'_, PyAny>, version: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    let mut head = MadeKey::of(prefix.str()?.as_any())?.bytes().to_vec();
    head.push(b':');
    head.extend_from_slice(MadeKey::of(version.str()?.as_any())?.bytes());
    head.push(b':');
    Ok(head)
}

fn to_expiry(timeout: &Bound<'_, PyAny>) -> PyResult<Expiry> {
    if timeout.is_none() {
        return Ok(Expiry::Never);
    }
    let seconds = timeout.extract::<f64>().map_err(|_| {
        PyTypeError::new_err(format!("timeout must be a number of seconds or None, not {}", type_name(timeout)))
    })?;
    Ok(Timeout::secs_f64(seconds).resolve(Expiry::Never))
}

#[pymethods]
impl Backend {
    #[new]
    #[pyo3(signature = (*_args, **_kwargs))]
    fn before_init(_args: &Bound<'_, PyTuple>, _kwargs: Option<&Bound<'_, PyDict>>) -> Self {
        Self::new()
    }

    /// The key that is stored, as `make_and_validate_key` makes it.
    #[pyo3(signature = (key, version = None))]
    fn _made_key<'py>(
        slf: &Bound<'py, Self>,
        key: &Bound<'py, PyAny>,
        version: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyString>> {
        Self::make_key(slf, key, version)?.to_python(slf.py())
    }

    #[getter(default_timeout)]
    fn default_timeout(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.attribute(py, Attribute::DefaultTimeout)
    }

    #[setter(default_timeout)]
    fn set_default_timeout(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.set_attribute(Attribute::DefaultTimeout, value)
    }

    #[deleter(default_timeout)]
    fn delete_default_timeout(&self, py: Python<'_>) -> PyResult<()> {
        self.delete_attribute(py, Attribute::DefaultTimeout)
    }

    #[getter(key_prefix)]
    fn key_prefix(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.attribute(py, Attribute::KeyPrefix)
    }

    #[setter(key_prefix)]
    fn set_key_prefix(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.set_attribute(Attribute::KeyPrefix, value)
    }

    #[deleter(key_prefix)]
    fn delete_key_prefix(&self, py: Python<'_>) -> PyResult<()> {
        self.delete_attribute(py, Attribute::KeyPrefix)
    }

    #[getter(version)]
    fn version(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.attribute(py, Attribute::Version)
    }

    #[setter(version)]
    fn set_version(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.set_attribute(Attribute::Version, value)
    }

    #[deleter(version)]
    fn delete_version(&self, py: Python<'_>) -> PyResult<()> {
        self.delete_attribute(py, Attribute::Version)
    }

    #[getter(key_func)]
    fn key_func(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.attribute(py, Attribute::KeyFunc)
    }

    #[setter(key_func)]
    fn set_key_func(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.set_attribute(Attribute::KeyFunc, value)
    }

    #[deleter(key_func)]
    fn delete_key_func(&self, py: Python<'_>) -> PyResult<()> {
        self.delete_attribute(py, Attribute::KeyFunc)
    }

    #[getter(_max_entries)]
    fn max_entries(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.attribute(py, Attribute::MaxEntries)
    }

    #[setter(_max_entries)]
    fn set_max_entries(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.set_attribute(Attribute::MaxEntries, value)
    }

    #[deleter(_max_entries)]
    fn delete_max_entries(&self, py: Python<'_>) -> PyResult<()> {
        self.delete_attribute(py, Attribute::MaxEntries)
    }

    #[getter(_cull_frequency)]
    fn cull_frequency(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        self.attribute(py, Attribute::CullFrequency)
    }

    #[setter(_cull_frequency)]
    fn set_cull_frequency(&self, value: Bound<'_, PyAny>) -> PyResult<()> {
        self.set_attribute(Attribute::CullFrequency, value)
    }

    #[deleter(_cull_frequency)]
    fn delete_cull_frequency(&self, py: Python<'_>) -> PyResult<()> {
        self.delete_attribute(py, Attribute::CullFrequency)
    }

    /// Keeps these attributes for the next object of the same settings, if the key function is Django's: another one may be
    /// found anew for each object.
    fn _remember(&self, py: Python<'_>, configuration: &Configuration) -> PyResult<()> {
        let attributes = self.state().clone_ref(py);
        if attributes.get(py, Attribute::KeyFunc).is(&hooks(py)?.default_key_func) {
            // Another thread may have been faster.
            let _ = configuration.attributes.set(attributes);
        }
        Ok(())
    }

    /// Sets the attributes that were kept; false if there are none.
    fn _recall(&self, py: Python<'_>, configuration: &Configuration) -> bool {
        let Some(attributes) = configuration.attributes.get() else { return false };
        let previous = std::mem::replace(&mut *self.state(), attributes.clone_ref(py));
        drop(previous);
        true
    }

    /// Called when an attribute of the object itself hides a method that Rust stands in for.
    fn _note_patched(&self) {
        self.patched.store(true, Ordering::Relaxed);
    }
}

impl State {
    fn clone_ref(&self, py: Python<'_>) -> Self {
        Self {
            attributes: self.attributes.each_ref().map(|value| value.as_ref().map(|value| value.clone_ref(py))),
            head: self.head.clone(),
            ..*self
        }
    }

    fn get(&self, py: Python<'_>, attribute: Attribute) -> Py<PyAny> {
        self.attributes[attribute as usize].as_ref().map_or_else(|| py.None(), |value| value.clone_ref(py))
    }
}

impl Backend {
    fn attribute(&self, py: Python<'_>, attribute: Attribute) -> PyResult<Py<PyAny>> {
        let value = self.state().attributes[attribute as usize].as_ref().map(|value| value.clone_ref(py));
        value.ok_or_else(|| PyAttributeError::new_err(format!("{attribute:?} is not set on this cache")))
    }

    fn delete_attribute(&self, py: Python<'_>, attribute: Attribute) -> PyResult<()> {
        self.attribute(py, attribute)?;
        let previous = self.state().attributes[attribute as usize].take();
        drop(previous);
        Ok(())
    }

    /// Sets an attribute, and what follows from it.
    fn set_attribute(&self, attribute: Attribute, value: Bound<'_, PyAny>) -> PyResult<()> {
        let py = value.py();
        match attribute {
            Attribute::DefaultTimeout => {
                let expiry = to_expiry(&value)?;
                self.state().expiry = expiry;
            }
            Attribute::MaxEntries => {
                let number = value.extract()?;
                self.state().max_entries = number;
            }
            Attribute::CullFrequency => {
                let number = value.extract()?;
                self.state().cull_frequency = number;
            }
            Attribute::KeyPrefix | Attribute::Version | Attribute::KeyFunc => {}
        }
        let mut state = self.state();
        let previous = state.attributes[attribute as usize].replace(value.unbind());
        let (prefix, version) = (state.get(py, Attribute::KeyPrefix), state.get(py, Attribute::Version));
        let is_default = state.get(py, Attribute::KeyFunc).is(&hooks(py)?.default_key_func);
        drop(state);
        drop(previous);
        // str() of a version can be anybody's code: not under the lock.
        let head = if is_default { Some(head(prefix.bind(py), version.bind(py))?.into_boxed_slice()) } else { None };
        self.state().head = head;
        Ok(())
    }
}
