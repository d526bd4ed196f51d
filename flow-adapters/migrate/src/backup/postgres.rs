//! PostgreSQL: one exported snapshot for `pg_dump` and for the digests of the rows
//! (<https://www.postgresql.org/docs/current/functions-admin.html#FUNCTIONS-SNAPSHOT-SYNCHRONIZATION>).

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::{CancelToken, Digest, ErrorKind, StepError};
use flow_sql::Dialect;

use super::copier::{Copier, Restored, Site, Stands, Taken, side_by_side};
use super::draft::{Draft, Sealed};
use super::scratch::ScratchDatabase;
use super::secret::Secret;
use super::tool::{Tool, option, pour_in, pour_out};
use crate::config::{Server, Tls};
use crate::engine::postgres::Postgres;
use crate::engine::{Access, Engine, Session};
use crate::files::blocking;
use crate::proof::{Contents, Table};

/// What the text of a row depends on. A table that hides rows from this user is an error rather than a part of it.
const SETTINGS: &str =
    "SET LOCAL search_path = ''; SET LOCAL DateStyle = 'ISO, YMD'; SET LOCAL TimeZone = 'UTC';
    SET LOCAL IntervalStyle = 'iso_8601'; SET LOCAL extra_float_digits = 3; SET LOCAL bytea_output = 'hex';
    SET LOCAL row_security = off";

/// Every table with rows of its own that a dump carries; those of extensions come with them.
const TABLES: &str = "SELECT pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname)
    FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
    AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend AS d WHERE d.classid = 'pg_catalog.pg_class'::regclass
        AND d.objid = c.oid AND d.deptype = 'e')
    ORDER BY 1";

const LARGE_OBJECTS: &str = "SELECT count(*), sum(oid::bigint) FROM pg_catalog.pg_largeobject_metadata";

/// Encoding and collation, in the words of every version.
const LOCALE: &str = "SELECT pg_catalog.pg_encoding_to_char(encoding), datcollate, datctype,
    pg_catalog.to_jsonb(d) ->> 'datlocprovider',
    coalesce(pg_catalog.to_jsonb(d) ->> 'datlocale', pg_catalog.to_jsonb(d) ->> 'daticulocale')
    FROM pg_catalog.pg_database AS d WHERE datname = pg_catalog.current_database()";

#[derive(Debug)]
pub(super) struct PostgresCopier(pub(super) Site);

#[async_trait]
impl Copier for PostgresCopier {
    fn source(&self) -> String {
        self.0.name("postgres")
    }

    fn suffix(&self) -> &'static str {
        "pgdump"
    }

    async fn take(&self, draft: &Arc<Draft>, cancel: &CancelToken) -> Result<Taken, StepError> {
        let engine = Postgres::new(self.0.source.clone(), self.0.waits.clone());
        let mut session = engine.open(Access::Read, cancel).await?;
        let (server, major) = version(session.as_mut()).await?;
        let tool = Tool::find(&["pg_dump"], &self.0.settings.tools, (major, 0), cancel).await?;
        Tool::find(&["pg_restore"], &self.0.settings.tools, (tool.version.0, 0), cancel).await?;
        let snapshot = one(session.as_mut(), "SELECT pg_catalog.pg_export_snapshot()").await?;
        let secret = self.secret(&self.0.source).await?;
        let mut command = tool.command();
        command.args(["--format=custom", "--no-password"]).arg(option("snapshot", snapshot));
        command.arg(option("lock-wait-timeout", self.0.waits.tables.as_millis().to_string()));
        command.arg(option("dbname", conninfo(&self.0.source, secret.path())));
        let (draft, both) = (Arc::clone(draft), cancel.child());
        let limits = self.0.limits(&both);
        let dumped = pour_out(command, &limits, move |output| draft.fill(output));
        let contents = side_by_side(dumped, contents(&engine, session.as_mut()), &both).await?;
        session.close().await?;
        Ok(Taken { contents, server, locked: Duration::ZERO })
    }

    async fn restore(&self, sealed: Sealed, cancel: &CancelToken) -> Result<Restored, StepError> {
        let Site { source, scratch, waits, settings, .. } = &self.0;
        let control = Postgres::new(scratch.clone(), waits.clone());
        // Of its own accord to the end: a cancelled session could not remove the copy.
        let mut session = control.open(Access::Write, &CancelToken::new()).await?;
        let (_, major) = version(session.as_mut()).await?;
        let tool = Tool::find(&["pg_restore"], &settings.tools, (major, 0), cancel).await?;
        let options = self.options().await?;
        let database = ScratchDatabase::make(Dialect::Postgres, session, &source.database, &options).await?;
        let server = Server { database: database.name.clone(), ..scratch.clone() };
        match self.pour(&tool, &server, sealed, cancel).await {
            Ok(()) => {
                let engine = Arc::new(Postgres::new(server, waits.clone()));
                self.set_dates(engine.as_ref(), &database.name).await?;
                Ok(Restored { engine, stands: Stands::Database(database) })
            }
            Err(error) => {
                database.remove().await?;
                Err(error)
            }
        }
    }

    async fn contents(&self, restored: &mut Restored, cancel: &CancelToken) -> Result<Contents, StepError> {
        let mut session = restored.engine.open(Access::Read, cancel).await?;
        let contents = contents(restored.engine.as_ref(), session.as_mut()).await?;
        session.close().await?;
        Ok(contents)
    }
}

