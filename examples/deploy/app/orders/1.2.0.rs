//! Orders with their currency and the points that their customers get.
//!
//! An amount is taken for a number that is never negative. Staging has no refunds, so nothing there shows that this is
//! wrong: it is the mistake that the sample deployment has to find and take back.

use std::collections::BTreeMap;

use super::row::{Row, quote, quote_optional};
use super::sqlite_file::Unreadable;

/// One order as JSON.
pub(crate) fn order(row: Row<'_>) -> Result<String, Unreadable> {
    Ok(format!(
        r#"{{"id":{},"customer":{},"amount_cents":{},"currency":{},"points":{},"note":{}}}"#,
        row.integer("id")?,
        quote(row.text("customer")?),
        amount_cents(row)?,
        quote(row.text("currency")?),
        row.integer("points")?,
        quote_optional(row.optional_text("note")?),
    ))
}

/// What all orders come to, by currency, as JSON.
pub(crate) fn total<'a>(rows: impl Iterator<Item = Row<'a>>) -> Result<String, Unreadable> {
    let mut orders = 0_u64;
    let mut sums = BTreeMap::new();
    for row in rows {
        orders += 1;
        let sum = sums.entry(row.text("currency")?).or_insert(0_u64);
        let added = sum.checked_add(amount_cents(row)?);
        *sum = added.ok_or_else(|| Unreadable::new("the total is too large"))?;
    }
    let totals: Vec<_> = sums.iter().map(|(currency, sum)| format!("{}:{sum}", quote(currency))).collect();
    Ok(format!(r#"{{"orders":{orders},"total_cents":{{{}}}}}"#, totals.join(",")))
}

fn amount_cents(row: Row<'_>) -> Result<u64, Unreadable> {
    let amount = row.integer("amount_cents")?;
    u64::try_from(amount).map_err(|_| Unreadable::new(format!("{amount} is no amount")))
}
