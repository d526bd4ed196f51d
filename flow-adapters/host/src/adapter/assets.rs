use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use flow_core::port::{AssetFile, AssetRank, AssetStore, Host, HostPath, Manifest, Prober, asset_order};
use flow_core::{CancelToken, ErrorKind, Name, Permit, Problems, StepError};

use crate::client::{Served, Site, digests, go_on, off_thread};
use crate::config::ServedSite;

/// A site's static files in a directory of a host, which a web server there serves.
///
/// `put` compares the whole release with its manifest, keeps what it will overwrite, and then copies file by file, each in
/// force at once: content-hashed assets, other assets, pages, entry pages. Before the first page the assets are read back. Files
/// that are right already are not sent. Kept content stands in a directory beside the site, `<site>.kept`, and is never removed.
///
/// `restore` brings files back in the same order and only then removes what came after them, entry pages first.
///
/// A site has as many files as `find` can name in a mebibyte, some twenty thousand; more are refused.
#[derive(Clone)]
pub struct HostAssets {
    resource: Name,
    host: Arc<dyn Host>,
    root: HostPath,
    kept: HostPath,
    served: Option<Served>,
}

impl HostAssets {
    /// The site in the directory `root` of `host`, which is made with the first files. No other run may touch the resource
    /// `name` meanwhile: the same site must have the same name everywhere.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] for a root so long that nothing can stand beside it.
    pub fn new(name: Name, host: Arc<dyn Host>, root: HostPath) -> Result<Self, StepError> {
        let kept = HostPath::new(format!("{root}.kept"))?;
        Ok(Self { resource: name, host, root, kept, served: None })
    }

    /// Asks for what was put as readers do, too, each file once: the assets before the first page is put, the pages behind it. A file
    /// that readers do not get with status 200, its own content, a media type of its extension and the headers of its rank ends the
    /// [`put`](AssetStore::put) in doubt, with all such files. What stood as it must already is asked for only by a repeated call:
    /// the one before may have ended before it asked.
    ///
    /// What a [restore](AssetStore::restore) brought back is asked for as well, and held to its content alone: with which headers it was
    /// served before nobody knows. A changed file of more than 8 MiB, the most that a prober gives, is refused before any is touched.
    ///
    /// # Errors
    /// [`ErrorKind::Invalid`] with everything that is wrong with `site`.
    pub fn served_as(self, prober: Arc<dyn Prober>, site: ServedSite) -> Result<Self, StepError> {
        site.check()?;
        Ok(Self { served: Some(Served { prober, site }), ..self })
    }

    fn site(&self) -> Site<'_> {
        Site { host: &*self.host, root: &self.root, kept: &self.kept }
    }

    /// Puts changed files in force, and holds what came before the pages to what it must be before any page is.
    async fn publish(
        &self,
        permit: &Permit,
        directory: &Path,
        manifest: &Manifest,
        changed: &BTreeMap<&String, &AssetFile>,
    ) -> Result<(), StepError> {
        let mut order: Vec<&String> = changed.keys().copied().collect();
        order.sort_by_key(|path| asset_order(path));
        let is_page = |path: &str| asset_order(path).0 >= AssetRank::Page;
        let pages = order.partition_point(|path| !is_page(path));
        let (assets, pages) = order.split_at(pages);
        let mut begun = false;
        for (paths, are_pages) in [(assets, false), (pages, true)] {
            for path in paths {
                let put = match go_on(permit.cancel()) {
                    Ok(()) => self.site().put(permit, &directory.join(path), path).await,
                    cancelled => cancelled,
                };
                put.map_err(|error| if begun { error.after_effect() } else { error })?;
                begun = true;
            }
            if !paths.is_empty() {
                let serving = self.site().serving().await.map_err(StepError::after_effect)?;
                let wrong = paths.iter().find(|path| serving.get(**path) != changed.get(**path).copied());
                if let Some(path) = wrong {
                    return Err(StepError::in_doubt("a file is not served as it was put").fact("path", path));
                }
            }
            if let Some(served) = &self.served {
                let asked = manifest.iter().filter(|(path, _)| is_page(path) == are_pages);
                // The attempt before may have ended between its last change and the question.
                let asked = asked.filter(|(path, _)| permit.attempt() > 1 || changed.contains_key(path));
                served.check_declared(permit.cancel(), asked).await.map_err(StepError::after_effect)?;
            }
        }
        Ok(())
    }
}

