//! Migration scripts as text: which files make a migration, which statements a script has, and what each of them does to a
//! running service.
//!
//! A support crate without ports: it reads text, and touches neither a database nor the file system.

mod conduct;
mod dialect;
mod lex;
mod split;
mod version;

pub use conduct::Conduct;
pub use dialect::Dialect;
pub use lex::{Token, TokenKind, Unfinished, lex};
pub use split::{Statement, split};
pub use version::Version;
