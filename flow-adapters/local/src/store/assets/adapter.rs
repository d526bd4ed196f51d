//! The asset store over a directory.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use flow_core::port::{AssetStore, Manifest};
use flow_core::{CancelToken, Digest, ErrorKind, Name, Permit, Problems, StepError, name};

use super::content::digest_of;
use super::site::{Site, conflict, serving};
use super::tree::{Bookkeeping, check_paths, manifest, overlaps, walk};
use crate::store::blocking::{change, go_on, look};
use crate::store::directory::{Directory, Readers};

/// A site's static files in a directory that a web server serves.
///
/// `put` stages and checks every new file before it touches the site, then puts them in force one by one: content-hashed
/// assets, other assets, pages, entry pages. Files that are right already are not written. The bookkeeping stands in
/// `.flow` below the root, mode 0700; a web server should not serve it. Kept content is never removed.
///
/// `restore` brings files back in the same order and only then removes what came after them, entry pages first. So the
/// page that the site serves at any moment finds its assets. A reader who loaded a page just before it was taken back may
/// still ask for assets that are gone: that is what taking back means.
#[derive(Debug, Clone)]
pub struct DirectoryAssets {
    root: PathBuf,
    resource: Name,
}

impl DirectoryAssets {
    /// The site in the directory `root`, which is made with the first files.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        // Relative paths of one site must name one resource, wherever the tool was started.
        let absolute = std::path::absolute(&root).unwrap_or_else(|_| root.clone());
        let digest = Digest::of(absolute.as_os_str().as_encoded_bytes());
        // Letters, digits and a dash: always a name. The literal keeps the library free of a panic all the same.
        let resource = Name::new(format!("site-{}", digest.short())).unwrap_or(name!("site"));
        Self { root: absolute, resource }
    }
}

#[async_trait]
impl AssetStore for DirectoryAssets {
    fn resource(&self) -> Name {
        self.resource.clone()
    }

    async fn read(&self, directory: &Path) -> Result<Manifest, StepError> {
        let directory = directory.to_path_buf();
        look(move || {
            let (manifest, problems) = manifest(&source(&directory)?, Bookkeeping::Refused)?;
            problems.into_result()?;
            Ok(manifest)
        })
        .await
    }

    async fn serving(&self) -> Result<Manifest, StepError> {
        let root = self.root.clone();
        look(move || Directory::find(&root)?.map_or_else(|| Ok(Manifest::new()), |root| serving(&root))).await
    }

    async fn put(&self, permit: &Permit, directory: &Path, manifest: &Manifest) -> Result<(), StepError> {
        check_paths(manifest)?;
        let (directory, manifest) = (directory.to_path_buf(), manifest.clone());
        change(permit, &self.root, Readers::Everyone, move |root, token| {
            put(&mut Site::open(root)?, &source(&directory)?, &manifest, token)
        })
        .await
    }

    async fn restore(&self, permit: &Permit, before: &Manifest) -> Result<(), StepError> {
        check_paths(before)?;
        let before = before.clone();
        change(permit, &self.root, Readers::Everyone, move |root, token| {
            restore(&mut Site::open(root)?, &before, token)
        })
        .await
    }
}

fn source(directory: &Path) -> Result<Directory, StepError> {
    Directory::find(directory)?.ok_or_else(|| {
        StepError::new(ErrorKind::NotFound, "the directory to deploy is missing")
            .fact("path", directory.display())
    })
}

fn put(
    site: &mut Site,
    source: &Directory,
    manifest: &Manifest,
    token: &CancelToken,
) -> Result<(), StepError> {
    let serving = site.serving()?;
    conflict(
        overlaps(manifest, &serving),
        "the site has a file where a directory is needed, or the reverse",
    )?;
    let prepared = stage_release(site, source, manifest, &serving, token)
        .and_then(|()| site.keep_overwritten(&serving, token));
    if let Err(error) = prepared {
        // No file of the site was touched; what cannot be cleared here is cleared by the next call.
        let _ = site.clear_staged();
        return Err(error);
    }
    site.publish(token).map_err(StepError::after_effect)?;
    let mut observed = site.serving().map_err(StepError::after_effect)?;
    // Files of earlier releases stay, so they say nothing about this one.
    observed.retain(|path, _| manifest.contains_key(path));
    if observed == *manifest { Ok(()) } else { Err(not_observed(manifest, &observed)) }
}

/// Copies what is new, hashing it on the way, and compares every file of the directory with the manifest.
fn stage_release(
    site: &mut Site,
    source: &Directory,
    manifest: &Manifest,
    serving: &Manifest,
    token: &CancelToken,
) -> Result<(), StepError> {
    let mut missing: Manifest = manifest.clone();
    let mut problems = walk(source, Bookkeeping::Refused, &mut |path, file, problems| {
        go_on(token)?;
        let Some(expected) = missing.remove(path) else {
            problems.add(path, "is not in the manifest");
            return Ok(());
        };
        let found = if serving.get(path) == Some(&expected) {
            digest_of(file, Path::new(path))?
        } else {
            site.stage(path, file)?
        };
        if found != expected {
            problems.add(path, format!("holds {}, not {}", found.digest, expected.digest));
        }
        Ok(())
    })?;
    for path in missing.keys() {
        problems.add(path, "is missing");
    }
    conflict(problems, "the directory no longer matches the manifest")
}

fn restore(site: &mut Site, before: &Manifest, token: &CancelToken) -> Result<(), StepError> {
    let serving = site.serving()?;
    conflict(overlaps(before, &serving), "the site has a file where a directory is needed, or the reverse")?;
    if let Err(error) = stage_kept(site, before, &serving, token) {
        // No file of the site was touched; what cannot be cleared here is cleared by the next call.
        let _ = site.clear_staged();
        return Err(error);
    }
    let later: Vec<&str> =
        serving.keys().filter(|path| !before.contains_key(*path)).map(String::as_str).collect();
    site.publish(token).and_then(|()| site.remove(later, token)).map_err(StepError::after_effect)?;
    let observed = site.serving().map_err(StepError::after_effect)?;
    if observed == *before { Ok(()) } else { Err(not_observed(before, &observed)) }
}

/// Stages from kept content whatever the site no longer serves as it did.
fn stage_kept(
    site: &mut Site,
    before: &Manifest,
    serving: &Manifest,
    token: &CancelToken,
) -> Result<(), StepError> {
    let mut problems = Problems::default();
    let mut worst = ErrorKind::NotFound;
    for (path, file) in before.iter().filter(|(path, file)| serving.get(*path) != Some(*file)) {
        go_on(token)?;
        if let Some((kind, problem)) = site.stage_kept(path, file)? {
            worst = worst.max(kind);
            problems.add(path, problem);
        }
    }
    problems.into_result().map_err(|problems| {
        StepError::new(worst, "the site cannot be restored from what was kept").because(problems)
    })
}

fn not_observed(wanted: &Manifest, observed: &Manifest) -> StepError {
    let mut problems = Problems::default();
    for path in wanted.iter().filter(|(path, file)| observed.get(*path) != Some(*file)).map(|(path, _)| path)
    {
        problems.add(path, "is not served as it should be");
    }
    for path in observed.keys().filter(|path| !wanted.contains_key(*path)) {
        problems.add(path, "is served still");
    }
    StepError::in_doubt("the site does not serve what was put in force").because(problems)
}
