//! Migration scripts as text: which files make a migration, which statements a script has, and what each of them does to a
//! running service.
//!
//! A support crate without ports: it reads text, and touches neither a database nor the file system.

mod dialect;
mod lex;
mod lint;
mod split;

pub use dialect::Dialect;
pub use lex::{Token, TokenKind, Unfinished, lex};
pub use lint::{
    Advice, Algorithm, Catalogue, Impact, LockMode, Prediction, Product, Rule, Server, UnknownServer, lint,
};
pub use split::{Statement, split};
