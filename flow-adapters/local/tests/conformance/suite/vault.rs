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

#[cfg(feature = "age")]
mod encrypted {
    use std::fs;
    use std::path::Path;

    use age::secrecy::{ExposeSecret as _, SecretString};
    use async_trait::async_trait;
    use flow_core::ErrorKind;
    use flow_core::port::{Sealed, Vault};
    use flow_local::store::{DirectoryVault, VaultKey};
    use flow_testkit::conformance::vault::VaultFixture;
    use flow_testkit::conformance::{Checked, Outside};
    use flow_testkit::permit;
    use tempfile::TempDir;

    use super::Files;

    struct Encrypted(Files, VaultKey);

    #[async_trait]
    impl VaultFixture for Encrypted {
        fn vault(&self) -> &dyn Vault {
            self.0.vault()
        }

        /// Another process has the key from where it is kept.
        async fn reopened(&self) -> Outside<Box<dyn Vault>> {
            let key = VaultKey::parse(&self.1.to_identity())?;
            Ok(Box::new(DirectoryVault::encrypted(&self.0.root, key)))
        }

        async fn count(&self) -> Outside<usize> {
            self.0.count().await
        }

        async fn tamper(&self, sealed: &Sealed, content: &[u8]) -> Checked {
            self.0.tamper(sealed, content).await
        }

        async fn lose(&self, sealed: &Sealed) -> Checked {
            self.0.lose(sealed).await
        }

        async fn open_to_others(&self) -> Outside<Vec<String>> {
            self.0.open_to_others().await
        }
    }

    async fn fresh() -> Encrypted {
        let (directory, key) = (TempDir::new().unwrap(), VaultKey::generate());
        let root = directory.path().join("state/vault");
        let vault = DirectoryVault::encrypted(&root, key.clone());
        Encrypted(Files { vault, root, _directory: directory }, key)
    }

    flow_testkit::vault_conformance!(fresh);

    const SECRET: &[u8] = b"PASSWORD=correct horse battery staple";

    fn on_disk(root: &Path, sealed: &Sealed) -> Vec<u8> {
        fs::read(root.join(sealed.digest.hex())).unwrap()
    }

    #[tokio::test]
    async fn what_stands_on_the_disk_is_opened_by_age_with_the_key_and_shows_nothing_without_it() {
        let Encrypted(files, key) = fresh().await;
        let sealed = files.vault.seal(&permit(), SECRET).await.unwrap();
        let stands = on_disk(&files.root, &sealed);
        assert!(stands.starts_with(b"age-encryption.org/v1\n"));
        assert!(!stands.windows(8).any(|part| SECRET.windows(8).any(|secret| secret == part)));
        let identity: age::x25519::Identity = key.to_identity().expose_secret().parse().unwrap();
        assert_eq!(age::decrypt(&identity, &stands).unwrap(), SECRET);
    }

    #[tokio::test]
    async fn another_key_and_no_key_open_nothing_and_sealing_again_gives_it_to_the_new_key() {
        let Encrypted(files, key) = fresh().await;
        let sealed = files.vault.seal(&permit(), SECRET).await.unwrap();
        let other = DirectoryVault::encrypted(&files.root, VaultKey::generate());
        let clear = DirectoryVault::new(&files.root);
        for vault in [&other, &clear] {
            assert_eq!(vault.open(&sealed).await.unwrap_err().kind(), ErrorKind::Conflict);
        }
        other.seal(&permit(), SECRET).await.unwrap();
        assert_eq!(other.open(&sealed).await.unwrap(), SECRET);
        assert_eq!(files.vault.open(&sealed).await.unwrap_err().kind(), ErrorKind::Conflict);

        // What was kept in clear before there was a key is not taken for encrypted, nor left in clear.
        clear.seal(&permit(), SECRET).await.unwrap();
        assert_eq!(files.vault.open(&sealed).await.unwrap_err().kind(), ErrorKind::Conflict);
        DirectoryVault::encrypted(&files.root, key).seal(&permit(), SECRET).await.unwrap();
        assert!(on_disk(&files.root, &sealed).starts_with(b"age-encryption.org"));
    }

    #[test]
    fn a_key_is_shown_by_its_public_half_alone_and_a_bad_one_not_at_all() {
        let key = VaultKey::generate();
        let identity = key.to_identity();
        let secret = identity.expose_secret();
        let vault = DirectoryVault::encrypted("/vault", key.clone());
        for shown in [format!("{key:?}"), format!("{key:#?}"), format!("{vault:?}"), format!("{identity:?}")]
        {
            assert!(!shown.contains(secret) && !shown.contains("SECRET-KEY"), "{shown}");
        }
        let kept = format!("# created: today\n# public key: age1\n{secret}\n\n");
        assert_eq!(format!("{:?}", VaultKey::parse(&kept.into()).unwrap()), format!("{key:?}"));
        for (bad, problem) in [
            (String::new(), "holds no identity"),
            ("# nothing".to_owned(), "holds no identity"),
            (format!("{secret}\n{secret}"), "holds more than one identity"),
            (secret.replace('1', "2"), "is no X25519 identity of age"),
            (secret[..secret.len() - 1].to_owned(), "is no X25519 identity of age"),
        ] {
            let refused = VaultKey::parse(&SecretString::from(bad)).unwrap_err();
            assert_eq!(refused.to_string(), format!("`key`: {problem}"));
            assert!(!format!("{refused:?}").contains(&secret[20..40]));
        }
    }
}
