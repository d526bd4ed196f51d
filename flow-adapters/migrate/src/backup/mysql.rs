//! MariaDB and MySQL: a short read lock under which `mariadb-dump --single-transaction` and the session that reads the rows begin
//! (<https://mariadb.com/kb/en/flush/>, <https://mariadb.com/kb/en/mariadb-dump/>).

mod events;
mod rows;
mod watch;

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};
use flow_sql::Dialect;
use futures::future::{Either, select};
use tokio::sync::oneshot;

use self::events::WithoutEvents;
use self::watch::Watch;
use super::copier::{Copier, Restored, Site, Stands, Taken, side_by_side};
use super::draft::{Draft, Sealed};
use super::scratch::ScratchDatabase;
use super::secret::Secret;
use super::tool::{Tool, numbers, option, pour_in, pour_out};
use crate::config::{Server, Tls};
use crate::engine::mysql::Mysql;
use crate::engine::{Access, Engine as _, Session};
use crate::files::blocking;
use crate::proof::Contents;

const DUMP: [&str; 2] = ["mariadb-dump", "mysqldump"];
const CLIENT: [&str; 2] = ["mariadb", "mysql"];

/// Rows of such tables are of no moment: a transaction does not hold them still.
const WITHOUT_TRANSACTIONS: &str = "SELECT TABLE_NAME, t.ENGINE FROM information_schema.TABLES AS t
    LEFT JOIN information_schema.ENGINES AS e ON e.ENGINE = t.ENGINE
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED')
    AND coalesce(TRANSACTIONS, 'NO') <> 'YES'";

const CHARACTERS: &str = "SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME
    FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = DATABASE()";

#[derive(Debug)]
pub(super) struct MysqlCopier(pub(super) Site);

#[async_trait]
impl Copier for MysqlCopier {
    fn source(&self) -> String {
        self.0.name("mysql")
    }

    fn suffix(&self) -> &'static str {
        "sql"
    }

    async fn take(&self, draft: &Arc<Draft>, cancel: &CancelToken) -> Result<Taken, StepError> {
        let engine = Mysql::new(self.0.source.clone(), self.0.waits.clone());
        let mut holder = engine.open(Access::Write, cancel).await?;
        let mut reader = engine.open(Access::Write, cancel).await?;
        let server = engine.software(holder.as_mut()).await?.version;
        let (dump, _) = self.tools(&server, cancel).await?;
        refuse_what_cannot_be_held(holder.as_mut()).await?;
        rows::prepare(reader.as_mut()).await?;
        holder.wait_for_locks(Some(self.0.settings.lock)).await?;
        let secret = self.secret(&self.0.source).await?;
        let both = cancel.child();
        let (begun, begins) = oneshot::channel();
        let dumped = self.dump(&dump, &secret, draft, begun, &both);
        let held = self.hold_and_read(&engine, holder.as_mut(), reader.as_mut(), begins);
        let (contents, locked) = side_by_side(dumped, held, &both).await?;
        holder.close().await?;
        reader.close().await?;
        Ok(Taken { contents, server, locked })
    }

    async fn restore(&self, sealed: Sealed, cancel: &CancelToken) -> Result<Restored, StepError> {
        let Site { source, scratch, waits, .. } = &self.0;
        let control = Mysql::new(scratch.clone(), waits.clone());
        // Of its own accord to the end: a cancelled session could not remove the copy.
        let mut session = control.open(Access::Write, &CancelToken::new()).await?;
        let version = control.software(session.as_mut()).await?.version;
        let (_, client) = self.tools(&version, cancel).await?;
        let options = self.options().await?;
        let database = ScratchDatabase::make(Dialect::Mysql, session, &source.database, &options).await?;
        let server = Server { database: database.name.clone(), ..scratch.clone() };
        match self.pour(&client, &server, sealed, cancel).await {
            Ok(()) => {
                let engine = Arc::new(Mysql::new(server, waits.clone()));
                Ok(Restored { engine, stands: Stands::Database(database) })
            }
            Err(error) => {
                database.remove().await?;
                Err(error)
            }
        }
    }

    async fn contents(&self, restored: &mut Restored, cancel: &CancelToken) -> Result<Contents, StepError> {
        let mut session = restored.engine.open(Access::Write, cancel).await?;
        rows::prepare(session.as_mut()).await?;
        let contents = rows::contents(restored.engine.as_ref(), session.as_mut()).await?;
        session.close().await?;
        Ok(contents)
    }
}

impl MysqlCopier {
    /// What dumps and what restores, both as new as the server.
    async fn tools(&self, version: &str, cancel: &CancelToken) -> Result<(Tool, Tool), StepError> {
        let least = (numbers(version).unwrap_or_default().0, 0);
        let dump = Tool::find(&DUMP, &self.0.settings.tools, least, cancel).await?;
        Ok((dump, Tool::find(&CLIENT, &self.0.settings.tools, least, cancel).await?))
    }

