use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use flow_core::port::EvidenceStore;
use flow_local::store::DirectoryEvidence;
use flow_testkit::conformance::evidence::EvidenceFixture;
use flow_testkit::conformance::{Checked, Outside};
use tempfile::TempDir;

use super::files;

struct Files {
    store: DirectoryEvidence,
    root: PathBuf,
    _directory: TempDir,
}

#[async_trait]
impl EvidenceFixture for Files {
    fn store(&self) -> &dyn EvidenceStore {
        &self.store
    }

    async fn reopened(&self) -> Outside<Box<dyn EvidenceStore>> {
        Ok(Box::new(DirectoryEvidence::new(&self.root)))
    }

    async fn kept(&self) -> Outside<String> {
        Ok(format!("{:?}", files(&self.root)))
    }

    async fn damage(&self) -> Checked {
        for (path, content) in files(&self.root) {
            fs::write(self.root.join(path), &content[..content.len() / 2])?;
        }
        Ok(())
    }

    async fn empty(&self) -> Checked {
        for (path, _) in files(&self.root) {
            fs::write(self.root.join(path), "")?;
        }
        Ok(())
    }
}

async fn fresh() -> Files {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("state/evidence");
    Files { store: DirectoryEvidence::new(&root), root, _directory: directory }
}

flow_testkit::evidence_conformance!(fresh);
