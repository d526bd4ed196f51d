use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use flow_core::port::ConfigurationStore;
use flow_local::store::DirectoryConfiguration;
use flow_testkit::conformance::configuration::ConfigurationFixture;
use flow_testkit::conformance::{Checked, Outside};
use tempfile::TempDir;

use super::{files, obstruct};

struct Files {
    store: DirectoryConfiguration,
    root: PathBuf,
    _directory: TempDir,
}

#[async_trait]
impl ConfigurationFixture for Files {
    fn store(&self) -> &dyn ConfigurationStore {
        &self.store
    }

    async fn reopened(&self) -> Outside<Box<dyn ConfigurationStore>> {
        Ok(Box::new(DirectoryConfiguration::new(&self.root)))
    }

    async fn kept(&self) -> Outside<BTreeMap<String, Vec<u8>>> {
        Ok(files(&self.root))
    }

    async fn obstruct(&self) -> Checked {
        obstruct(&self.root);
        Ok(())
    }
}

async fn fresh() -> Files {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("state/configuration");
    Files { store: DirectoryConfiguration::new(&root), root, _directory: directory }
}

flow_testkit::configuration_conformance!(fresh);
