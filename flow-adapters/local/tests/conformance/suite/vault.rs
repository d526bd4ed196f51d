use std::fs;
use std::path::PathBuf;

use async_trait::async_trait;
use flow_core::port::{Sealed, Vault};
use flow_local::store::DirectoryVault;
use flow_testkit::conformance::vault::VaultFixture;
use flow_testkit::conformance::{Checked, Outside};
use tempfile::TempDir;

use super::files;
use crate::store::tree::mode;

struct Files {
    vault: DirectoryVault,
    root: PathBuf,
    _directory: TempDir,
}

#[async_trait]
impl VaultFixture for Files {
    fn vault(&self) -> &dyn Vault {
        &self.vault
    }

    async fn reopened(&self) -> Outside<Box<dyn Vault>> {
        Ok(Box::new(DirectoryVault::new(&self.root)))
    }

    async fn count(&self) -> Outside<usize> {
        Ok(files(&self.root).len())
    }

    async fn tamper(&self, sealed: &Sealed, content: &[u8]) -> Checked {
        Ok(fs::write(self.root.join(sealed.digest.hex()), content)?)
    }

    async fn lose(&self, sealed: &Sealed) -> Checked {
        Ok(fs::remove_file(self.root.join(sealed.digest.hex()))?)
    }

    async fn open_to_others(&self) -> Outside<Vec<String>> {
        let all = std::iter::once(String::new()).chain(files(&self.root).into_keys());
        Ok(all.filter(|name| mode(&self.root.join(name)) & 0o077 != 0).collect())
    }
}

async fn fresh() -> Files {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("state/vault");
    Files { vault: DirectoryVault::new(&root), root, _directory: directory }
}

flow_testkit::vault_conformance!(fresh);
