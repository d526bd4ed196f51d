use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{AssetFile, AssetStore, Manifest};
use flow_core::{CancelToken, ErrorKind, Name, Permit, Problems, StepError};
use flow_tencent::{Cos, Listed, ObjectMeta};
use tokio::sync::Semaphore;

use super::changes::{as_read, changed, groups};
use crate::client::{Bucket, Contents, Kept, LocalFile, Record, digests, each, go_on, off_thread};
use crate::config::SiteConfig;

/// How much of files may be in memory at a time, in KiB, however many are sent: an allocator keeps some times as much.
const ROOM: u32 = 12 << 10;

/// What of one large file is in memory, in KiB.
const PIECE: u64 = 2 << 10;

/// How much is remembered of content: two releases of the largest site. What is forgotten is looked up again.
const KNOWN_MAX: usize = 1_000_000;

/// A site's static files in a bucket, or below one prefix of it.
///
/// `put` compares the whole directory with its manifest and the bucket with one listing, keeps what it will overwrite, and sends what changed,
/// many files at a time: content-hashed assets, other assets, pages, entry pages from the inside out. A group begins when the one before has
/// ended. Only then are files removed that the last releases did not have. What is there already costs no request; a put that ended half-way
/// goes on where it was.
///
/// Content is told by size and `ETag`; which SHA-256 stands behind an `ETag` is known of the files that were read here and from a record in
/// `.flow/manifest.json`. An object that neither knows, because somebody else wrote it, is read.
///
/// `restore` brings kept content back by copies on the server, in the same order, and only then removes what came after it, entry pages first.
///
/// Paths that sort before `.flow/` (they begin with a blank, one of `!"#$%&'()*+,-`, or a dot and a letter up to `f`) are refused: the listing
/// begins behind the bookkeeping.
#[derive(Clone)]
pub struct CosAssets {
    resource: Name,
    bucket: Bucket,
    config: Arc<SiteConfig>,
    /// What is known of content, from files that were read and records.
    known: Arc<Mutex<Contents>>,
}

/// A site as one listing showed it.
struct Seen {
    listed: BTreeMap<String, Listed>,
    manifest: Manifest,
    /// The record, where it was needed.
    record: Option<Record>,
}

impl CosAssets {
    /// The site in the bucket of `cos`. No other run may touch the resource `name` meanwhile: the same site must have the same name everywhere.
    ///
    /// # Errors
    /// Everything that is wrong with `config`.
    pub fn new(name: Name, cos: Cos, config: SiteConfig) -> Result<Self, Problems> {
        config.check()?;
        let bucket = Bucket::new(cos, config.prefix.clone());
        Ok(Self { resource: name, bucket, config: Arc::new(config), known: Arc::default() })
    }

    fn known(&self) -> MutexGuard<'_, Contents> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is behind `ETag`s.
    fn learn(&self, contents: impl IntoIterator<Item = (String, AssetFile)>) {
        let mut known = self.known();
        if known.len() > KNOWN_MAX {
            known.clear();
        }
        known.extend(contents);
    }

