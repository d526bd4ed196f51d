//! Runs the whole suite: `cargo xtask test`.

fn main() {}
