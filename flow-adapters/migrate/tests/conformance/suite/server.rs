//! A database of any engine for the testkit's suite, judged from outside.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flow_core::port::{BackupProof, Migrator};
use flow_migrate::{ConsistencyQuery, SqlConfig, SqlMigrations};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::migrator::{LOST, MigratorFixture, Tables};
use flow_testkit::fake::{Migration, Statement};

use crate::stage::{Engine, Stage};

pub(super) struct Fixture {
    stage: Stage,
    migrations: SqlMigrations,
}

impl Fixture {
    pub(super) async fn new(engine: Engine) -> Self {
        let stage = Stage::new(engine).await;
        let lost = ConsistencyQuery {
            name: LOST,
            sql: "SELECT count(*) FROM ledger WHERE note = 'lost'".to_owned(),
            expect: "0".to_owned(),
        };
        let config = SqlConfig { checks: vec![lost], ..stage.config() };
        Self { migrations: SqlMigrations::new(config).unwrap(), stage }
    }
}

#[async_trait]
impl MigratorFixture for Fixture {
    fn migrator(&self) -> &dyn Migrator {
        &self.migrations
    }

    async fn write(&self, migration: &Migration) -> Outside<()> {
        self.remove(migration.version()).await?;
        let stem = format!("{}_{}", migration.version(), migration.name());
        self.stage.script(&stem, &migration.up(), migration.down().as_deref());
        Ok(())
    }

    async fn remove(&self, version: &str) -> Outside<()> {
        for entry in std::fs::read_dir(self.stage.scripts())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.split('_').next() == Some(version) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    async fn execute(&self, statement: &Statement) -> Outside<()> {
        self.stage.ask_as_owner(&statement.to_string()).await;
        Ok(())
    }

    async fn tables(&self) -> Outside<Tables> {
        tables(&self.stage).await
    }

    async fn restored(&self, backup: &BackupProof) -> Outside<Tables> {
        let other = Stage::new(self.stage.engine).await;
        other.restore(&backup.backup.path).await;
        tables(&other).await
    }
}

async fn tables(stage: &Stage) -> Outside<Tables> {
    let mut tables = Tables::new();
    for table in stage.tables().await {
        let mut rows = BTreeMap::new();
        let row = if stage.engine == Engine::Sqlite { "id || '|' || note" } else { "id, note" };
        for row in stage.ask(&format!("SELECT {row} FROM {table}")).await {
            let (id, note) = row.split_once('|').ok_or("the row has no key")?;
            rows.insert(id.parse()?, note.to_owned());
        }
        tables.insert(table, rows);
    }
    Ok(tables)
}
