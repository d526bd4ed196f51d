//! A row's values by the names of their columns, and what answers are made of.

use std::fmt::Write as _;

use super::sqlite_file::{Table, Unreadable, Value};

/// One row of a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    columns: &'a [String],
    values: &'a [Value],
}

impl<'a> Row<'a> {
    /// All rows of `table`.
    pub(crate) fn all(table: &'a Table) -> impl Iterator<Item = Self> {
        table.rows.iter().map(|values| Self { columns: &table.columns, values })
    }

    /// The row of `table` whose `id` is the given one.
    pub(crate) fn find(table: &'a Table, id: i64) -> Option<Self> {
        Self::all(table).find(|row| row.integer("id") == Ok(id))
    }

    /// The integer in `column`.
    pub(crate) fn integer(self, column: &str) -> Result<i64, Unreadable> {
        match self.value(column)? {
            Value::Integer(integer) => Ok(*integer),
            _ => Err(Unreadable::new(format!("`{column}` is not an integer"))),
        }
    }

    /// The text in `column`.
    pub(crate) fn text(self, column: &str) -> Result<&'a str, Unreadable> {
        match self.value(column)? {
            Value::Text(text) => Ok(text),
            _ => Err(Unreadable::new(format!("`{column}` is not a text"))),
        }
    }

    /// The text in `column`, if there is one.
    pub(crate) fn optional_text(self, column: &str) -> Result<Option<&'a str>, Unreadable> {
        if *self.value(column)? == Value::Null { Ok(None) } else { self.text(column).map(Some) }
    }

    fn value(self, column: &str) -> Result<&'a Value, Unreadable> {
        let found = self.columns.iter().zip(self.values).find(|(name, _)| *name == column);
        found.map(|(_, value)| value).ok_or_else(|| Unreadable::new(format!("there is no column `{column}`")))
    }
}

/// A text as JSON.
pub(crate) fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            // Writing to a string cannot fail.
            _ if u32::from(character) < 0x20 => _ = write!(quoted, "\\u{:04x}", u32::from(character)),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

/// A text that may be missing as JSON.
pub(crate) fn quote_optional(text: Option<&str>) -> String {
    text.map_or_else(|| "null".to_owned(), quote)
}
