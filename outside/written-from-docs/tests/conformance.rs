//! The suite of flow-testkit against the real file, and what is particular to it.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test may")]

use std::fs;

use async_trait::async_trait;
use flow_core::port::{EvidenceStore, RunEvidence};
use flow_core::{Digest, Environment, ErrorKind, RunId, StepError, name};
use flow_ledgerfile::{Ledgerfile, LedgerfileConfig};
use flow_testkit::conformance::{Checked, Outside};
use flow_testkit::conformance::evidence::EvidenceFixture;
use flow_testkit::permit;
use tempfile::TempDir;

struct OnDisk {
    folder: TempDir,
    config: LedgerfileConfig,
    store: Ledgerfile,
}

impl OnDisk {
    fn cut(&self, bytes: usize) -> Checked {
        let mut kept = fs::read(self.config.path())?;
        kept.truncate(kept.len() - bytes);
        Ok(fs::write(self.config.path(), kept)?)
    }

    async fn look(&self) -> Result<Vec<RunEvidence>, StepError> {
        self.store.find(&name!("shop"), Environment::Staging, &Digest::of(b"image")).await
    }
}

#[async_trait]
impl EvidenceFixture for OnDisk {
    fn store(&self) -> &dyn EvidenceStore {
        &self.store
    }

    async fn reopened(&self) -> Outside<Box<dyn EvidenceStore>> {
        Ok(Box::new(Ledgerfile::open(self.config.clone())))
    }

    async fn kept(&self) -> Outside<String> {
        let files = fs::read_dir(self.folder.path())?.count();
        Ok(format!("{files} {}", fs::read_to_string(self.config.path())?))
    }

    async fn damage(&self) -> Checked {
        self.cut(5)
    }

    async fn empty(&self) -> Checked {
        Ok(fs::write(self.config.path(), "")?)
    }
}

async fn fresh() -> OnDisk {
    let folder = tempfile::tempdir().expect("a folder");
    let config = LedgerfileConfig::new(folder.path().join("evidence.jsonl")).expect("a path");
    Ledgerfile::create(&config).expect("a ledger");
    OnDisk { store: Ledgerfile::open(config.clone()), folder, config }
}

flow_testkit::evidence_conformance!(fresh);

fn evidence(run: &str) -> Outside<RunEvidence> {
    Ok(RunEvidence {
        application: name!("shop"),
        environment: Environment::Staging,
        release: name!("1.4.0"),
        digests: vec![Digest::of(b"image")],
        proved: vec![],
        run: RunId::new(run)?,
        head: Digest::of(b"head"),
        recorded: "2026-11-25T12:00:00Z".parse()?,
        expires: "2026-12-25T12:00:00Z".parse()?,
    })
}

#[tokio::test]
async fn a_torn_line_is_an_error_until_the_next_record_has_marked_it() -> Checked {
    let disk = fresh().await;
    disk.store.record(&permit(), &evidence("one")?).await?;
    disk.store.record(&permit(), &evidence("two")?).await?;
    for bytes in [2, 5, 100] {
        disk.cut(bytes)?;
        assert_eq!(disk.look().await.unwrap_err().kind(), ErrorKind::Unavailable);
        disk.store.record(&permit(), &evidence("two")?).await?;
        disk.cut(1)?;
        assert_eq!(disk.look().await?, [evidence("one")?, evidence("two")?], "whole but for its newline");
    }
    Ok(())
}

#[tokio::test]
async fn a_ledger_that_is_lost_emptied_or_garbled_is_neither_read_nor_written() -> Checked {
    for garbled in [None, Some(""), Some("{\"ledger\":2}\n"), Some("{\"ledger\":1}\n\n"), Some("{\"ledger\":1}\nx")] {
        let disk = fresh().await;
        garbled.map_or_else(|| fs::remove_file(disk.config.path()), |text| fs::write(disk.config.path(), text))?;
        assert!(disk.look().await.is_err(), "{garbled:?}");
        assert!(disk.store.record(&permit(), &evidence("one")?).await.is_err(), "{garbled:?}");
        assert_eq!(fs::read_to_string(disk.config.path()).ok().as_deref(), garbled);
    }
    Ok(())
}

#[tokio::test]
async fn while_another_process_appends_a_record_is_worth_another_attempt() -> Checked {
    let disk = fresh().await;
    let other = fs::File::open(disk.config.path())?;
    other.lock()?;
    let refused = disk.store.record(&permit(), &evidence("one")?).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    drop(other);
    Ok(disk.store.record(&permit(), &evidence("one")?).await?)
}
