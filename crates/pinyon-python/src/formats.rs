//! The serializers and compressors of a Redis cache as Python sees them: Pinyon's own, and the classes of the site.

use crate::codec::{Compressor, Serializer};
use crate::errors::improperly_configured;
use pinyon::settings::{Format, SerializerKind};
use pinyon::{Error, ErrorKind};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyString, PyTuple, PyType};

/// One of Pinyon's own serializers.
pub(crate) fn built_in(py: Python<'_>, kind: SerializerKind) -> PyResult<Serializer> {
    let class = match kind {
        SerializerKind::Pickle => return Ok(Serializer { kind: Some(kind), object: None }),
        SerializerKind::Json => "JSONSerializer",
        SerializerKind::Msgpack => "MsgpackSerializer",
    };
    let object = py.import("pinyon.django.serializers")?.getattr(class)?.call0()?;
    Ok(Serializer { kind: Some(kind), object: Some(object.unbind()) })
}

/// Where the site's own classes are found: the cache and its OPTIONS.
#[derive(Clone, Copy)]
pub(crate) struct Site<'a, 'py> {
    pub alias: &'a str,
    pub params: &'a Bound<'py, PyDict>,
}

impl<'py> Site<'_, 'py> {
    /// What OPTIONS `serializer` or `SERIALIZER` names.
    pub(crate) fn serializers(self, formats: &[Format<SerializerKind>]) -> PyResult<Vec<Serializer>> {
        let made = formats.iter().enumerate().map(|(index, format)| match format {
            Format::BuiltIn(kind) => built_in(self.params.py(), *kind),
            Format::Python(path) => {
                let object = self.object(&["serializer", "SERIALIZER"], index, path, ["dumps", "loads"])?;
                Ok(Serializer { kind: None, object: Some(object) })
            }
        });
        made.collect()
    }

    /// What OPTIONS `COMPRESSOR` names.
    pub(crate) fn compressors(self, formats: &[Format<pinyon::settings::CompressorKind>]) -> PyResult<Vec<Compressor>> {
        let made = formats.iter().enumerate().map(|(index, format)| match format {
            Format::BuiltIn(kind) => Ok(Compressor::BuiltIn(*kind)),
            Format::Python(path) => {
                self.object(&["COMPRESSOR"], index, path, ["compress", "decompress"]).map(Compressor::Python)
            }
        });
        made.collect()
    }

    /// An object of the site: given as a class, its path or an object, alone or in a list.
    fn object(self, names: &[&str], index: usize, path: &str, methods: [&str; 2]) -> PyResult<Py<PyAny>> {
        let py = self.params.py();
        let options = self.options()?;
        let mut given = None;
        let mut option = names[0];
        for name in names {
            if let Some(found) = options.get_item(name)? {
                (given, option) = (Some(nth(found, index)?), name);
            }
        }
        let wrong = |reason: String, cause: Option<PyErr>| {
            let message = format!("OPTIONS '{option}' names {path}, {reason}");
            let raised = improperly_configured(py, &Error::new(ErrorKind::Config, message).with_alias(self.alias));
            raised.set_cause(py, cause);
            raised
        };
        // What is in no OPTIONS stood in a URL, and is a path.
        let mut given = given.unwrap_or_else(|| PyString::new(py, path).into_any());
        if given.is_instance_of::<PyString>() {
            let import = py.import("django.utils.module_loading")?.getattr("import_string")?;
            given = import.call1((given,)).map_err(|error| {
                if !error.is_instance_of::<PyException>(py) {
                    return error;
                }
                wrong(format!("which cannot be imported: {}", error.value(py)), Some(error))
            })?;
        }
        if given.is_instance_of::<PyType>() || given.is_callable() && !given.hasattr(methods[1])? {
            given = make(&given, &options)?;
        }
        if given.hasattr(methods[0])? && given.hasattr(methods[1])? {
            return Ok(given.unbind());
        }
        Err(wrong(format!("which must have the methods {}() and {}()", methods[0], methods[1]), None))
    }

    fn options(self) -> PyResult<Bound<'py, PyDict>> {
        let given = self.params.get_item("OPTIONS")?;
        let options = given.and_then(|given| given.cast_into::<PyDict>().ok());
        Ok(options.unwrap_or_else(|| PyDict::new(self.params.py())))
    }
}

/// The item of a list, or what is given alone.
fn nth(given: Bound<'_, PyAny>, index: usize) -> PyResult<Bound<'_, PyAny>> {
    let is_list = given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>();
    if is_list { given.get_item(index) } else { Ok(given) }
}

/// Calls a class: with `options`, if it takes them, as the classes for django-redis do.
fn make<'py>(class: &Bound<'py, PyAny>, options: &Bound<'py, PyDict>) -> PyResult<Bound<'py, PyAny>> {
    let py = class.py();
    let signature = py.import("inspect")?.getattr("signature")?.call1((class,));
    let takes_options = match signature {
        Ok(signature) => signature.getattr("parameters")?.contains("options")?,
        // A class without a signature, as one in C may be.
        Err(_) => false,
    };
    if !takes_options {
        return class.call0();
    }
    let arguments = PyDict::new(py);
    arguments.set_item("options", options)?;
    class.call((), Some(&arguments))
}
