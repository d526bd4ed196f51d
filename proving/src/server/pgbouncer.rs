use std::fs;

use super::{Postgres, ready, unprivileged};
use crate::table::Process;
use crate::{Directory, Outside, Port, Running, program};

/// How long a client keeps a connection of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    /// Until it goes.
    Session,
    /// For one transaction.
    Transaction,
    /// For one statement.
    Statement,
}

/// A PgBouncer before a PostgreSQL, for every database of it; `pgbouncer.ini` and `pgbouncer.log` stand in its directory.
/// Clients need no password.
#[derive(Debug)]
pub struct PgBouncer {
    running: Running,
    port: Port,
}

impl PgBouncer {
    /// Starts it in `directory`, and waits until it accepts connections.
    ///
    /// # Errors
    /// Where it does not: with what it printed.
    pub async fn start(directory: &Directory, postgres: &Postgres, mode: PoolMode) -> Outside<Self> {
        let (own, port) = (unprivileged::folder(directory.path().join("pgbouncer"))?, Port::free()?);
        let (ini, users) = (own.join("pgbouncer.ini"), own.join("users"));
        fs::write(&users, "\"postgres\" \"\"\n\"app\" \"\"\n")?;
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        };
        // Drivers ask for settings that a pooler cannot keep; whoever runs one lets it ignore them.
        let text = format!(
            "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\n\
             auth_type = trust\nauth_file = {}\npool_mode = {mode}\nmax_client_conn = 200\ndefault_pool_size = 4\n\
             ignore_startup_parameters = extra_float_digits,options\n",
            postgres.socket_folder().display(),
            postgres.port(),
            port.number(),
            users.display(),
        );
        fs::write(&ini, text)?;
        let mut command = unprivileged::server(&program::find("pgbouncer")?);
        let running = Running::start(command.arg(&ini), &directory.path().join("pgbouncer.log"))?;
        ready::accepts(&running, &port.address()).await?;
        Ok(Self { running, port })
    }

    /// Its process.
    #[must_use]
    pub const fn process(&self) -> Process {
        self.running.process()
    }

    /// The URL of a database behind it.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        format!("postgres://{user}@127.0.0.1:{}/{database}", self.port.number())
    }

    /// Kills it with SIGKILL; returns when it is dead.
    pub fn kill(&self) {
        self.running.kill();
    }
}
