use std::collections::BTreeSet;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::super::request::Request;
use super::super::server::Reply;
use super::super::world::World;
use super::error::CosError;
use super::multipart::time;
use super::storage::{Bucket, Stored};
use super::xml::Document;

/// The most keys on one page.
const PAGE: usize = 1000;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

/// What is asked for.
struct Asked {
    prefix: String,
    marker: String,
    delimiter: String,
    most: usize,
    encodes: bool,
}

impl Asked {
    fn of(request: &Request, marker: &str) -> Result<Self, CosError> {
        let text = |name: &str| request.parameter(name).unwrap_or_default();
        Ok(Self {
            prefix: text("prefix"),
            marker: text(marker),
            delimiter: text("delimiter"),
            most: most(request, "max-keys")?,
            encodes: text("encoding-type") == "url",
        })
    }

    fn written(&self, text: &str) -> String {
        written(text, self.encodes)
    }

    /// What a key shows as: itself, or the prefix that it shares up to the delimiter.
    fn shown(&self, key: &str) -> Option<Shown> {
        let rest = key.strip_prefix(&self.prefix)?;
        let cut = if self.delimiter.is_empty() { None } else { rest.find(&self.delimiter) };
        Some(match cut.and_then(|at| key.get(..self.prefix.len() + at + self.delimiter.len())) {
            Some(prefix) => Shown::Prefix(prefix.to_owned()),
            None => Shown::Key(key.to_owned()),
        })
    }
}

/// How many rows a page has.
pub(super) fn most(request: &Request, name: &str) -> Result<usize, CosError> {
    match request.parameter(name) {
        None => Ok(PAGE),
        Some(number) => number
            .parse::<usize>()
            .map(|number| number.min(PAGE))
            .map_err(|_| CosError::new("InvalidArgument", format!("`{name}` is `{number}`, no number"))),
    }
}

/// A key as a list tells it.
pub(super) fn written(text: &str, encodes: bool) -> String {
    if encodes { utf8_percent_encode(text, ENCODED).to_string() } else { text.to_owned() }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Shown {
    Key(String),
    Prefix(String),
}

impl Shown {
    fn text(&self) -> &str {
        match self {
            Self::Key(text) | Self::Prefix(text) => text,
        }
    }
}

/// The page behind the marker, and whether there is more.
fn page<'a>(asked: &Asked, keys: impl Iterator<Item = &'a String>) -> (Vec<Shown>, bool) {
    let shown: BTreeSet<(String, Shown)> =
        keys.filter_map(|key| asked.shown(key)).map(|shown| (shown.text().to_owned(), shown)).collect();
    let mut behind: Vec<_> = shown
        .into_iter()
        .map(|(_, shown)| shown)
        .filter(|shown| shown.text() > asked.marker.as_str())
        .collect();
    let more = behind.len() > asked.most;
    behind.truncate(asked.most);
    (behind, more)
}

pub(super) fn list(world: &mut World, request: &Request, name: &str) -> Result<Reply, CosError> {
    let appid = world.appid.clone();
    let bucket = world.storage.bucket(name)?;
    let asked = Asked::of(request, "marker")?;
    let present = bucket.objects.keys().filter(|key| bucket.newest(key).is_some());
    let (shown, more) = page(&asked, present);
    let mut told = begin("ListBucketResult", name, &asked, more);
    told.value("Marker", asked.written(&asked.marker));
    if let Some(last) = shown.last().filter(|_| more) {
        told.value("NextMarker", asked.written(last.text()));
    }
    for one in &shown {
        if let Shown::Key(key) = one {
            let stored = bucket.objects.get(key).and_then(|versions| versions.last());
            if let Some(stored) = stored {
                told.within("Contents", |row| describe(row, &asked, key, stored, &appid));
            }
        }
    }
    prefixes(&mut told, &asked, &shown);
    Ok(Reply::new(200, "application/xml", told.end(), "ok"))
}

