use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use flow_core::port::{AssetFile, Manifest};
use flow_core::{Digest, ErrorKind, StepError};
use flow_tencent::{Attributes, Failure};
use serde::{Deserialize, Serialize};

use super::bucket::Bucket;

/// Where the record stands below a site's bookkeeping.
const NAME: &str = "manifest.json";
const FORMAT: u32 = 1;
/// Half a million files have less. It is held in memory as a whole.
const MAX: u64 = 60 << 20;

/// What is behind an `ETag`. Believed only together with the size that a listing tells.
pub(crate) type Contents = BTreeMap<String, AssetFile>;

/// What a site remembers of itself, as one object: the SHA-256 behind each `ETag` that a listing may show, and in which release each file
/// was seen last.
///
/// It is written before the files of a release are: whatever a later listing shows, of the old release or the new one, is known by it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    format: u32,
    /// Counts the releases that were put and not taken back.
    release: u64,
    /// Of which files the newest release is; none after it was taken back.
    newest: Option<Digest>,
    pub(crate) contents: Contents,
    files: BTreeMap<String, u64>,
}

impl Record {
    /// The record when `manifest` is put over what is served, whose files are `listed` by path and `ETag`.
    pub(crate) fn with_release(
        &self,
        manifest: &Manifest,
        serving: &Manifest,
        listed: &BTreeMap<String, String>,
        known: &Contents,
        sent: &Contents,
    ) -> Self {
        let newest = digest(manifest);
        // A put that is repeated is the same release. One that ended half-way, or was undone without a word here, takes the place
        // of none: readers still have the pages of the release before it.
        let uncounted = self.newest == Some(newest) || (self.newest.is_some() && !self.is_served(serving));
        let release = if uncounted { self.release } else { self.release.saturating_add(1) };
        let mut files: BTreeMap<String, u64> = self.files.clone();
        files.retain(|path, _| listed.contains_key(path));
        // What only a release of the same number had is not this one's.
        files.values_mut().for_each(|seen| *seen = (*seen).min(release.saturating_sub(1)));
        files.extend(manifest.keys().map(|path| (path.clone(), release)));
        let mut contents = sent.clone();
        for etag in listed.values() {
            contents.extend(known.get(etag).map(|file| (etag.clone(), file.clone())));
        }
        Self { format: FORMAT, release, newest: Some(newest), contents, files }
    }

    /// Whether the newest release is served as a whole.
    fn is_served(&self, serving: &Manifest) -> bool {
        let newest = |path: &String| self.files.get(path) == Some(&self.release);
        let files = serving.iter().filter(|(path, _)| newest(path));
        self.newest == Some(digest(files))
    }

    /// The record when the site is `before` again.
    pub(crate) fn without_release(&self, before: &Manifest, contents: Contents) -> Self {
        let release = self.release.saturating_sub(1);
        let seen = |path: &String| Some((path.clone(), (*self.files.get(path)?).min(release)));
        let files = before.keys().filter_map(seen).collect();
        Self { format: FORMAT, release, newest: None, contents, files }
    }

    /// The files that no one of the `keep` newest releases has. Files of others are not among them.
    pub(crate) fn stale(&self, keep: u64) -> BTreeSet<&String> {
        let old = |seen: u64| seen.saturating_add(keep) <= self.release;
        self.files.iter().filter(|(_, seen)| old(**seen)).map(|(path, _)| path).collect()
    }
}

/// One digest over all paths and contents.
fn digest<'a>(files: impl IntoIterator<Item = (&'a String, &'a AssetFile)>) -> Digest {
    let mut text = String::new();
    for (path, file) in files {
        text.push_str(path);
        text.push('\n');
        text.push_str(&file.digest.hex());
        text.push('\n');
    }
    Digest::of(text.as_bytes())
}

impl Bucket {
    /// What the site remembers of itself; nothing where there is no record.
    pub(crate) async fn record(&self) -> Result<Record, StepError> {
        let key = self.own(NAME)?;
        let content = match self.cos.read(&key, MAX).await {
            Ok((_, content)) => content,
            Err(error) if error.failure() == Failure::NotFound => return Ok(Record::default()),
            Err(error) => return Err(error.into()),
        };
        let unknown = |why: StepError| {
            why.fact("key", &key).fact("way out", "remove it: it is made anew by reading the site")
        };
        match serde_json::from_slice::<Record>(&content) {
            Ok(record) if record.format == FORMAT => Ok(record),
            Ok(record) => {
                let why = StepError::new(ErrorKind::Conflict, "the site's record has another format");
                Err(unknown(why.fact("format", record.format)))
            }
            Err(error) => {
                let why = StepError::new(ErrorKind::Conflict, "the site's record is none");
                Err(unknown(why.because(error)))
            }
        }
    }