#[async_trait]
impl AssetStore for HostAssets {
    fn resource(&self) -> Name {
        self.resource.clone()
    }

    async fn read(&self, directory: &Path) -> Result<Manifest, StepError> {
        let directory = directory.to_path_buf();
        off_thread(&CancelToken::new(), move |token| digests(&directory, token)).await
    }

    async fn serving(&self) -> Result<Manifest, StepError> {
        self.site().serving().await
    }

    async fn put(&self, permit: &Permit, directory: &Path, manifest: &Manifest) -> Result<(), StepError> {
        check_paths(manifest)?;
        let source = directory.to_path_buf();
        let found = off_thread(permit.cancel(), move |token| digests(&source, token)).await?;
        differences(manifest, &found).into_result().map_err(|problems| {
            StepError::new(ErrorKind::Conflict, "the directory no longer matches the manifest")
                .because(problems)
        })?;
        let serving = self.serving().await?;
        go_on(permit.cancel())?;
        let changed = changed(manifest, &serving);
        if self.served.is_some() {
            Served::check_sizes(&changed)?;
        }
        let overwritten = serving.iter().filter(|(path, _)| changed.contains_key(path));
        self.site().keep(permit, overwritten).await?;
        self.publish(permit, directory, manifest, &changed).await
    }

    async fn restore(&self, permit: &Permit, before: &Manifest) -> Result<(), StepError> {
        check_paths(before)?;
        let serving = self.serving().await?;
        let changed = changed(before, &serving);
        let (problems, worst) = self.site().check_kept(&changed).await?;
        problems.into_result().map_err(|problems| {
            StepError::new(worst, "the site cannot be restored from what was kept").because(problems)
        })?;
        go_on(permit.cancel())?;
        let mut back: Vec<(&String, &AssetFile)> = changed.into_iter().collect();
        back.sort_by_key(|(path, _)| asset_order(path));
        let mut later: Vec<&String> = serving.keys().filter(|path| !before.contains_key(*path)).collect();
        later.sort_by_key(|path| std::cmp::Reverse(asset_order(path)));
        let restored = async {
            for &(path, file) in &back {
                go_on(permit.cancel())?;
                self.site().bring_back(permit, path, file).await?;
            }
            for path in later {
                go_on(permit.cancel())?;
                self.site().remove(permit, path).await?;
            }
            let differs = differences(before, &self.serving().await?).into_result();
            differs.map_err(|problems| {
                StepError::in_doubt("the site does not serve what it served before").because(problems)
            })?;
            match &self.served {
                Some(served) => served.check_content(permit.cancel(), back.into_iter()).await,
                None => Ok(()),
            }
        };
        restored.await.map_err(StepError::after_effect)
    }
}

/// The files of `wanted` that are not served as they must be.
fn changed<'a>(wanted: &'a Manifest, serving: &Manifest) -> BTreeMap<&'a String, &'a AssetFile> {
    wanted.iter().filter(|(path, file)| serving.get(*path) != Some(*file)).collect()
}

fn differences(wanted: &Manifest, found: &Manifest) -> Problems {
    let mut problems = Problems::default();
    for (path, file) in wanted {
        match found.get(path) {
            None => problems.add(path, "is missing"),
            Some(other) if other != file => {
                problems.add(path, format!("holds {}, not {}", other.digest, file.digest));
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !wanted.contains_key(*path)) {
        problems.add(path, "is one too many");
    }
    problems
}

/// Refuses paths that leave the site: a manifest may come from a journal.
fn check_paths(manifest: &Manifest) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for path in manifest.keys().filter(|path| HostPath::new(path.as_str()).is_err()) {
        problems.add(path.escape_debug().to_string(), "is not a plain relative path below the site");
    }
    problems.into_result()
}

impl fmt::Debug for HostAssets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostAssets")
            .field("resource", &self.resource)
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}