pub(super) fn list_versions(world: &mut World, request: &Request, name: &str) -> Result<Reply, CosError> {
    let appid = world.appid.clone();
    let bucket = world.storage.bucket(name)?;
    let asked = Asked::of(request, "key-marker")?;
    let (shown, more) = page(&asked, bucket.objects.keys());
    let mut told = begin("ListVersionsResult", name, &asked, more);
    told.value("KeyMarker", asked.written(&asked.marker)).value("VersionIdMarker", "");
    if let Some(last) = shown.last().filter(|_| more) {
        told.value("NextKeyMarker", asked.written(last.text())).value("NextVersionIdMarker", "");
    }
    for one in &shown {
        if let Shown::Key(key) = one {
            versions(&mut told, &asked, bucket, key, &appid);
        }
    }
    prefixes(&mut told, &asked, &shown);
    Ok(Reply::new(200, "application/xml", told.end(), "ok"))
}

/// The versions of a key, the newest first.
fn versions(told: &mut Document, asked: &Asked, bucket: &Bucket, key: &str, appid: &str) {
    let all = bucket.objects.get(key).map(Vec::as_slice).unwrap_or_default();
    for (age, stored) in all.iter().rev().enumerate() {
        let kind = if stored.object.is_some() { "Version" } else { "DeleteMarker" };
        told.within(kind, |row| {
            describe(row, asked, key, stored, appid);
            row.value("VersionId", &stored.version).value("IsLatest", age == 0);
        });
    }
}

fn begin(root: &'static str, name: &str, asked: &Asked, more: bool) -> Document {
    let mut told = Document::new(root);
    told.value("Name", name).value("Prefix", asked.written(&asked.prefix)).value("MaxKeys", asked.most);
    told.value("Delimiter", asked.written(&asked.delimiter)).value("IsTruncated", more);
    if asked.encodes {
        told.value("EncodingType", "url");
    }
    told
}

fn describe(row: &mut Document, asked: &Asked, key: &str, stored: &Stored, appid: &str) {
    row.value("Key", asked.written(key)).value("LastModified", time(stored.modified));
    if let Some(object) = &stored.object {
        row.value("ETag", &object.etag).value("Size", object.content.len()).value("StorageClass", "STANDARD");
    }
    row.within("Owner", |owner| {
        owner.value("ID", appid).value("DisplayName", appid);
    });
}

fn prefixes(told: &mut Document, asked: &Asked, shown: &[Shown]) {
    for one in shown {
        if let Shown::Prefix(prefix) = one {
            told.within("CommonPrefixes", |row| {
                row.value("Prefix", asked.written(prefix));
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::request::tests::request;
    use super::*;

    fn pages(target: &str, keys: &[&str]) -> (Vec<String>, bool) {
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        let asked = Asked::of(&request("GET", target, &[], b""), "marker").unwrap();
        let (shown, more) = page(&asked, keys.iter());
        (shown.iter().map(|one| one.text().to_owned()).collect(), more)
    }

    #[test]
    fn keys_below_a_delimiter_show_as_their_prefix_once() {
        let keys = ["a", "b/1", "b/2", "c"];
        assert_eq!(pages("/?delimiter=/", &keys).0, ["a", "b/", "c"]);
        assert_eq!(pages("/?delimiter=/&prefix=b/", &keys).0, ["b/1", "b/2"]);
        assert_eq!(pages("/", &keys).0, keys);
    }

    #[test]
    fn a_page_ends_and_the_next_begins_behind_it() {
        let keys = ["a", "b/1", "b/2", "c"];
        assert_eq!(pages("/?delimiter=/&max-keys=2", &keys), (vec!["a".to_owned(), "b/".to_owned()], true));
        assert_eq!(pages("/?delimiter=/&max-keys=2&marker=b/", &keys), (vec!["c".to_owned()], false));
    }
}
