//! Orders with their currency.

use std::collections::BTreeMap;

use super::row::{Row, quote, quote_optional};
use super::sqlite_file::Unreadable;

/// One order as JSON.
pub(crate) fn order(row: Row<'_>) -> Result<String, Unreadable> {
    Ok(format!(
        r#"{{"id":{},"customer":{},"amount_cents":{},"currency":{},"note":{}}}"#,
        row.integer("id")?,
        quote(row.text("customer")?),
        row.integer("amount_cents")?,
        quote(row.text("currency")?),
        quote_optional(row.optional_text("note")?),
    ))
}

/// What all orders come to, by currency, as JSON.
pub(crate) fn total<'a>(rows: impl Iterator<Item = Row<'a>>) -> Result<String, Unreadable> {
    let mut orders = 0_u64;
    let mut sums = BTreeMap::new();
    for row in rows {
        orders += 1;
        let sum = sums.entry(row.text("currency")?).or_insert(0_i64);
        let added = sum.checked_add(row.integer("amount_cents")?);
        *sum = added.ok_or_else(|| Unreadable::new("the total is too large"))?;
    }
    let totals: Vec<_> = sums.iter().map(|(currency, sum)| format!("{}:{sum}", quote(currency))).collect();
    Ok(format!(r#"{{"orders":{orders},"total_cents":{{{}}}}}"#, totals.join(",")))
}
