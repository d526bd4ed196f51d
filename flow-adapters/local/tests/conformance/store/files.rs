use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;

use flow_core::port::{ConfigurationStore, EvidenceStore, RunEvidence, Vault};
use flow_core::{Digest, Environment, ErrorKind, Name, RunId, name};
use flow_local::store::{DirectoryConfiguration, DirectoryEvidence, DirectoryVault};
use flow_testkit::permit;
use tempfile::TempDir;

use super::tree::{mode, plant, tree};

fn place() -> (TempDir, PathBuf) {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("state/store");
    (directory, root)
}

#[tokio::test]
async fn a_configuration_is_a_file_of_its_name_for_its_owner_alone() {
    let (_directory, root) = place();
    let store = DirectoryConfiguration::new(&root);
    store.write(&permit(), &name!("web.toml"), Some(b"port = 1".to_vec())).await.unwrap();
    assert_eq!(fs::read(root.join("web.toml")).unwrap(), b"port = 1");
    assert_eq!(mode(&root.join("web.toml")), 0o600);
}

#[tokio::test]
async fn what_a_dead_writer_left_behind_is_neither_read_nor_in_the_way() {
    let (_directory, root) = place();
    plant(&root, &[(".flow-new", "half a confi")]);
    let store = DirectoryConfiguration::new(&root);
    store.write(&permit(), &name!("web"), Some(b"whole".to_vec())).await.unwrap();
    let expected = [("web".to_owned(), Some(b"whole".to_vec()))].into();
    assert_eq!(tree(&root), expected);
}

#[tokio::test]
async fn a_configuration_behind_a_link_is_refused_and_its_target_stands() {
    let (directory, root) = place();
    plant(directory.path(), &[("theirs", "secret"), ("state/store/other", "")]);
    symlink(directory.path().join("theirs"), root.join("web")).unwrap();
    let store = DirectoryConfiguration::new(&root);
    let name = name!("web");
    let read = store.read(&name).await.unwrap_err();
    let write = store.write(&permit(), &name, Some(b"ours".to_vec())).await.unwrap_err();
    let remove = store.write(&permit(), &name, None).await.unwrap_err();
    for error in [read, write, remove] {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains("store/web"), "{error}");
    }
    assert_eq!(fs::read_to_string(directory.path().join("theirs")).unwrap(), "secret");
    assert!(fs::symlink_metadata(root.join("web")).unwrap().is_symlink());
}

#[tokio::test]
async fn a_store_that_cannot_be_a_directory_is_a_typed_error_that_names_it() {
    let (directory, root) = place();
    plant(directory.path(), &[("state", "a file")]);
    let configuration = DirectoryConfiguration::new(&root);
    let evidence = DirectoryEvidence::new(&root);
    let errors = [
        configuration.read(&name!("web")).await.unwrap_err(),
        configuration.write(&permit(), &name!("web"), Some(Vec::new())).await.unwrap_err(),
        DirectoryVault::new(&root).seal(&permit(), b"x").await.unwrap_err(),
        evidence.record(&permit(), &proof("1.0.0", "run-1", &["a"])).await.unwrap_err(),
        evidence.find(&name!("shop"), Environment::Staging, &Digest::of(b"a")).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
        assert!(error.to_string().contains("/state"), "{error}");
    }
    assert_eq!(fs::read_to_string(directory.path().join("state")).unwrap(), "a file");
}

#[tokio::test]
async fn a_configuration_over_its_limit_is_refused_and_the_old_one_stands() {
    let (_directory, root) = place();
    let store = DirectoryConfiguration::new(&root);
    let name = name!("web");
    store.write(&permit(), &name, Some(vec![b'x'; 1 << 20])).await.unwrap();
    let error = store.write(&permit(), &name, Some(vec![b'x'; (1 << 20) + 1])).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(store.read(&name).await.unwrap().unwrap().len(), 1 << 20);
    fs::write(root.join("web"), vec![b'x'; (1 << 20) + 1]).unwrap();
    assert_eq!(store.read(&name).await.unwrap_err().kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn a_vault_that_others_could_read_is_denied() {
    let (directory, root) = place();
    let vault = DirectoryVault::new(&root);
    let sealed = vault.seal(&permit(), b"PASSWORD=x").await.unwrap();
    let file = root.join(sealed.digest.hex());

    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let error = vault.open(&sealed).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert!(error.to_string().contains("640"), "{error}");
    assert_eq!(vault.seal(&permit(), b"PASSWORD=x").await.unwrap_err().kind(), ErrorKind::Denied);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();

    fs::set_permissions(&root, fs::Permissions::from_mode(0o750)).unwrap();
    assert_eq!(vault.open(&sealed).await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(vault.seal(&permit(), b"more").await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(fs::read_dir(&root).unwrap().count(), 1);
    fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();

    fs::rename(&file, directory.path().join("elsewhere")).unwrap();
    symlink(directory.path().join("elsewhere"), &file).unwrap();
    assert_eq!(vault.open(&sealed).await.unwrap_err().kind(), ErrorKind::Conflict);
}

fn proof(release: &'static str, run: &str, contents: &[&str]) -> RunEvidence {
    RunEvidence {
        proved: Vec::new(),
        application: name!("shop"),
        environment: Environment::Staging,
        release: Name::new(release).unwrap(),
        digests: contents.iter().map(|content| Digest::of(content.as_bytes())).collect(),
        run: RunId::new(run).unwrap(),
        head: Digest::of(run.as_bytes()),
        recorded: "2026-01-02T03:04:05Z".parse().unwrap(),
        expires: "2026-02-02T03:04:05Z".parse().unwrap(),
    }
}

fn evidence_file(root: &std::path::Path, content: &str, run: &str) -> PathBuf {
    root.join(format!("shop/staging/{}/{run}.json", Digest::of(content.as_bytes()).hex()))
}

#[tokio::test]
async fn damaged_or_misplaced_evidence_is_an_error_that_names_the_file_and_never_an_absence() {
    let (_directory, root) = place();
    let store = DirectoryEvidence::new(&root);
    store.record(&permit(), &proof("1.0.0", "run-1", &["a"])).await.unwrap();
    let file = evidence_file(&root, "a", "run-1");
    let good = fs::read_to_string(&file).unwrap();
    let torn = good.get(..good.len() / 2).unwrap().to_owned();
    let unknown = good.replacen("\"release\"", "\"relaese\"", 1);
    let elsewhere = good.replace("staging", "production");
    let undigested = good.replace(&Digest::of(b"a").hex(), &Digest::of(b"z").hex());
    for damaged in [String::new(), torn, unknown, elsewhere, undigested, good.replace("run-1", "run-2")] {
        fs::write(&file, &damaged).unwrap();
        let error = store.find(&name!("shop"), Environment::Staging, &Digest::of(b"a")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{damaged}");
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        let error = store.record(&permit(), &proof("1.0.0", "run-1", &["a"])).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict, "{damaged}");
        assert_eq!(
            fs::read_to_string(&file).unwrap(),
            damaged,
            "damaged evidence is kept for whoever looks into it"
        );
    }
    fs::write(&file, good).unwrap();
    fs::write(file.with_file_name("notes.txt"), "not evidence").unwrap();
    let error = store.find(&name!("shop"), Environment::Staging, &Digest::of(b"a")).await.unwrap_err();
    assert!(error.to_string().contains("notes.txt"), "{error}");
}
