//! A digest over a table's rows that does not depend on their order.

use flow_core::Digest;
use sha2::{Digest as _, Sha256};

/// One value with its exact type.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Value<'a> {
    Null,
    Integer(i64),
    Real(f64),
    Text(&'a [u8]),
    Blob(&'a [u8]),
}

/// Adds up the SHA-256 digests of rows modulo 2^256, so that equal rows count as often as they stand there and
/// no order is relied on: `VACUUM` may renumber the rows of a table without an integer key.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowSum {
    /// Little-endian limbs.
    sum: [u64; 4],
    rows: u64,
}

impl RowSum {
    /// Adds a row.
    pub(crate) fn add<'a>(&mut self, values: impl IntoIterator<Item = Value<'a>>) {
        let mut hasher = Sha256::new();
        for value in values {
            let (tag, number) = match value {
                Value::Null => (0_u8, [0; 8]),
                Value::Integer(integer) => (1, integer.to_le_bytes()),
                Value::Real(real) => (2, real.to_bits().to_le_bytes()),
                Value::Text(text) => (3, (text.len() as u64).to_le_bytes()),
                Value::Blob(blob) => (4, (blob.len() as u64).to_le_bytes()),
            };
            hasher.update([tag]);
            hasher.update(number);
            if let Value::Text(bytes) | Value::Blob(bytes) = value {
                hasher.update(bytes);
            }
        }
        let digest: [u8; 32] = hasher.finalize().into();
        let mut carry = false;
        for (limb, bytes) in self.sum.iter_mut().zip(digest.as_chunks::<8>().0) {
            let (partial, over) = limb.overflowing_add(u64::from_le_bytes(*bytes));
            let (total, over_again) = partial.overflowing_add(u64::from(carry));
            *limb = total;
            carry = over || over_again;
        }
        self.rows += 1;
    }

    pub(crate) const fn rows(&self) -> u64 {
        self.rows
    }

    /// The digest over the columns' names, the number of rows and their sum.
    pub(crate) fn digest(&self, columns: &[String]) -> Digest {
        let mut bytes = Vec::new();
        for column in columns {
            bytes.extend_from_slice(&(column.len() as u64).to_le_bytes());
            bytes.extend_from_slice(column.as_bytes());
        }
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend(self.sum.iter().flat_map(|limb| limb.to_le_bytes()));
        Digest::of(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(rows: &[&[Value<'_>]]) -> Digest {
        let mut sum = RowSum::default();
        rows.iter().for_each(|row| sum.add(row.iter().copied()));
        sum.digest(&["a".to_owned()])
    }

    #[test]
    fn the_order_of_rows_does_not_matter_and_their_number_does() {
        let (one, two): (&[_], &[_]) = (&[Value::Integer(1)], &[Value::Integer(2)]);
        assert_eq!(digest(&[one, two]), digest(&[two, one]));
        assert_ne!(digest(&[one]), digest(&[one, one]));
        assert_ne!(digest(&[one, one]), digest(&[two, two]));
    }

    #[test]
    fn a_value_of_another_type_or_place_is_another_row() {
        let distinct: [&[Value<'_>]; 9] = [
            &[],
            &[Value::Null],
            &[Value::Integer(1)],
            &[Value::Real(1.0)],
            &[Value::Text(b"1")],
            &[Value::Blob(b"1")],
            &[Value::Text(b"1"), Value::Null],
            &[Value::Null, Value::Text(b"1")],
            &[Value::Text(b"1\0")],
        ];
        let digests: std::collections::BTreeSet<_> = distinct.iter().map(|row| digest(&[row])).collect();
        assert_eq!(digests.len(), distinct.len());
        assert_ne!(digest(&[&[Value::Real(0.0)]]), digest(&[&[Value::Real(-0.0)]]));
    }
}
