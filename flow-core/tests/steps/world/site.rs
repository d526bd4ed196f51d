use std::path::Path;

use flow_core::Digest;
use flow_core::port::{AssetFile, AssetStore, Cdn, DomainReport, Manifest};
use flow_core::prelude::*;

use super::World;

/// Where readers reach the site.
pub(crate) const SITE: &str = "https://shop.test";

fn file(content: &[u8]) -> AssetFile {
    AssetFile { digest: Digest::of(content), bytes: content.len().try_into().unwrap() }
}

#[async_trait]
impl AssetStore for World {
    fn resource(&self) -> Name {
        name!("site")
    }

    async fn read(&self, directory: &Path) -> Result<Manifest, StepError> {
        let state = self.state();
        let missing = || StepError::new(ErrorKind::Invalid, "there is no such directory");
        let files = state.directories.get(directory).ok_or_else(missing)?;
        Ok(files.iter().map(|(path, content)| (path.clone(), file(content))).collect())
    }

    async fn serving(&self) -> Result<Manifest, StepError> {
        Ok(self.state().served.iter().map(|(path, content)| (path.clone(), file(content))).collect())
    }

    async fn put(&self, _: &Permit, directory: &Path, manifest: &Manifest) -> Result<(), StepError> {
        if AssetStore::read(self, directory).await? != *manifest {
            return Err(StepError::new(ErrorKind::Conflict, "the directory no longer matches"));
        }
        let files = self.state().directories[directory].clone();
        for (path, content) in files {
            self.change(format!("put {path}"), |state| {
                let old = state.served.insert(path, content);
                state.ever_served.extend(old.map(|old| (Digest::of(&old), old)));
            })?;
        }
        Ok(())
    }

    async fn restore(&self, _: &Permit, before: &Manifest) -> Result<(), StepError> {
        self.change("restore the site", |state| {
            let missing = || StepError::new(ErrorKind::NotFound, "the content was not kept");
            let mut served = std::collections::BTreeMap::new();
            for (path, file) in before {
                let standing = state.served.get(path).filter(|content| Digest::of(content) == file.digest);
                let content = standing.or_else(|| state.ever_served.get(&file.digest)).ok_or_else(missing)?;
                served.insert(path.clone(), content.clone());
            }
            state.served = served;
            Ok(())
        })?
    }
}

#[async_trait]
impl Cdn for World {
    async fn purge(&self, _: &Permit, paths: &[String]) -> Result<(), StepError> {
        assert!(!paths.is_empty(), "a purge of nothing may be taken for a purge of everything");
        self.change(format!("purge {}", paths.join(" ")), |state| {
            state.cache.retain(|path, _| !paths.contains(path));
        })
    }

    async fn domain(&self) -> Result<DomainReport, StepError> {
        let holds = !self.state().domain_broken;
        let found = if holds { "resolves" } else { "the certificate has expired" }.to_owned();
        Ok(DomainReport { domain: "shop.test".to_owned(), holds, found })
    }
}
