use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::Digest as _;

use crate::journal::{Entry, RawRecord};
use crate::name::Digest;
use crate::permit::Fence;

/// One entry with its place, its time and the fence that it was written under.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Counts the run's records from 1.
    pub seq: u64,
    /// When it was written.
    pub at: Timestamp,
    /// The fence that it was written under.
    pub fence: Fence,
    /// The entry.
    pub entry: Entry,
    /// The chained hash up to this record.
    pub hash: Digest,
}

#[derive(Serialize)]
struct BodyRef<'a> {
    at: Timestamp,
    fence: Fence,
    fact: &'a Entry,
}

/// The entry stays text until it is known that this version can read it.
#[derive(Deserialize)]
struct Body<'a> {
    at: Timestamp,
    fence: Fence,
    #[serde(borrow)]
    fact: &'a RawValue,
}

#[derive(Deserialize)]
struct Format {
    format: u64,
}

/// The hash of the record `seq` with text `body` that follows a record with hash `before`.
///
/// `SHA-256(before ‖ seq as 8 bytes big endian ‖ body)`, with 32 zero bytes before the first record: so a record can be
/// neither edited, nor moved, nor left out without changing every hash after it.
#[must_use]
pub fn chain(before: Option<Digest>, seq: u64, body: &str) -> Digest {
    let mut hasher = sha2::Sha256::new();
    hasher.update(before.map_or([0; 32], |digest| *digest.as_bytes()));
    hasher.update(seq.to_be_bytes());
    hasher.update(body.as_bytes());
    Digest::from_bytes(hasher.finalize().into())
}

/// Turns an entry into the record that follows `before`.
///
/// # Errors
/// Whatever the entry's values have no JSON form for.
pub fn write(
    before: Option<(u64, Digest)>,
    at: Timestamp,
    fence: Fence,
    entry: &Entry,
) -> Result<RawRecord, serde_json::Error> {
    let body = serde_json::to_string(&BodyRef { at, fence, fact: entry })?;
    let seq = before.map_or(0, |(seq, _)| seq) + 1;
    let hash = chain(before.map(|(_, hash)| hash), seq, &body);
    Ok(RawRecord { seq, body, hash })
}

/// Reads all records of a run and checks their numbering and their chain.
///
/// # Errors
/// [`Corrupt`] at the first record that is missing, moved, edited or not readable.
pub fn read(raw: &[RawRecord]) -> Result<Vec<Record>, Corrupt> {
    let mut before = None;
    let mut records = Vec::with_capacity(raw.len());
    for (raw, expected) in raw.iter().zip(1..) {
        let corrupt = |problem: String| Corrupt { seq: expected, problem };
        if raw.seq != expected {
            return Err(corrupt(format!("record {} stands in its place", raw.seq)));
        }
        if chain(before, raw.seq, &raw.body) != raw.hash {
            return Err(corrupt("its hash does not follow from the one before".to_owned()));
        }
        let body: Body<'_> = serde_json::from_str(&raw.body).map_err(|error| corrupt(error.to_string()))?;
        refuse_newer(body.fact.get()).map_err(&corrupt)?;
        let entry = serde_json::from_str(body.fact.get()).map_err(|error| corrupt(error.to_string()))?;
        records.push(Record { seq: raw.seq, at: body.at, fence: body.fence, entry, hash: raw.hash });
        before = Some(raw.hash);
    }
    Ok(records)
}

/// A newer format may have entries that this library cannot read: say so before stumbling over one.
fn refuse_newer(fact: &str) -> Result<(), String> {
    // Only the first entry of a run has one.
    let format = fact.contains("\"format\"").then(|| serde_json::from_str::<Format>(fact).ok()).flatten();
    match format {
        Some(Format { format }) if format > u64::from(super::FORMAT) => Err(format!(
            "`format`: {format} is newer than {}, the latest that this version reads",
            super::FORMAT
        )),
        _ => Ok(()),
    }
}

/// A journal whose records are not what was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("record {seq}: {problem}")]
pub struct Corrupt {
    /// The first record that is wrong.
    pub seq: u64,
    /// What is wrong with it.
    pub problem: String,
}
