//! One migrator at a time, by a session's advisory lock.

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};

use super::connection::PostgresSession;
use crate::config::{Server, Waits};
use crate::engine::wait::{Wait, sqlx_key};
use crate::engine::{Lock, Owner, Session};

/// Held by a session of its own that is idle meanwhile. A lock of the working session would be lost by a reset, and an open
/// transaction would keep `CREATE INDEX CONCURRENTLY` waiting.
#[derive(Debug)]
pub(super) struct PostgresLock {
    session: PostgresSession,
    key: i64,
}

impl PostgresLock {
    /// Asks again and again: waiting inside the server holds a snapshot, which `CREATE INDEX CONCURRENTLY` of the holder waits for,
    /// and the two deadlock.
    pub(super) async fn take(
        server: &Server,
        waits: &Waits,
        owner: &Owner,
        cancel: &CancelToken,
    ) -> Result<Self, StepError> {
        // The key is that of applications that migrate themselves with sqlx.
        let key = sqlx_key(&server.database);
        let mut lock = Self { session: PostgresSession::open(server, waits, &owner.0, cancel).await?, key };
        let mut wait = Wait::new(waits.migrators, cancel);
        let take = format!("SELECT pg_catalog.pg_try_advisory_lock({key})");
        loop {
            let taken = lock.session.query(&take, &[]).await?;
            if taken.concat() == [Some("t".to_owned())] {
                return Ok(lock);
            }
            if !wait.again().await? {
                let holder = lock.holder().await?;
                return Err(StepError::new(ErrorKind::Unavailable, "another migrator holds the lock")
                    .fact("holder", holder));
            }
        }
    }

    fn held(&self) -> String {
        let key = self.key.cast_unsigned();
        format!(
            "FROM pg_catalog.pg_locks AS held WHERE held.locktype = 'advisory' AND held.granted AND held.objsubid = 1
             AND held.classid = {} AND held.objid = {} AND held.database =
                 (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())",
            key >> 32,
            key & 0xffff_ffff
        )
    }

    async fn holder(&mut self) -> Result<String, StepError> {
        let who = format!(
            "SELECT concat_ws(' ', 'process', pid, usename, application_name, client_addr, 'since', backend_start)
             FROM pg_catalog.pg_stat_activity WHERE pid IN (SELECT held.pid {})",
            self.held()
        );
        let rows = self.session.query(&who, &[]).await?;
        let names: Vec<_> = rows.into_iter().flatten().flatten().collect();
        Ok(if names.is_empty() { "a session that has just ended".to_owned() } else { names.join("; ") })
    }
}

#[async_trait]
impl Lock for PostgresLock {
    async fn verify(&mut self) -> Result<(), StepError> {
        // The session took the lock, and nothing else is run in it that could give it back.
        let who = self.session.query("SELECT pg_catalog.pg_backend_pid()", &[]).await;
        let rows = who.map_err(|error| lost().because(error))?;
        let pid = self.session.id().split(' ').next();
        if rows.first().and_then(|row| row.first()?.as_deref()) == pid { Ok(()) } else { Err(lost()) }
    }

    fn session(&mut self) -> &mut dyn Session {
        &mut self.session
    }

    async fn release(self: Box<Self>) -> Result<(), StepError> {
        Box::new(self.session).close().await
    }
}

fn lost() -> StepError {
    StepError::new(ErrorKind::Conflict, "the lock of the migrators was lost")
}
