use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;

use super::super::digests::flipped;
use super::error::CosError;
use super::multipart::Upload;
use super::objects::Object;

/// All buckets, by their names with the account's number.
#[derive(Debug, Default)]
pub(in super::super) struct Storage {
    pub(super) buckets: BTreeMap<String, Bucket>,
}

/// A bucket.
#[derive(Debug)]
pub(super) struct Bucket {
    pub(super) created: Timestamp,
    /// `Enabled`, `Suspended`, or never set.
    pub(super) versioning: Option<&'static str>,
    /// The versions of each key, the newest last.
    pub(super) objects: BTreeMap<String, Vec<Stored>>,
    pub(super) uploads: BTreeMap<String, Upload>,
}

/// One version of a key.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) version: String,
    /// None is a delete marker.
    pub(super) object: Option<Object>,
    pub(super) modified: Timestamp,
}

impl Storage {
    pub(in super::super) fn new(buckets: &[String], now: Timestamp) -> Self {
        Self { buckets: buckets.iter().map(|name| (name.clone(), Bucket::new(now))).collect() }
    }

    pub(super) fn bucket(&mut self, name: &str) -> Result<&mut Bucket, CosError> {
        self.buckets
            .get_mut(name)
            .ok_or_else(|| CosError::new("NoSuchBucket", format!("there is no bucket `{name}`")))
    }

    /// The newest content under a key.
    pub(in super::super) fn object(&self, bucket: &str, key: &str) -> Option<Bytes> {
        self.served(bucket, key).map(|object| object.content.clone())
    }

    pub(in super::super) fn served(&self, bucket: &str, key: &str) -> Option<&Object> {
        self.buckets.get(bucket)?.newest(key)
    }

    pub(in super::super) fn contents(&self, bucket: &str) -> BTreeMap<String, Vec<u8>> {
        let bucket = self.buckets.get(bucket);
        let keys =
            bucket.iter().flat_map(|bucket| bucket.objects.keys().map(|key| (key, bucket.newest(key))));
        keys.filter_map(|(key, object)| Some((key.clone(), object?.content.to_vec()))).collect()
    }

    /// Writes or removes an object past the API.
    pub(in super::super) fn change(
        &mut self,
        bucket: &str,
        key: &str,
        content: Option<&[u8]>,
        now: Timestamp,
        version: u64,
    ) {
        let bucket = self.buckets.entry(bucket.to_owned()).or_insert_with(|| Bucket::new(now));
        match content {
            Some(content) => {
                let mut object = Object::of(Bytes::copy_from_slice(content), BTreeMap::new());
                object.crc64 = None;
                bucket.store(key, Some(object), now, version);
            }
            None => {
                bucket.objects.remove(key);
            }
        }
    }

    /// Flips a bit of what is stored and leaves what is told of it.
    pub(in super::super) fn corrupt(&mut self, bucket: &str, key: &str) -> bool {
        let stored = self.buckets.get_mut(bucket).and_then(|bucket| bucket.objects.get_mut(key)?.last_mut());
        match stored.and_then(|stored| stored.object.as_mut()) {
            Some(object) => {
                object.content = flipped(&object.content);
                true
            }
            None => false,
        }
    }
}

impl Bucket {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { created: now, versioning: None, objects: BTreeMap::new(), uploads: BTreeMap::new() }
    }

    pub(super) fn newest(&self, key: &str) -> Option<&Object> {
        self.objects.get(key)?.last()?.object.as_ref()
    }

    /// This version, or the newest.
    pub(super) fn find(&self, key: &str, version: Option<&str>) -> Result<&Stored, CosError> {
        let versions = self.objects.get(key).map(Vec::as_slice).unwrap_or_default();
        let found = match version {
            Some(version) => versions.iter().find(|stored| stored.version == version),
            None => versions.last(),
        };
        found.filter(|stored| stored.object.is_some()).ok_or_else(|| match version {
            Some(version) => CosError::new("NoSuchVersion", format!("`{key}` has no version `{version}`")),
            None => CosError::new("NoSuchKey", format!("there is no object `{key}`")),
        })
    }

    /// Puts a version on top, a delete marker without an object. Without versioning it is the only one.
    pub(super) fn store(
        &mut self,
        key: &str,
        object: Option<Object>,
        now: Timestamp,
        version: u64,
    ) -> String {
        let enabled = self.versioning == Some("Enabled");
        let version = if enabled { format!("{version:020}") } else { "null".to_owned() };
        let versions = self.objects.entry(key.to_owned()).or_default();
        if !enabled {
            versions.retain(|stored| stored.version != "null");
        }
        versions.push(Stored { version: version.clone(), object, modified: now });
        version
    }

    /// Removes an object, or one version for good; gives the version and whether it is a delete marker.
    pub(super) fn remove(
        &mut self,
        key: &str,
        version: Option<&str>,
        now: Timestamp,
        number: u64,
    ) -> Option<(String, bool)> {
        let removed = match version {
            Some(version) => {
                let versions = self.objects.get_mut(key)?;
                let at = versions.iter().position(|stored| stored.version == version)?;
                let removed = versions.remove(at);
                Some((removed.version, removed.object.is_none()))
            }
            None if self.versioning.is_some() => Some((self.store(key, None, now, number), true)),
            None => self.objects.remove(key).map(|_| ("null".to_owned(), false)),
        };
        self.objects.retain(|_, versions| !versions.is_empty());
        removed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(content: &'static [u8]) -> Option<Object> {
        Some(Object::of(Bytes::from_static(content), BTreeMap::new()))
    }

    #[test]
    fn without_versions_the_last_write_is_all_there_is() {
        let now = Timestamp::UNIX_EPOCH;
        let mut bucket = Bucket::new(now);
        bucket.store("a", object(b"1"), now, 1);
        bucket.store("a", object(b"2"), now, 2);
        assert_eq!(bucket.objects["a"].len(), 1);
        assert_eq!(bucket.newest("a").unwrap().content, "2");
        assert_eq!(bucket.remove("a", None, now, 3), Some(("null".to_owned(), false)));
        assert_eq!(bucket.find("a", None).unwrap_err().code, "NoSuchKey");
    }

    #[test]
    fn with_versions_nothing_is_lost() {
        let now = Timestamp::UNIX_EPOCH;
        let mut bucket = Bucket::new(now);
        bucket.versioning = Some("Enabled");
        let first = bucket.store("a", object(b"1"), now, 1);
        bucket.store("a", object(b"2"), now, 2);
        let (marker, is_marker) = bucket.remove("a", None, now, 3).unwrap();
        assert!(is_marker);
        assert!(bucket.find("a", None).is_err());
        assert_eq!(bucket.find("a", Some(&first)).unwrap().object.as_ref().unwrap().content, "1");
        bucket.remove("a", Some(&marker), now, 4).unwrap();
        assert_eq!(bucket.newest("a").unwrap().content, "2");
    }

    #[test]
    fn a_corrupted_object_keeps_its_digests() {
        let mut storage = Storage::default();
        storage.change("b-1250000000", "a", Some(b"abc"), Timestamp::UNIX_EPOCH, 1);
        let told = storage.served("b-1250000000", "a").unwrap().clone();
        assert!(storage.corrupt("b-1250000000", "a"));
        let now = storage.served("b-1250000000", "a").unwrap();
        assert_ne!(now.content, told.content);
        assert_eq!((&now.etag, now.crc64), (&told.etag, told.crc64));
        assert!(!storage.corrupt("b-1250000000", "c"));
    }
}
