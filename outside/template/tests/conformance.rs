//! The suite of the port, against a real directory.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flow_core::port::ConfigurationStore;
use flow_template::{TemplateConfig, TemplateStore};
use flow_testkit::conformance::{Checked, Outside};
use flow_testkit::conformance::configuration::ConfigurationFixture;
use tempfile::TempDir;

struct Directory {
    directory: TempDir,
    store: TemplateStore,
}

fn open(directory: &TempDir) -> TemplateStore {
    let config = TemplateConfig { directory: directory.path().to_path_buf() };
    TemplateStore::new(config).expect("the directory exists")
}

#[async_trait]
impl ConfigurationFixture for Directory {
    fn store(&self) -> &dyn ConfigurationStore {
        &self.store
    }

    async fn reopened(&self) -> Outside<Box<dyn ConfigurationStore>> {
        Ok(Box::new(open(&self.directory)))
    }

    /// Every file of the directory, read past the adapter.
    async fn kept(&self) -> Outside<BTreeMap<String, Vec<u8>>> {
        let mut kept = BTreeMap::new();
        for entry in std::fs::read_dir(self.directory.path())? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                kept.insert(entry.file_name().to_string_lossy().into_owned(), std::fs::read(entry.path())?);
            }
        }
        Ok(kept)
    }

    /// A directory stands where the new file is written before it takes its place.
    async fn obstruct(&self) -> Checked {
        for name in self.kept().await?.keys() {
            std::fs::create_dir(self.directory.path().join(format!(".{name}.new")))?;
        }
        Ok(())
    }
}

async fn fresh() -> Directory {
    let directory = TempDir::new().expect("a directory of its own");
    let store = open(&directory);
    Directory { directory, store }
}

flow_testkit::configuration_conformance!(fresh);
