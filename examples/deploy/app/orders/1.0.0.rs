//! Orders in one currency.

use super::row::{Row, quote, quote_optional};
use super::sqlite_file::Unreadable;

/// One order as JSON.
pub(crate) fn order(row: Row<'_>) -> Result<String, Unreadable> {
    Ok(format!(
        r#"{{"id":{},"customer":{},"amount_cents":{},"note":{}}}"#,
        row.integer("id")?,
        quote(row.text("customer")?),
        row.integer("amount_cents")?,
        quote_optional(row.optional_text("note")?),
    ))
}

/// What all orders come to, as JSON.
pub(crate) fn total<'a>(rows: impl Iterator<Item = Row<'a>>) -> Result<String, Unreadable> {
    let (mut orders, mut sum) = (0_u64, 0_i64);
    for row in rows {
        orders += 1;
        let added = sum.checked_add(row.integer("amount_cents")?);
        sum = added.ok_or_else(|| Unreadable::new("the total is too large"))?;
    }
    Ok(format!(r#"{{"orders":{orders},"total_cents":{sum}}}"#))
}
