//! The seam between the vault and the databases.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};
use futures::future::join;

use super::draft::{Draft, Sealed};
use super::mysql::MysqlCopier;
use super::postgres::PostgresCopier;
use super::scratch::ScratchDatabase;
use super::settings::BackupSettings;
use super::sqlite::SqliteCopier;
use super::tool::Limits;
use crate::config::{Place, Server, SqlConfig, Waits};
use crate::engine::Engine;
use crate::proof::Contents;
use crate::scratch::Scratch;

/// Dumps one moment of a database, and restores it.
#[async_trait]
pub(super) trait Copier: Send + Sync + fmt::Debug {
    /// The database, as people call it, without a password.
    fn source(&self) -> String;

    /// How the name of a dump ends.
    fn suffix(&self) -> &'static str;

    /// Whether restoring runs what stands in a dump, with the rights of the user who restores.
    fn runs_dumps(&self) -> bool {
        true
    }

    /// Fills `draft` with the database at one moment and reads, of the same moment, what stands in it. When it fails, nothing of
    /// it runs any more.
    async fn take(&self, draft: &Arc<Draft>, cancel: &CancelToken) -> Result<Taken, StepError>;

    /// Restores a dump into a database of its own. When it fails, that is gone.
    async fn restore(&self, sealed: Sealed, cancel: &CancelToken) -> Result<Restored, StepError>;

    /// Reads what stands in a restored database.
    async fn contents(&self, restored: &mut Restored, cancel: &CancelToken) -> Result<Contents, StepError>;
}

/// What was dumped.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) contents: Contents,
    /// The server's version in its own words.
    pub(super) server: String,
    /// How long writers had to wait.
    pub(super) locked: Duration,
}

/// A database of ours into which a dump was restored. Nobody else uses it; it is removed when nobody needs it any more, or, where
/// this process dies, by the next one.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) engine: Arc<dyn Engine>,
    pub(super) stands: Stands,
}

/// Where it stands.
#[derive(Debug)]
pub(super) enum Stands {
    File(Scratch),
    Database(ScratchDatabase),
}

impl Restored {
    /// Removes it.
    pub(crate) async fn remove(self) -> Result<(), StepError> {
        match self.stands {
            Stands::File(file) => {
                drop(file);
                Ok(())
            }
            Stands::Database(database) => database.remove().await,
        }
    }
}

/// What the copiers of servers know.
#[derive(Debug, Clone)]
pub(super) struct Site {
    pub(super) source: Server,
    /// The server of restored copies, and a database of it to connect to.
    pub(super) scratch: Server,
    pub(super) waits: Waits,
    pub(super) directory: PathBuf,
    pub(super) settings: BackupSettings,
}

impl Site {
    pub(super) fn limits(&self, cancel: &CancelToken) -> Limits {
        Limits { patience: self.settings.patience, cancel: cancel.clone() }
    }

    /// The database, as people call it.
    pub(super) fn name(&self, product: &str) -> String {
        let Server { host, port, socket, database, .. } = &self.source;
        let place =
            socket.as_ref().map_or_else(|| format!("{host}:{port}"), |socket| socket.display().to_string());
        format!("{product} {place} {database}")
    }
}

/// The copier of a configuration.
pub(super) fn copier(config: &SqlConfig) -> Arc<dyn Copier> {
    // Reading all of a table takes as long as it takes.
    let waits = Waits { statement: None, ..config.waits.clone() };
    let site = |server: &Server| {
        let elsewhere = match config.backup.scratch.as_ref().map(crate::config::Target::place) {
            Some(Place::Postgres(scratch) | Place::Mysql(scratch)) => scratch,
            _ => server,
        };
        Site {
            source: server.clone(),
            scratch: elsewhere.clone(),
            waits: waits.clone(),
            directory: config.backups.clone(),
            settings: config.backup.clone(),
        }
    };
    match config.target.place() {
        Place::Postgres(server) => Arc::new(PostgresCopier(site(server))),
        Place::Mysql(server) => Arc::new(MysqlCopier(site(server))),
        Place::Sqlite(path) => Arc::new(SqliteCopier::new(path, config)),
    }
}

/// Awaits both; where one fails the other is stopped, and what is told is the failure that came first.
pub(super) async fn side_by_side<T>(
    dumped: impl Future<Output = Result<(), StepError>>,
    read: impl Future<Output = Result<T, StepError>>,
    both: &CancelToken,
) -> Result<T, StepError> {
    match join(or_cancel(dumped, both), or_cancel(read, both)).await {
        (Err(error), _) if error.kind() != ErrorKind::Cancelled => Err(error),
        (dumped, read) => {
            let read = read?;
            dumped.map(|()| read)
        }
    }
}

async fn or_cancel<T>(
    work: impl Future<Output = Result<T, StepError>>,
    both: &CancelToken,
) -> Result<T, StepError> {
    work.await.inspect_err(|_| both.cancel())
}
