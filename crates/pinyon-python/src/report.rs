//! How the servers of a cache are, for `manage.py pinyon`.

use pinyon::store::{ServerInfo, ServerReport};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

/// A dictionary a server, with the keys of `pinyon check --json`: times in milliseconds, sizes in bytes, None for what is
/// not known.
pub(crate) fn to_python(py: Python<'_>, reports: Vec<ServerReport>) -> PyResult<Bound<'_, PyList>> {
    let servers = PyList::empty(py);
    for ServerReport { server, result } in reports {
        let report = PyDict::new(py);
        report.set_item("server", server)?;
        report.set_item("ok", result.is_ok())?;
        match result {
            Ok(info) => {
                let ServerInfo { round_trip, version, memory_used, memory_limit, entries } = info;
                report.set_item("round_trip_ms", round_trip.as_secs_f64() * 1000.0)?;
                report.set_item("version", version)?;
                report.set_item("memory_used", memory_used)?;
                report.set_item("memory_limit", memory_limit)?;
                report.set_item("entries", entries)?;
                report.set_item("error", py.None())?;
            }
            Err(error) => {
                let why = PyDict::new(py);
                why.set_item("kind", format!("{:?}", error.kind()))?;
                why.set_item("message", error.message())?;
                why.set_item("hint", error.hint())?;
                report.set_item("error", why)?;
            }
        }
        servers.append(report)?;
    }
    Ok(servers)
}
