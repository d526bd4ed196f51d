//! Code: put in place, kept before it is overwritten, and put back.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flow_core::{Digest, ErrorKind, Permit, Problems, StepError};
use flow_tencent::{Attributes, ObjectKey};
use sha2::{Digest as _, Sha256};

use super::functions::ScfFunctions;
use crate::client::{Code, Function, LATEST, Platform, Row, Shares};
use crate::mark::{Mark, code_of, is_made_here, made_by};

/// A request has at most 10 MB; in base64 a package grows by a third.
const INLINE_MAX: usize = 7_000_000;

/// What an unpacked function may have: a package is never larger.
const PACKAGE_MAX: u64 = 500_000_000;

/// What of a kept package is fetched into memory. A larger one stands in the code bucket already, if it came from here.
const FETCHED_MAX: usize = 64 << 20;

/// A zip whose digest was compared.
#[derive(Debug)]
pub(super) struct Package {
    digest: Digest,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Held(Bytes),
    /// Too large for a request; kept open, so that what is sent is what was hashed.
    File(File),
}

impl Package {
    /// Reads the zip at `path` and compares its digest.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] and [`ErrorKind::Denied`] where it cannot be read, [`ErrorKind::Invalid`] where it is no zip or larger than a
    /// function can be, [`ErrorKind::Conflict`] where its digest is another.
    pub(super) async fn read(path: &Path, digest: Digest) -> Result<Self, StepError> {
        let path = path.to_owned();
        let read = tokio::task::spawn_blocking(move || Self::open(&path, digest)).await;
        read.unwrap_or_else(
            |error| Err(StepError::in_doubt("reading the package ended early").because(error)),
        )
    }

    fn open(path: &Path, digest: Digest) -> Result<Self, StepError> {
        let unreadable = |error: std::io::Error| {
            let kind = match error.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _ => ErrorKind::Invalid,
            };
            StepError::new(kind, "the package cannot be read").fact("path", path.display()).because(error)
        };
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        let mut problems = Problems::default();
        problems.check(metadata.is_file(), "code", "must be a file");
        if metadata.len() > PACKAGE_MAX {
            let size = metadata.len();
            problems.add("code", format!("has {size} bytes, a package has at most {PACKAGE_MAX}"));
        }
        problems.into_result()?;
        let (held, found) = hashed(&file).map_err(unreadable)?;
        if !held.starts_with(b"PK") {
            let mut problems = Problems::default();
            problems.add("code", format!("`{}` is no zip", path.display()));
            problems.into_result()?;
        }
        if found != digest {
            return Err(StepError::new(ErrorKind::Conflict, "the package is not what its digest says")
                .fact("path", path.display())
                .fact("wanted", digest)
                .fact("found", found));
        }
        let content = if held.len() > INLINE_MAX { Content::File(file) } else { Content::Held(held.into()) };
        Ok(Self { digest, content })
    }
}

/// The beginning of a file, one byte more than goes into a request if there is so much, and the digest of all of it.
fn hashed(mut file: &File) -> std::io::Result<(Vec<u8>, Digest)> {
    let (mut held, mut hasher, mut buffer) = (Vec::new(), Sha256::new(), vec![0; 64 * 1024]);
    loop {
        let length = file.read(&mut buffer)?;
        let chunk = buffer.get(..length).unwrap_or_default();
        if chunk.is_empty() {
            return Ok((held, Digest::from_bytes(hasher.finalize().into())));
        }
        hasher.update(chunk);
        let room = (INLINE_MAX + 1).saturating_sub(held.len());
        held.extend_from_slice(chunk.get(..room).unwrap_or(chunk));
    }
}

/// Whether something was left on the platform before the change that was asked for began.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Nothing,
    Something,
}

impl Kept {
    /// What becomes of a later error: it leaves nothing behind only if nothing was kept.
    pub(super) fn tells(self) -> impl Fn(StepError) -> StepError {
        move |error| if self == Self::Something { error.after_effect() } else { error }
    }
}