impl PostgresCopier {
    async fn secret(&self, server: &Server) -> Result<Secret, StepError> {
        let (directory, server) = (self.0.directory.clone(), server.clone());
        blocking(move || Secret::pgpass(&directory, &server)).await
    }

    /// Encoding and collation of the source, if it can be asked: a backup outlives its database.
    async fn options(&self) -> Result<String, StepError> {
        let engine = Postgres::new(self.0.source.clone(), self.0.waits.clone());
        let Ok(mut session) = engine.open(Access::Read, &CancelToken::new()).await else {
            return Ok("TEMPLATE template0".to_owned());
        };
        let rows = session.query(LOCALE, &[]).await?;
        session.close().await?;
        let mut fields = rows.into_iter().flatten();
        let mut next = || fields.next().flatten().map(|field| field.replace('\'', "''"));
        let (encoding, collate, ctype) = (next(), next(), next());
        let (provider, locale) = (next(), next().unwrap_or_default());
        let provider = match provider.as_deref() {
            Some("i") => format!("LOCALE_PROVIDER icu ICU_LOCALE '{locale}'"),
            Some("b") => format!("LOCALE_PROVIDER builtin BUILTIN_LOCALE '{locale}'"),
            Some("c") => "LOCALE_PROVIDER libc".to_owned(),
            _ => String::new(),
        };
        Ok(format!(
            "TEMPLATE template0 ENCODING '{}' LC_COLLATE '{}' LC_CTYPE '{}' {provider}",
            encoding.unwrap_or_default(),
            collate.unwrap_or_default(),
            ctype.unwrap_or_default()
        ))
    }

    /// Gives the copy the dates of the source, which its dump leaves out: some statements rewrite a table or not, as the zone is.
    async fn set_dates(&self, copy: &Postgres, name: &str) -> Result<(), StepError> {
        let engine = Postgres::new(self.0.source.clone(), self.0.waits.clone());
        let Ok(mut session) = engine.open(Access::Read, &CancelToken::new()).await else { return Ok(()) };
        let set = format!(
            "SELECT pg_catalog.format('ALTER DATABASE %I SET %s = %L', '{}', name, pg_catalog.current_setting(name))
             FROM (VALUES ('TimeZone'), ('DateStyle')) AS dates(name)",
            name.replace('\'', "''")
        );
        let sets = session.query(&set, &[]).await?;
        session.close().await?;
        let mut session = copy.open(Access::Write, &CancelToken::new()).await?;
        for set in sets.into_iter().flatten().flatten() {
            session.execute(&set).await?;
        }
        session.close().await
    }

    /// Owners, rights, subscriptions and comments are the source's alone: a copy that is thrown away needs none, and a subscription
    /// would wake up.
    async fn pour(
        &self,
        tool: &Tool,
        server: &Server,
        sealed: Sealed,
        cancel: &CancelToken,
    ) -> Result<(), StepError> {
        let secret = self.secret(server).await?;
        let mut command = tool.command();
        command.args(["--exit-on-error", "--no-password", "--no-owner", "--no-privileges", "--no-comments"]);
        command.args(["--no-publications", "--no-subscriptions", "--no-security-labels", "--no-tablespaces"]);
        command.arg(option("dbname", conninfo(server, secret.path())));
        pour_in(command, &self.0.limits(cancel), move |input| sealed.pour(input)).await
    }
}

