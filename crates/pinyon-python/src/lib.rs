//! The extension module `pinyon._pinyon`: Pinyon's Django face.
//!
//! The classes here come first in the class hierarchy of the backends in `pinyon.django`, so that a call goes straight into
//! Rust; Django's `BaseCache` behind them gives what is not written here.

#![allow(clippy::needless_pass_by_value)] // PyO3 hands arguments over by value

mod asynchronous;
mod backend;
mod class_version;
mod codec;
mod commands;
mod configuration;
mod driven_link;
mod errors;
mod event_loop;
mod formats;
mod hooks;
mod local;
mod local_value;
mod local_view;
mod made_key;
mod operation;
mod pending;
mod pickle;
mod places;
mod plain_caches;
mod redis_cache;
mod report;
mod store_cache;

use pyo3::prelude::*;

/// Pinyon's Rust core for Python. Use `pinyon.django`.
#[pymodule(gil_used = false)]
mod _pinyon {
    use pyo3::prelude::*;

    #[pymodule_export]
    use crate::asynchronous::{
        invite, start_add, start_clear, start_delete, start_delete_many, start_get, start_get_many, start_has_key,
        start_incr, start_set, start_set_many, start_touch, start_ttl,
    };
    #[pymodule_export]
    use crate::backend::Backend;
    #[pymodule_export]
    use crate::commands::{count_groups, decode, encode, is_divided, run_commands, start_commands, start_count_groups};
    #[pymodule_export]
    use crate::configuration::Configuration;
    #[pymodule_export]
    use crate::hooks::install;
    #[pymodule_export]
    use crate::local::LocMemCache;
    #[pymodule_export]
    use crate::local_view::StoreView;
    #[pymodule_export]
    use crate::pickle::{pickle_dumps, pickle_loads};
    #[pymodule_export]
    use crate::plain_caches::{FileBasedCache, MemcachedCache};
    #[pymodule_export]
    use crate::redis_cache::RedisCache;
    #[pymodule_export]
    use crate::store_cache::StoreCache;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        pinyon::net::set_interrupt_check(crate::run_signal_handlers);
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// Lets Python run its signal handlers while a thread waits for a server: Ctrl-C becomes a `KeyboardInterrupt`.
fn run_signal_handlers() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    #[allow(clippy::redundant_closure_for_method_calls)] // the method alone is not general over lifetimes
    Python::attach(|py| py.check_signals()).map_err(Into::into)
}
