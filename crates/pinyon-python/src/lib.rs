//! The extension module `pinyon._pinyon`.
use pyo3::prelude::*;

/// Pinyon's Rust core for Python.
#[pymodule]
mod _pinyon {}