/// As `libpq` reads it; `--dbname` alone would take some names of databases for more than that.
fn conninfo(server: &Server, passfile: &Path) -> String {
    let tls = match server.tls {
        Tls::Off => "disable",
        Tls::Preferred => "prefer",
        Tls::Required => "require",
        Tls::VerifyAuthority => "verify-ca",
        Tls::VerifyFull => "verify-full",
    };
    let (port, file) = (server.port.to_string(), passfile.to_string_lossy());
    let socket = server.socket.as_ref().map(|socket| socket.to_string_lossy());
    let mut parts = vec![
        ("host", socket.as_deref().unwrap_or(&server.host)),
        ("port", &port),
        ("user", &server.user),
        ("dbname", &server.database),
        ("sslmode", tls),
        ("passfile", &file),
        ("application_name", "flow-migrate backup"),
    ];
    let authority = server.authority.as_ref().map(|authority| authority.to_string_lossy());
    parts.extend(authority.as_deref().map(|authority| ("sslrootcert", authority)));
    let part = |(name, value): (&str, &str)| {
        format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
    };
    parts.into_iter().map(part).collect::<Vec<_>>().join(" ")
}

/// The version in the server's words, and its first number.
async fn version(session: &mut dyn Session) -> Result<(String, u32), StepError> {
    let words = one(session, "SHOW server_version").await?;
    let number = one(session, "SHOW server_version_num").await?;
    let major = number.parse::<u32>().map(|number| number / 10_000);
    major.map(|major| (words, major)).map_err(unreadable)
}

async fn one(session: &mut dyn Session, query: &str) -> Result<String, StepError> {
    let rows = session.query(query, &[]).await?;
    rows.into_iter().flatten().flatten().next().ok_or_else(|| unreadable("no row"))
}

/// The schema, and every table with its rows, of the transaction that is open.
async fn contents(engine: &dyn Engine, session: &mut dyn Session) -> Result<Contents, StepError> {
    session.execute(SETTINGS).await?;
    let mut tables = Vec::new();
    for name in session.query(TABLES, &[]).await?.into_iter().flatten().flatten() {
        let rows = session.query(&rows_of(&name), &[]).await.map_err(|error| error.fact("table", &name))?;
        tables.push(table(name, rows)?);
    }
    let large = table("large objects".to_owned(), session.query(LARGE_OBJECTS, &[]).await?)?;
    tables.extend(Some(large).filter(|large| large.rows > 0));
    Ok(Contents { schema: engine.schema(session).await?, tables })
}

/// Two sums of 64-bit hashes of all rows, each exact: no order is relied on, and equal rows count as often as they stand there.
fn rows_of(table: &str) -> String {
    format!(
        "SELECT count(*), sum(pg_catalog.hashtextextended(x, 0)), sum(pg_catalog.hashtextextended(x, 1))
         FROM (SELECT (r.*)::text COLLATE \"C\" AS x FROM ONLY {table} AS r) AS whole"
    )
}

fn table(name: String, rows: Vec<Vec<Option<String>>>) -> Result<Table, StepError> {
    let fields: Vec<_> = rows.into_iter().flatten().map(Option::unwrap_or_default).collect();
    let rows = fields.first().and_then(|rows| rows.parse().ok()).ok_or_else(|| unreadable("no count"))?;
    Ok(Table { name, rows, digest: Digest::of(fields.join(" ").as_bytes()) })
}

fn unreadable(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StepError {
    StepError::new(ErrorKind::Failed, "an answer of the server cannot be read").because(error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Place, Target};

    #[test]
    fn no_name_becomes_another_parameter_and_the_password_is_not_among_them() {
        let target =
            Target::parse("postgres://a'b:hunter2@db:5433/x%20host=%5C'?sslmode=verify-ca&sslrootcert=/ca")
                .unwrap();
        let Place::Postgres(server) = target.place() else { panic!() };
        let expected = r"host='db' port='5433' user='a\'b' dbname='x host=\\\'' sslmode='verify-ca' passfile='/p' application_name='flow-migrate backup' sslrootcert='/ca'";
        assert_eq!(conninfo(server, Path::new("/p")), expected);
    }
}
