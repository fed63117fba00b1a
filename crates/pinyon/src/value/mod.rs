//! Values: how they become bytes, and what the bytes of others mean.
//!
//! A [`Codec`] joins what a cache needs: the serializers and compressors of its settings, and the layout of its backend.

pub mod codec;
pub mod compressor;
pub mod detect;
pub mod integer;
pub mod json;
pub mod msgpack;
pub mod pickle;
pub mod plain;
mod serde_error;
mod show;
pub mod stored_integer;
#[cfg(test)]
mod tests;

pub use codec::{Codec, Encoded, Layout};
pub use pickle::{PythonObject, PythonValue};