impl ScfFunctions {
    pub(super) async fn put_package(
        platform: &Platform,
        permit: &Permit,
        function: &str,
        package: Package,
    ) -> Result<(), StepError> {
        let found = match platform.settled(function).await? {
            Some(left) if left.was_never_made() => {
                if !is_made_here(left.description()) {
                    let error =
                        StepError::new(ErrorKind::Conflict, "somebody else's attempt to make it has failed")
                            .fact("function", function);
                    let reason = left.failure(function);
                    return Err(match reason {
                        Some(reason) => error.because(reason),
                        None => error,
                    });
                }
                // What cannot be updated is made anew.
                platform.delete(function).await?;
                None
            }
            found => found,
        };
        let digest = package.digest;
        let Some(found) = found else { return Self::make(platform, permit, function, package).await };
        let old = platform.code(function, LATEST).await?;
        if old == digest && found.is_active() {
            return Ok(());
        }
        let code = Self::sendable(platform, function, package).await?;
        let held = Self::hold_callers(platform, function, &found).await?;
        let kept = if old == digest {
            held
        } else {
            Self::keep(platform, function, old, held).await.map_err(held.tells())?
        };
        let handler = found.handler.as_deref().unwrap_or_default();
        platform.put_code(function, &code, digest, handler).await.map_err(kept.tells())
    }

    async fn make(
        platform: &Platform,
        permit: &Permit,
        function: &str,
        package: Package,
    ) -> Result<(), StepError> {
        let Some(new) = &platform.config.new_functions else {
            return Err(platform.missing(function).await.fact("configure", "new_functions"));
        };
        let digest = package.digest;
        let code = Self::sendable(platform, function, package).await?;
        platform.create(function, &code, new, &made_by(permit)).await?;
        let found = platform.code(function, LATEST).await.map_err(StepError::after_effect)?;
        if found == digest {
            return Ok(());
        }
        Err(StepError::in_doubt("the new function's code is not what was sent")
            .fact("function", function)
            .fact("found", found))
    }

    /// The package as a request names it: within it, or in the code bucket.
    async fn sendable(platform: &Platform, function: &str, package: Package) -> Result<Code, StepError> {
        let (key, bucket) = match (&package.content, &platform.cos) {
            (Content::Held(bytes), _) if bytes.len() <= INLINE_MAX => {
                return Ok(Code::Inline { zip_file: STANDARD.encode(bytes) });
            }
            (_, Some(bucket)) => (Self::key(platform, function, package.digest)?, bucket),
            (_, None) => {
                let mut problems = Problems::default();
                let problem =
                    format!("is larger than {INLINE_MAX} bytes: `code_bucket` must be configured for it");
                problems.add("code", problem);
                return Err(problems.into());
            }
        };
        // Keys are digests: what stands there is the package, and the platform's digest is compared afterwards.
        if bucket.find(&key).await?.is_none() {
            let attributes = Attributes::default();
            match package.content {
                Content::Held(bytes) => bucket.put(&key, bytes, &attributes).await?,
                Content::File(file) => bucket.put_file(&key, file, &attributes).await?,
            };
        }
        Ok(Self::stored(platform, &key))
    }

    fn key(platform: &Platform, function: &str, digest: Digest) -> Result<ObjectKey, StepError> {
        let prefix = platform.config.code_bucket.as_ref().map(|bucket| bucket.prefix.as_str());
        Ok(ObjectKey::new(format!("{}{function}/{}.zip", prefix.unwrap_or_default(), digest.hex()))?)
    }

    fn stored(platform: &Platform, key: &ObjectKey) -> Code {
        let bucket = platform.config.code_bucket.as_ref().map(|bucket| bucket.bucket.clone());
        Code::Stored {
            cos_bucket_name: bucket.unwrap_or_default(),
            cos_object_name: format!("/{key}"),
            cos_bucket_region: platform.config.region.clone(),
        }
    }

    /// Sees to it that code which is about to be overwritten stands in a version: one that says so, the live one, or a new one.
    async fn keep(platform: &Platform, function: &str, code: Digest, held: Kept) -> Result<Kept, StepError> {
        let rows = platform.versions(function).await?;
        let says = |row: &Row| !row.has_failed() && code_of(row.description()) == Some(code);
        if rows.iter().any(says) {
            return Ok(held);
        }
        if let Some(alias) = platform.alias(function, &platform.config.alias).await? {
            let live = alias.function_version;
            if live != LATEST && platform.code(function, &live).await? == code {
                return Ok(held);
            }
        }
        platform.publish(function, &Mark::kept(code).to_string()).await?;
        Ok(Kept::Something)
    }

