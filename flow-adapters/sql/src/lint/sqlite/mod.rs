//! SQLite: one write lock for all, so that what counts is how much is read and written under it
//! (<https://www.sqlite.org/lang_altertable.html>).

mod statement;

pub(super) use statement::judge;
