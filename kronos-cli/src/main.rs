//! The kronos command.
fn main() {}
