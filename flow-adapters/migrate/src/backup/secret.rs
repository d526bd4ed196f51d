//! A password, where a tool of the server finds it and nobody else.

use std::fs;
use std::path::Path;

use flow_core::{ErrorKind, StepError};

use crate::config::Server;
use crate::files::about;
use crate::scratch::Scratch;

/// A file of mode 0600 that is gone when this is dropped, or swept away by the next run. Neither the arguments nor the
/// environment of a tool, which others can list, hold the password.
#[derive(Debug)]
pub(super) struct Secret(Scratch);

impl Secret {
    /// As `libpq` reads it (<https://www.postgresql.org/docs/current/libpq-pgpass.html>). Blocks.
    pub(super) fn pgpass(directory: &Path, server: &Server) -> Result<Self, StepError> {
        let password = one_line(server)?.replace('\\', "\\\\").replace(':', "\\:");
        Self::write(directory, &format!("*:*:*:*:{password}\n"))
    }

    /// An option file, with all that the connection needs (<https://mariadb.com/kb/en/configuring-mariadb-with-option-files/>).
    /// Blocks.
    pub(super) fn option_file(
        directory: &Path,
        server: &Server,
        options: &[(&str, String)],
    ) -> Result<Self, StepError> {
        let mut text = "[client]\n".to_owned();
        let password = ("password", one_line(server)?.to_owned());
        for (name, value) in options.iter().chain([&password]) {
            let value = value.replace('\\', "\\\\").replace('"', "\\\"");
            text.push_str(&format!("{name}=\"{value}\"\n"));
        }
        Self::write(directory, &text)
    }

    pub(super) fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(directory: &Path, text: &str) -> Result<Self, StepError> {
        let file = Scratch::new(directory)?;
        fs::write(file.path(), text).map_err(|error| about(file.path(), error))?;
        Ok(Self(file))
    }
}

fn one_line(server: &Server) -> Result<&str, StepError> {
    let password = server.password.as_ref().map_or("", |password| password.as_str());
    if password.contains(['\n', '\r', '\0']) {
        let problem = "a password of several lines cannot be given to the server's tools";
        return Err(StepError::new(ErrorKind::Invalid, problem));
    }
    Ok(password)
}
