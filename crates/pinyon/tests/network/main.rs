//! What holds for both network backends, whatever is at the other end: shown with servers that are only played. No server
//! has to be installed for this half.

mod answers;
mod connections;
#[path = "../servers/mod.rs"]
mod servers;
