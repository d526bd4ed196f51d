use async_trait::async_trait;
use flow_core::port::{BackupProof, Migrator};
use flow_migrate::{ConsistencyQuery, SqlConfig, SqlMigrations};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::migrator::{LOST, MigratorFixture, Tables};
use flow_testkit::fake::{Migration, Statement};
use std::path::Path;

use crate::world::{World, ask};

struct Fixture {
    world: World,
    migrations: SqlMigrations,
}

async fn fresh() -> Fixture {
    let world = World::new();
    let lost = ConsistencyQuery {
        name: LOST,
        sql: "SELECT count(*) FROM ledger WHERE note = 'lost'".to_owned(),
        expect: "0".to_owned(),
    };
    let config = SqlConfig { checks: vec![lost], ..world.config() };
    Fixture { migrations: SqlMigrations::new(config).unwrap(), world }
}

#[async_trait]
impl MigratorFixture for Fixture {
    fn migrator(&self) -> &dyn Migrator {
        &self.migrations
    }

    async fn write(&self, migration: &Migration) -> Outside<()> {
        self.remove(migration.version()).await?;
        let stem = format!("{}_{}", migration.version(), migration.name());
        self.world.script(&stem, &migration.up(), migration.down().as_deref());
        Ok(())
    }

    async fn remove(&self, version: &str) -> Outside<()> {
        for entry in std::fs::read_dir(self.world.scripts())? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.split('_').next() == Some(version) {
                std::fs::remove_file(path)?;
            }
        }
        Ok(())
    }

    async fn execute(&self, statement: &Statement) -> Outside<()> {
        self.world.run(&statement.to_string()).await;
        Ok(())
    }

    async fn tables(&self) -> Outside<Tables> {
        tables(&self.world.database()).await
    }

    /// A backup is a database file: a copy of it is the database restored.
    async fn restored(&self, backup: &BackupProof) -> Outside<Tables> {
        let copy = self.world.root().join("restored.db");
        std::fs::copy(&backup.backup.path, &copy)?;
        tables(&copy).await
    }
}

/// The tables of a database file, as its catalogue and its rows have them, by a connection of their own.
async fn tables(database: &Path) -> Outside<Tables> {
    let named = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT IN ('_flow_migrations', '_sqlx_migrations')";
    let mut tables = Tables::new();
    for table in ask(database, named).await {
        let mut rows = std::collections::BTreeMap::new();
        for row in ask(database, &format!("SELECT id || ' ' || note FROM {table}")).await {
            let (id, note) = row.split_once(' ').ok_or("the row has no key")?;
            rows.insert(id.parse()?, note.to_owned());
        }
        tables.insert(table, rows);
    }
    Ok(tables)
}

flow_testkit::migrator_conformance!(fresh);