    /// Refuses paths that leave the site or that it cannot have: a manifest may come from a journal.
    fn check_paths(&self, manifest: &Manifest) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for path in manifest.keys() {
            if let Some(why) = self.bucket.refuses(path) {
                problems.add(path.escape_debug().to_string(), why);
            }
        }
        problems.into_result()
    }

    /// Reads the directory, and learns what its content will be called.
    async fn local(
        &self,
        token: &CancelToken,
        directory: &Path,
    ) -> Result<BTreeMap<String, LocalFile>, StepError> {
        let (directory, bucket) = (directory.to_path_buf(), self.bucket.clone());
        let files =
            off_thread(token, move |token| digests(&directory, &|path| bucket.refuses(path), token)).await?;
        self.learn(files.values().map(|local| (local.digests.etag(), local.file.clone())));
        Ok(files)
    }

    /// Lists the site, and finds out what it serves.
    async fn look(&self, bucket: &Bucket, token: &CancelToken) -> Result<Seen, StepError> {
        let mut seen = Seen { listed: bucket.list().await?, manifest: Manifest::new(), record: None };
        let mut unknown = self.recognise(&mut seen);
        if !unknown.is_empty() {
            let record = bucket.record().await?;
            self.learn(record.contents.clone());
            seen.record = Some(record);
            unknown = self.recognise(&mut seen);
        }
        let read = each(self.config.at_once, token, unknown, |(path, listed)| async move {
            let file = bucket.content(&path, &listed).await?;
            Ok((path, listed.etag, file))
        });
        for (path, etag, file) in read.await? {
            self.learn([(etag, file.clone())]);
            seen.manifest.insert(path, file);
        }
        Ok(seen)
    }

    /// Takes what is known of what is listed; gives the rest. An `ETag` is believed only together with the size.
    fn recognise(&self, seen: &mut Seen) -> Vec<(String, Listed)> {
        let known = self.known();
        let mut unknown = Vec::new();
        for (path, listed) in &seen.listed {
            match known.get(&listed.etag).filter(|file| file.bytes == listed.length) {
                Some(file) => {
                    seen.manifest.insert(path.clone(), file.clone());
                }
                None => unknown.push((path.clone(), listed.clone())),
            }
        }
        unknown
    }

    /// Keeps the content of `paths` as it is listed, before any of it goes.
    async fn keep(
        &self,
        bucket: &Bucket,
        token: &CancelToken,
        seen: &Seen,
        paths: Vec<String>,
    ) -> Result<(), StepError> {
        let files = paths.into_iter().filter_map(|path| {
            let (listed, file) = (seen.listed.get(&path)?.clone(), seen.manifest.get(&path)?.clone());
            Some((path, listed, file))
        });
        each(self.config.at_once, token, files.collect(), |(path, listed, file)| async move {
            bucket.keep(&path, &listed, &file).await
        })
        .await?;
        Ok(())
    }

    /// Sends `files` group by group; gives the `ETag`s that nobody expected, with their content.
    async fn send(
        &self,
        bucket: &Bucket,
        token: &CancelToken,
        directory: &Path,
        files: &BTreeMap<String, LocalFile>,
        paths: Vec<String>,
    ) -> Result<Contents, StepError> {
        let (mut others, room) = (Contents::new(), &Semaphore::new(ROOM as usize));
        for group in groups(paths) {
            let locals = group.into_iter().filter_map(|path| Some((files.get(&path)?.clone(), path)));
            let sent = each(self.config.at_once, token, locals.collect(), |(local, path)| async move {
                let piece = u32::try_from((local.file.bytes >> 10).min(PIECE)).unwrap_or(ROOM);
                let _room = room.acquire_many(piece).await;
                let attributes = self.config.attributes(&path);
                let etag = bucket.upload(&path, directory.join(&path), &local, &attributes).await?;
                Ok((etag, local))
            });
            let unexpected = sent.await?.into_iter().filter(|(etag, local)| *etag != local.digests.etag());
            others.extend(unexpected.map(|(etag, local)| (etag, local.file)));
        }
        Ok(others)
    }

    /// Removes files, the last to come into force first.
    async fn remove(
        &self,
        bucket: &Bucket,
        token: &CancelToken,
        paths: Vec<String>,
    ) -> Result<(), StepError> {
        for group in groups(paths).into_iter().rev() {
            each(self.config.at_once, token, group, |path| async move { bucket.remove(&path).await }).await?;
        }
        Ok(())
    }

    /// Puts `changed` in force over what was seen, and removes what is too old then.
    async fn publish(
        &self,
        bucket: &Bucket,
        token: &CancelToken,
        seen: &Seen,
        (directory, files): (&Path, &BTreeMap<String, LocalFile>),
        (manifest, mut record): (&Manifest, Record),
        changed: Vec<String>,
    ) -> Result<(), StepError> {
        let others = self.send(bucket, token, directory, files, changed).await?;
        if !others.is_empty() {
            self.learn(others.clone());
            record.contents.extend(others);
            bucket.remember(&record).await?;
        }
        let stale = record.stale(self.config.keep_releases).into_iter();
        let stale = stale.filter(|path| seen.listed.contains_key(*path) && !manifest.contains_key(*path));
        let stale: Vec<String> = stale.cloned().collect();
        self.keep(bucket, token, seen, stale.clone()).await?;
        self.remove(bucket, token, stale).await
    }

    /// What is kept of `files`, each looked at.
    async fn check_kept(
        &self,
        bucket: &Bucket,
        token: &CancelToken,
        files: BTreeMap<String, AssetFile>,
    ) -> Result<BTreeMap<String, (AssetFile, ObjectMeta)>, StepError> {
        let known = &self.known().clone();
        let looked =
            each(self.config.at_once, token, files.into_iter().collect(), |(path, file)| async move {
                let kept = bucket.kept(&file, known).await.map_err(|error| error.fact("path", &path))?;
                Ok((path, file, kept))
            });
        let (mut whole, mut problems, mut worst) =
            (BTreeMap::new(), Problems::default(), ErrorKind::NotFound);
        for (path, file, kept) in looked.await? {
            match kept {
                Kept::Whole(meta) => drop(whole.insert(path, (file, meta))),
                Kept::Wrong(kind, why) => {
                    worst = worst.max(kind);
                    problems.add(path, why);
                }
            }
        }
        problems.into_result().map_err(|problems| {
            StepError::new(worst, "the site cannot be restored from what was kept").because(problems)
        })?;
        Ok(whole)
    }

    /// Serves `kept` again and removes `later`; gives the `ETag`s of what came back.
    async fn bring_back(
        &self,
        bucket: &Bucket,
        token: &CancelToken,
        kept: &BTreeMap<String, (AssetFile, ObjectMeta)>,
        later: Vec<String>,
    ) -> Result<Contents, StepError> {
        let mut back = Contents::new();
        for group in groups(kept.keys().cloned().collect()) {
            let copied = each(self.config.at_once, token, group, |path| async move {
                let Some((file, meta)) = kept.get(&path) else { return Ok(None) };
                let attributes = self.config.attributes(&path);
                Ok(Some((bucket.bring_back(&path, file, meta, attributes).await?, file.clone())))
            });
            back.extend(copied.await?.into_iter().flatten());
        }
        self.remove(bucket, token, later).await?;
        Ok(back)
    }
}

