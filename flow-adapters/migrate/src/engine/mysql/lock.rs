//! One migrator at a time, by a session's named lock.

use async_trait::async_trait;
use flow_core::{CancelToken, ErrorKind, StepError};

use super::connection::MysqlSession;
use crate::config::{Server, Waits};
use crate::engine::wait::{Wait, sqlx_key};
use crate::engine::{Lock, Session};

/// Held by a session of its own: whatever a script does to the working session, the lock stays.
#[derive(Debug)]
pub(super) struct MysqlLock {
    session: MysqlSession,
    name: String,
}

impl MysqlLock {
    /// Asks without waiting, again and again, and reads each answer: MariaDB answers a negative time limit with NULL, and then nobody
    /// holds anything.
    pub(super) async fn take(
        server: &Server,
        waits: &Waits,
        cancel: &CancelToken,
    ) -> Result<Self, StepError> {
        // The name is that of applications that migrate themselves with sqlx.
        let name = format!("{:x}", sqlx_key(&server.database));
        let mut lock = Self { session: MysqlSession::open(server, waits, cancel).await?, name };
        let mut wait = Wait::new(waits.migrators, cancel);
        let take = format!("SELECT GET_LOCK('{}', 0)", lock.name);
        loop {
            let answer = lock.session.query(&take, &[]).await?.concat();
            match answer.first().and_then(Option::as_deref) {
                Some("1") => break,
                Some("0") => {}
                _ => {
                    return Err(StepError::new(
                        ErrorKind::Failed,
                        "the server could not say whether it locked",
                    ));
                }
            }
            if !wait.again().await? {
                let holder = lock.holder().await?;
                return Err(StepError::new(ErrorKind::Unavailable, "another migrator holds the lock")
                    .fact("holder", holder));
            }
        }
        lock.verify().await?;
        Ok(lock)
    }

    async fn holder(&mut self) -> Result<String, StepError> {
        let who = format!(
            "SELECT CONCAT_WS(' ', 'connection', ID, USER, HOST, COMMAND, 'for', TIME, 'seconds')
             FROM information_schema.PROCESSLIST WHERE ID = IS_USED_LOCK('{}')",
            self.name
        );
        let rows = self.session.query(&who, &[]).await?;
        let names: Vec<_> = rows.into_iter().flatten().flatten().collect();
        Ok(if names.is_empty() {
            "a session that is not shown to this user".to_owned()
        } else {
            names.join("; ")
        })
    }
}

#[async_trait]
impl Lock for MysqlLock {
    async fn verify(&mut self) -> Result<(), StepError> {
        let mine = format!("SELECT IS_USED_LOCK('{}')", self.name);
        let rows = self.session.query(&mine, &[]).await.map_err(|error| lost().because(error))?;
        let connection = self.session.id().split(' ').next();
        if rows.first().and_then(|row| row.first()?.as_deref()) == connection { Ok(()) } else { Err(lost()) }
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
