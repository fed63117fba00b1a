//! The program `pinyon`.
fn main() {}