#[async_trait]
impl AssetStore for CosAssets {
    fn resource(&self) -> Name {
        self.resource.clone()
    }

    async fn read(&self, directory: &Path) -> Result<Manifest, StepError> {
        let files = self.local(&CancelToken::new(), directory).await?;
        Ok(files.into_iter().map(|(path, local)| (path, local.file)).collect())
    }

    async fn serving(&self) -> Result<Manifest, StepError> {
        Ok(self.look(&self.bucket, &CancelToken::new()).await?.manifest)
    }

    async fn put(&self, permit: &Permit, directory: &Path, manifest: &Manifest) -> Result<(), StepError> {
        self.check_paths(manifest)?;
        let (token, bucket) = (permit.cancel(), self.bucket.until(permit.cancel()));
        let files = self.local(token, directory).await?;
        as_read(manifest, &files)?;
        go_on(token)?;
        let mut seen = self.look(&bucket, token).await?;
        let changed: Vec<String> = changed(manifest, &seen.manifest).into_keys().collect();
        if changed.is_empty() {
            return Ok(());
        }
        let record = match seen.record.take() {
            Some(record) => record,
            None => bucket.record().await?,
        };
        self.keep(&bucket, token, &seen, changed.clone()).await?;
        let listed = seen.listed.iter().map(|(path, listed)| (path.clone(), listed.etag.clone())).collect();
        let sent: Contents = files.values().map(|local| (local.digests.etag(), local.file.clone())).collect();
        let next = record.with_release(manifest, &seen.manifest, &listed, &self.known(), &sent);
        if next != record {
            bucket.remember(&next).await?;
        }
        go_on(token)?;
        let published =
            self.publish(&bucket, token, &seen, (directory, &files), (manifest, next), changed).await;
        published.map_err(StepError::after_effect)
    }

    async fn restore(&self, permit: &Permit, before: &Manifest) -> Result<(), StepError> {
        self.check_paths(before)?;
        let (token, bucket) = (permit.cancel(), self.bucket.until(permit.cancel()));
        let mut seen = self.look(&bucket, token).await?;
        let record = match seen.record.take() {
            Some(record) => record,
            None => bucket.record().await?,
        };
        self.learn(record.contents.clone());
        let kept = self.check_kept(&bucket, token, changed(before, &seen.manifest)).await?;
        let later: Vec<String> =
            seen.manifest.keys().filter(|path| !before.contains_key(*path)).cloned().collect();
        if kept.is_empty() && later.is_empty() {
            return Ok(());
        }
        go_on(token)?;
        let restored = async {
            let mut contents = self.bring_back(&bucket, token, &kept, later).await?;
            self.learn(contents.clone());
            let stayed = seen.listed.iter().filter(|(path, _)| before.contains_key(*path));
            contents.extend(stayed.filter_map(|(_, listed)| {
                Some((listed.etag.clone(), self.known().get(&listed.etag)?.clone()))
            }));
            bucket.remember(&record.without_release(before, contents)).await
        };
        restored.await.map_err(StepError::after_effect)
    }
}

impl fmt::Debug for CosAssets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CosAssets")
            .field("resource", &self.resource)
            .field("bucket", &self.bucket)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