    /// Makes the site remember `record`.
    pub(crate) async fn remember(&self, record: &Record) -> Result<(), StepError> {
        let content = serde_json::to_vec(record).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the site's record cannot be written").because(error)
        })?;
        let attributes = Attributes {
            content_type: Some("application/json".to_owned()),
            cache_control: Some("no-store".to_owned()),
            ..Attributes::default()
        };
        self.cos.put(&self.own(NAME)?, Bytes::from(content), &attributes).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(content: &str) -> AssetFile {
        AssetFile { digest: Digest::of(content.as_bytes()), bytes: content.len() as u64 }
    }

    fn release(files: &[(&str, &str)]) -> Manifest {
        files.iter().map(|(path, content)| ((*path).to_owned(), file(content))).collect()
    }

    /// The record after a release was put where all earlier files still stand, and those of `served` are in force.
    fn put(record: &Record, manifest: &Manifest, served: &Manifest) -> Record {
        let mut listed: BTreeMap<String, String> =
            record.files.keys().map(|path| (path.clone(), "e".into())).collect();
        listed.extend(manifest.keys().map(|path| (path.clone(), "e".into())));
        record.with_release(manifest, served, &listed, &Contents::new(), &Contents::new())
    }

    #[test]
    fn a_file_is_stale_when_the_kept_releases_do_not_have_it() {
        let releases = ["1", "2", "3"].map(|number| {
            let asset = format!("{number}.js");
            release(&[(asset.as_str(), "a"), ("index.html", number)])
        });
        let [first, second, third] = &releases;
        let record = put(&put(&Record::default(), first, &Manifest::new()), second, first);
        assert_eq!(record.stale(2), BTreeSet::new());
        assert_eq!(record.stale(1), BTreeSet::from([&"1.js".to_owned()]));
        let record = put(&record, third, second);
        assert_eq!(record.stale(2), BTreeSet::from([&"1.js".to_owned()]));
    }

    #[test]
    fn a_put_that_is_repeated_or_taken_back_makes_nothing_older() {
        let before = release(&[("a.js", "1"), ("index.html", "1")]);
        let files = release(&[("b.js", "2"), ("index.html", "2")]);
        let first = put(&Record::default(), &before, &Manifest::new());
        let second = put(&first, &files, &before);
        assert_eq!(put(&second, &files, &files), second);
        let mut record = first.clone();
        for _ in 0..10 {
            record = put(&record, &files, &before).without_release(&before, Contents::new());
        }
        assert_eq!(record.stale(1), BTreeSet::new());
        assert_eq!((record.release, record.files), (first.release, first.files));
    }

    #[test]
    fn a_put_that_died_half_way_makes_nothing_older_and_the_next_whole_one_counts() {
        let first = release(&[("a.js", "1"), ("index.html", "1")]);
        let mut record = put(&Record::default(), &first, &Manifest::new());
        for number in ["2", "3", "4"] {
            let asset = format!("{number}.js");
            record = put(&record, &release(&[(asset.as_str(), "x"), ("index.html", number)]), &first);
            assert_eq!(record.stale(2), BTreeSet::new(), "readers still have the first release");
        }
        let fifth = release(&[("5.js", "x"), ("index.html", "5")]);
        record = put(&record, &fifth, &first);
        record = put(&record, &release(&[("index.html", "6")]), &fifth);
        assert_eq!(record.stale(2).len(), 4, "{record:?}");
        assert!(!record.stale(2).contains(&"5.js".to_owned()));
    }

    #[test]
    fn the_contents_before_and_after_a_put_are_known_and_older_ones_forgotten() {
        let known = Contents::from([("old".to_owned(), file("1")), ("older".to_owned(), file("0"))]);
        let sent = Contents::from([("new".to_owned(), file("2"))]);
        let listed = BTreeMap::from([("index.html".to_owned(), "old".to_owned())]);
        let record = Record::default().with_release(
            &release(&[("index.html", "2")]),
            &release(&[("index.html", "1")]),
            &listed,
            &known,
            &sent,
        );
        assert_eq!(record.contents.keys().collect::<Vec<_>>(), ["new", "old"]);
    }
}