    async fn secret(&self, server: &Server) -> Result<Secret, StepError> {
        let (directory, server) = (self.0.directory.clone(), server.clone());
        blocking(move || Secret::option_file(&directory, &server, &options(&server))).await
    }

    /// The character set of the source, if it can be asked: a backup outlives its database.
    async fn options(&self) -> Result<String, StepError> {
        let engine = Mysql::new(self.0.source.clone(), self.0.waits.clone());
        let Ok(mut session) = engine.open(Access::Read, &CancelToken::new()).await else {
            return Ok(String::new());
        };
        let rows = session.query(CHARACTERS, &[]).await?;
        session.close().await?;
        let mut fields = rows.into_iter().flatten().flatten();
        let (set, collation) = (fields.next().unwrap_or_default(), fields.next().unwrap_or_default());
        Ok(format!("CHARACTER SET {set} COLLATE {collation}"))
    }

    async fn dump(
        &self,
        tool: &Tool,
        secret: &Secret,
        draft: &Arc<Draft>,
        begun: oneshot::Sender<()>,
        cancel: &CancelToken,
    ) -> Result<(), StepError> {
        let mut command = tool.command();
        command.arg(option("defaults-file", secret.path()));
        command.args([
            "--single-transaction",
            "--quick",
            "--skip-lock-tables",
            "--routines",
            "--triggers",
            "--events",
        ]);
        command.args([
            "--hex-blob",
            "--no-tablespaces",
            "--comments",
            "--skip-dump-date",
            "--max-allowed-packet=1G",
        ]);
        command.args(["--default-character-set=utf8mb4", "--", &self.0.source.database]);
        let (draft, limits) = (Arc::clone(draft), self.0.limits(cancel));
        // Its first words come once the lock stands.
        pour_out(command, &limits, move |output| draft.fill(Watch::new(output, begun))).await
    }

    /// Holds everybody still until both have begun, then reads the rows.
    async fn hold_and_read(
        &self,
        engine: &Mysql,
        holder: &mut dyn Session,
        reader: &mut dyn Session,
        begins: oneshot::Receiver<()>,
    ) -> Result<(Contents, Duration), StepError> {
        let since = Instant::now();
        holder.execute("FLUSH TABLES WITH READ LOCK").await?;
        let begun = match rows::begin(reader).await {
            Ok(()) => in_time(begins, self.0.settings.lock).await,
            Err(error) => Err(error),
        };
        holder.execute("UNLOCK TABLES").await?;
        let locked = since.elapsed();
        begun?;
        Ok((rows::contents(engine, reader).await?, locked))
    }

    async fn pour(
        &self,
        tool: &Tool,
        server: &Server,
        sealed: Sealed,
        cancel: &CancelToken,
    ) -> Result<(), StepError> {
        let secret = self.secret(server).await?;
        let mut command = tool.command();
        command.arg(option("defaults-file", secret.path()));
        command.args([
            "--batch",
            "--default-character-set=utf8mb4",
            "--max-allowed-packet=1G",
            "--local-infile=0",
        ]);
        command.arg(option("database", &server.database));
        pour_in(command, &self.0.limits(cancel), move |input| sealed.pour(WithoutEvents::new(input))).await
    }
}

async fn in_time(begins: oneshot::Receiver<()>, patience: Duration) -> Result<(), StepError> {
    let over = std::pin::pin!(tokio::time::sleep(patience));
    match select(begins, over).await {
        // A dump that ended without a word has told why.
        Either::Left(_) => Ok(()),
        Either::Right(_) => {
            let message = "the dump did not begin while writers were kept waiting";
            Err(StepError::new(ErrorKind::Unavailable, message).fact("seconds", patience.as_secs()))
        }
    }
}

async fn refuse_what_cannot_be_held(session: &mut dyn Session) -> Result<(), StepError> {
    let rows = session.query(WITHOUT_TRANSACTIONS, &[]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let tables = rows.into_iter().map(|row| row.into_iter().flatten().collect::<Vec<_>>().join(" in "));
    let message = "tables without transactions cannot be dumped at one moment";
    Err(StepError::new(ErrorKind::Conflict, message).fact("tables", tables.collect::<Vec<_>>().join(", ")))
}

/// The connection, as a group of an option file.
fn options(server: &Server) -> Vec<(&'static str, String)> {
    let mut options = vec![("user", server.user.clone())];
    match &server.socket {
        Some(socket) => options.push(("socket", socket.display().to_string())),
        None => {
            options.push(("protocol", "tcp".to_owned()));
            options.push(("host", server.host.clone()));
            options.push(("port", server.port.to_string()));
        }
    }
    match server.tls {
        Tls::Off => options.push(("skip-ssl", "1".to_owned())),
        Tls::Preferred => {}
        Tls::Required => options.push(("ssl", "1".to_owned())),
        Tls::VerifyAuthority | Tls::VerifyFull => options.push(("ssl-verify-server-cert", "1".to_owned())),
    }
    options.extend(server.authority.as_ref().map(|file| ("ssl-ca", file.display().to_string())));
    options
}
