//! Suites that an implementor of a port or a store proves itself with: one macro each, one test for every promise.

pub mod journal;
