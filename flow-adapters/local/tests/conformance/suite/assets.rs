use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use flow_core::port::AssetStore;
use flow_local::store::DirectoryAssets;
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::assets::{AssetsFixture, Files, Obstruction};
use tempfile::TempDir;

use crate::store::tree::tree;

struct Fixture {
    directory: TempDir,
    store: DirectoryAssets,
    releases: AtomicU32,
}

async fn fresh() -> Fixture {
    let directory = TempDir::new().unwrap();
    let store = DirectoryAssets::new(directory.path().join("site"));
    Fixture { directory, store, releases: AtomicU32::new(0) }
}

impl Fixture {
    fn site(&self) -> PathBuf {
        self.directory.path().join("site")
    }
}

#[async_trait]
impl AssetsFixture for Fixture {
    fn store(&self) -> &dyn AssetStore {
        &self.store
    }

    async fn lay_out(&self, files: &Files) -> Outside<PathBuf> {
        let number = self.releases.fetch_add(1, Ordering::Relaxed);
        let root = self.directory.path().join(format!("release-{number}"));
        fs::create_dir(&root)?;
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().ok_or("the path has no parent")?)?;
            fs::write(path, content)?;
        }
        Ok(root)
    }

    async fn site(&self) -> Outside<Files> {
        if !Self::site(self).exists() {
            return Ok(Files::new());
        }
        Ok(tree(&Self::site(self)).into_iter().filter_map(|(path, content)| Some((path, content?))).collect())
    }

    /// An empty directory is no file of the site, and no file can take its name.
    async fn obstruct(&self, path: &str) -> Outside<Obstruction> {
        fs::create_dir(Self::site(self).join(path))?;
        Ok(Obstruction::Stands)
    }
}

flow_testkit::assets_conformance!(fresh);