    /// Keeps callers of a function that was not made here on what they have: while their alias leads to what is not published, a change of
    /// that would reach them at once.
    pub(super) async fn hold_callers(
        platform: &Platform,
        function: &str,
        found: &Function,
    ) -> Result<Kept, StepError> {
        let alias = platform.alias(function, &platform.config.alias).await?;
        let exposed = alias.is_some_and(|alias| alias.function_version == LATEST);
        if !exposed || is_made_here(found.description()) {
            return Ok(Kept::Nothing);
        }
        let mark = Mark::kept(platform.code(function, LATEST).await?);
        let version = match Self::published(platform, function, &mark, &found.variables()).await? {
            Some(version) => version,
            None => platform.publish(function, &mark.to_string()).await?,
        };
        let shares = Shares::all_to(version);
        let led = platform.put_alias(function, &platform.config.alias, &shares, None).await;
        led.map_err(StepError::after_effect)?;
        Ok(Kept::Something)
    }

    /// Puts code in place again that stood there before.
    pub(super) async fn put_back(
        platform: &Platform,
        function: &str,
        digest: Digest,
        found: &Function,
    ) -> Result<(), StepError> {
        if platform.code(function, LATEST).await? == digest && found.is_active() {
            return Ok(());
        }
        let code = Self::kept_code(platform, function, digest).await?;
        platform.put_code(function, &code, digest, found.handler.as_deref().unwrap_or_default()).await
    }

    /// Code of this digest: from the code bucket, or from the version that holds it.
    async fn kept_code(platform: &Platform, function: &str, digest: Digest) -> Result<Code, StepError> {
        if let Some(bucket) = &platform.cos {
            let key = Self::key(platform, function, digest)?;
            // A bucket that cannot be asked is no reason to lose what a version holds too.
            if matches!(bucket.find(&key).await, Ok(Some(_))) {
                return Ok(Self::stored(platform, &key));
            }
        }
        let mut rows = platform.versions(function).await?;
        // Those that say so first; the others are asked one by one.
        rows.sort_by_key(|row| code_of(row.description()) != Some(digest));
        for row in &rows {
            if platform.code(function, &row.version).await? != digest {
                continue;
            }
            let content = platform.package(function, &row.version, FETCHED_MAX).await?;
            if Digest::of(&content) == digest {
                return Self::sendable(
                    platform,
                    function,
                    Package { digest, content: Content::Held(content) },
                )
                .await;
            }
        }
        Err(StepError::new(
            ErrorKind::NotFound,
            "the code is kept nowhere: neither in a version nor in the code bucket",
        )
        .fact("function", function)
        .fact("code", digest))
    }

    /// Removes a function that did not exist before.
    pub(super) async fn remove(platform: &Platform, function: &str) -> Result<(), StepError> {
        let Some(found) = platform.settled(function).await? else { return Ok(()) };
        if is_made_here(found.description()) {
            return platform.delete(function).await;
        }
        // Somebody else's failed attempt was there before, and counted as no function.
        if found.was_never_made() {
            return Ok(());
        }
        Err(StepError::new(
            ErrorKind::Conflict,
            "somebody else has made the function meanwhile: it is not removed",
        )
        .fact("function", function))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_package_is_refused_by_what_is_wrong_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("code.zip");
        let read = |digest| Package::read(&path, digest);
        assert_eq!(read(Digest::of(b"")).await.unwrap_err().kind(), ErrorKind::NotFound);
        std::fs::write(&path, "no zip").unwrap();
        assert_eq!(read(Digest::of(b"no zip")).await.unwrap_err().kind(), ErrorKind::Invalid);
        std::fs::write(&path, "PK\u{3}\u{4}zip").unwrap();
        assert_eq!(read(Digest::of(b"other")).await.unwrap_err().kind(), ErrorKind::Conflict);
        assert!(matches!(read(Digest::of(b"PK\x03\x04zip")).await.unwrap().content, Content::Held(_)));
        let large = File::create(&path).unwrap();
        large.set_len(PACKAGE_MAX + 1).unwrap();
        let error = read(Digest::of(b"")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(
            Package::read(directory.path(), Digest::of(b"")).await.unwrap_err().kind(),
            ErrorKind::Invalid
        );
    }
}
