//! The CACHES dictionary.
pub mod model;
pub use model::*;
