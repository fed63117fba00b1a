//! Has a class changed since we looked at it?
//!
//! CPython numbers the states of a class: whenever an attribute of a class or of one of its bases changes (also through
//! `mock.patch`), `tp_version_tag` becomes 0 until the next look-up, and then a number that no class has had before. So one
//! comparison tells whether a method has been overridden since the last call, where looking the method up costs tens of
//! nanoseconds a call.
//!
//! `unsafe`: reading two fields of a live type object. The object is alive because a `Bound` holds it; the fields are plain
//! integers that exist in every version which PyO3's full API supports, and on free-threaded builds a torn read is not
//! possible for an aligned 32-bit integer (a stale one means what it means without free threading: the change came after
//! the call). Checked by `python/tests/test_contract.py`: overriding and patching classes, bases and instances.
#![allow(unsafe_code)]

use pyo3::prelude::*;
use pyo3::types::PyType;

/// The number of the state that the class is in; `None` if it has none at the moment.
pub(crate) fn class_version(class: &Bound<'_, PyType>) -> Option<u32> {
    let class = class.as_type_ptr();
    // SAFETY: see the head of the file.
    let tag = unsafe { std::ptr::addr_of!((*class).tp_version_tag).read_volatile() };
    (tag != 0 && is_valid(class)).then_some(tag)
}

/// Up to Python 3.12 the number counts only while a flag is set.
#[cfg(not(Py_3_13))]
fn is_valid(class: *mut pyo3::ffi::PyTypeObject) -> bool {
    const VALID_VERSION_TAG: std::ffi::c_ulong = 1 << 19;
    // SAFETY: see the head of the file.
    unsafe { std::ptr::addr_of!((*class).tp_flags).read_volatile() & VALID_VERSION_TAG != 0 }
}

#[cfg(Py_3_13)]
fn is_valid(_class: *mut pyo3::ffi::PyTypeObject) -> bool {
    true
}
