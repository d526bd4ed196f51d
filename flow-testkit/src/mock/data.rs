//! The ports of hosts, databases and kept state.

use std::path::Path;

use async_trait::async_trait;
use flow_core::port::{
    AppliedMigration, BackupProof, Command, CommandOutput, DataCheck, EvidenceStore, Host, HostPath,
    MigrationScript, MigrationState, Migrator, RunEvidence, Sealed, StatementImpact, Vault,
};
use flow_core::{Digest, Environment, Name, Permit, StepError};
use mockall::mock;

mock! {
    /// A mock of [`Host`].
    pub Host {}

    #[async_trait]
    impl Host for Host {
        async fn query(&self, command: &Command) -> Result<CommandOutput, StepError>;
        async fn run(&self, permit: &Permit, command: &Command) -> Result<CommandOutput, StepError>;
        async fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>, StepError>;
        async fn write(&self, permit: &Permit, path: &HostPath, content: &[u8]) -> Result<(), StepError>;
        async fn copy(&self, permit: &Permit, from: &Path, to: &HostPath) -> Result<(), StepError>;
        async fn remove(&self, permit: &Permit, path: &HostPath) -> Result<(), StepError>;
        async fn read_link(&self, path: &HostPath) -> Result<Option<String>, StepError>;
        async fn link(&self, permit: &Permit, path: &HostPath, target: &HostPath) -> Result<(), StepError>;
        async fn list(&self, path: &HostPath) -> Result<Vec<String>, StepError>;
    }
}

mock! {
    /// A mock of [`Migrator`].
    pub Migrator {}

    #[async_trait]
    impl Migrator for Migrator {
        fn resource(&self) -> Name;
        async fn scripts(&self) -> Result<Vec<MigrationScript>, StepError>;
        async fn state(&self) -> Result<MigrationState, StepError>;
        async fn impact(&self) -> Result<Vec<StatementImpact>, StepError>;
        async fn back_up(&self, permit: &Permit) -> Result<BackupProof, StepError>;
        async fn apply(&self, permit: &Permit) -> Result<Vec<AppliedMigration>, StepError>;
        async fn revert_to(&self, permit: &Permit, applied: &[String]) -> Result<(), StepError>;
        async fn check(&self) -> Result<Vec<DataCheck>, StepError>;
    }
}

mock! {
    /// A mock of [`Vault`].
    pub Vault {}

    #[async_trait]
    impl Vault for Vault {
        async fn seal(&self, permit: &Permit, content: &[u8]) -> Result<Sealed, StepError>;
        async fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StepError>;
    }
}

mock! {
    /// A mock of [`EvidenceStore`].
    pub EvidenceStore {}

    #[async_trait]
    impl EvidenceStore for EvidenceStore {
        async fn record(&self, permit: &Permit, evidence: &RunEvidence) -> Result<(), StepError>;
        async fn find(
            &self,
            application: &Name,
            environment: Environment,
            digest: &Digest,
        ) -> Result<Vec<RunEvidence>, StepError>;
    }
}
