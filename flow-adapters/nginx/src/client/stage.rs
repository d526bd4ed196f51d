//! A copy of a user's configuration with our new file in it, and nginx's own opinion of it.

use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use flow_core::{Clock, ErrorKind, StepError};
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

use super::configuration::{Configuration, bytes, include_of};
use super::files::{self, refused};
use crate::config::FileConfig;
use crate::syntax::{replaced, statements};

/// How much of what nginx prints is kept.
const PRINTED_MAX: u64 = 128 * 1024 * 1024;

/// A staged copy. Files that are no configuration, such as keys, are linked to and not copied.
#[derive(Debug)]
pub(crate) struct Staged {
    directory: PathBuf,
    conf: PathBuf,
    /// Our file in it.
    file: PathBuf,
    has_pid: bool,
}

impl Staged {
    /// Lays the copy in `directory`, which is made anew.
    ///
    /// Relative paths are taken from the directory of `-c`, so that is copied whole; an absolute `include` is turned to the copy.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) where the configuration does not include our file, any kind where something cannot be copied.
    pub(crate) fn lay(config: &FileConfig, directory: &Path, text: &str) -> Result<Self, StepError> {
        let configuration = Configuration::read(&config.conf)?;
        let own = configuration.path_of(&config.file).ok_or_else(|| {
            let error =
                StepError::new(ErrorKind::Conflict, "nginx's configuration does not include our file");
            error.fact("conf", config.conf.display()).fact("file", config.file.display())
        })?;
        match fs::remove_dir_all(directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(refused("the staged copy cannot be removed", directory, error));
            }
            _ => {}
        }
        files::make_directory(directory, 0o700)?;
        let copy = Copy { from: config.conf.parent().unwrap_or(Path::new("/")), to: directory };
        let mut has_pid = false;
        for (path, content) in &configuration.files {
            let content = if path == own { text } else { content };
            let (content, named) = copy.turned(content);
            has_pid |= named;
            copy.put(path, &content)?;
        }
        copy.link_the_rest(copy.from, &configuration)?;
        let (conf, file) = (copy.of(&config.conf), copy.of(own));
        Ok(Self { directory: directory.to_owned(), conf, file, has_pid })
    }

    /// Lets nginx test the copy.
    ///
    /// # Errors
    /// [`Failed`](ErrorKind::Failed) or [`Denied`](ErrorKind::Denied) with what nginx said; [`Conflict`](ErrorKind::Conflict) where it read
    /// files that the copy does not have, or not our file; [`Unavailable`](ErrorKind::Unavailable) where it took too long.
    pub(crate) async fn test(&self, config: &FileConfig, clock: &dyn Clock) -> Result<(), StepError> {
        let pid = format!("pid {};", self.directory.join("nginx.pid").display());
        let mut arguments: Vec<String> = vec!["-T".into(), "-c".into(), self.conf.display().to_string()];
        if !self.has_pid {
            arguments.extend(["-g".to_owned(), pid]);
        }
        let printed = run(config, &arguments, config.test_timeout, clock).await?;
        if !printed.succeeded {
            let copied = self.directory.join("tree").display().to_string();
            let from = config.conf.parent().unwrap_or(Path::new("/")).display().to_string();
            let said = printed.complaint().replace(&copied, &from);
            let kind = if said.contains("(13: ") { ErrorKind::Denied } else { ErrorKind::Failed };
            return Err(StepError::new(kind, "nginx refuses the configuration").fact("said", said));
        }
        let read: Vec<&str> = printed
            .output
            .lines()
            .filter_map(|line| line.strip_prefix("# configuration file ")?.strip_suffix(':'))
            .collect();
        if let Some(other) = read.iter().find(|path| !Path::new(path).starts_with(&self.directory)) {
            let error = StepError::new(
                ErrorKind::Conflict,
                "the configuration includes a file in a way that is not understood",
            );
            return Err(error.fact("file", other));
        }
        if read.iter().any(|path| Path::new(path) == self.file) {
            return Ok(());
        }
        Err(StepError::new(ErrorKind::Conflict, "nginx does not read our file")
            .fact("file", config.file.display()))
    }

    /// Removes it.
    pub(crate) fn remove(&self) -> Result<(), StepError> {
        fs::remove_dir_all(&self.directory)
            .map_err(|error| refused("the staged copy cannot be removed", &self.directory, error))
    }
}

struct Copy<'a> {
    from: &'a Path,
    to: &'a Path,
}

impl Copy<'_> {
    /// Where a file of the configuration is in the copy.
    fn of(&self, path: &Path) -> PathBuf {
        match path.strip_prefix(self.from) {
            Ok(below) => self.to.join("tree").join(below),
            Err(_) => self.to.join("outside").join(path.strip_prefix("/").unwrap_or(path)),
        }
    }

    /// A file with its includes and its pid file turned to the copy, and whether it names a pid file.
    fn turned(&self, text: &str) -> (String, bool) {
        let (mut changes, mut has_pid) = (Vec::new(), false);
        for statement in statements(text) {
            if let Some(included) = include_of(&statement) {
                let to = self.of(&self.from.join(&included.value));
                changes.push((included.at.clone(), to.display().to_string()));
            } else if let ([name, pid], 0) = (statement.words.as_slice(), statement.depth)
                && name.value == "pid"
            {
                // Testing opens the pid file, and makes an empty one where there is none.
                changes.push((pid.at.clone(), self.to.join("nginx.pid").display().to_string()));
                has_pid = true;
            }
        }
        (replaced(text, &changes), has_pid)
    }

    fn put(&self, path: &Path, text: &str) -> Result<(), StepError> {
        let path = self.of(path);
        let unusable = |error| refused("the staged copy cannot be written", &path, error);
        fs::create_dir_all(path.parent().unwrap_or(self.to)).map_err(unusable)?;
        fs::write(&path, bytes(text)).map_err(unusable)
    }

    fn link_the_rest(&self, directory: &Path, configuration: &Configuration) -> Result<(), StepError> {
        let unusable = |error| refused("the configuration cannot be copied", directory, error);
        for entry in fs::read_dir(directory).map_err(unusable)? {
            let path = entry.map_err(unusable)?.path();
            if configuration.files.contains_key(&path) {
                continue;
            }
            let below = configuration.files.range(path.clone()..).next();
            if below.is_some_and(|(file, _)| file.starts_with(&path)) {
                self.link_the_rest(&path, configuration)?;
            } else {
                symlink(&path, self.of(&path)).map_err(unusable)?;
            }
        }
        Ok(())
    }
}

/// What nginx printed.
pub(crate) struct Printed {
    pub(crate) succeeded: bool,
    pub(crate) output: String,
    pub(crate) errors: String,
}

impl Printed {
    fn complaint(&self) -> String {
        let emergency = self.errors.lines().find(|line| line.contains("[emerg]"));
        let line = emergency.or_else(|| self.errors.lines().next()).unwrap_or("nothing");
        let said = line.strip_prefix("nginx: [emerg] ").unwrap_or(line);
        said.chars().filter(|each| !each.is_control()).take(500).collect()
    }
}

/// Runs nginx's program without an environment; it is killed when it takes too long or nobody waits any more.
pub(crate) async fn run(
    config: &FileConfig,
    arguments: &[String],
    within: Duration,
    clock: &dyn Clock,
) -> Result<Printed, StepError> {
    let unusable = |error: io::Error| refused("nginx cannot be run", &config.program, error);
    let mut command = Command::new(&config.program);
    if let Some(prefix) = &config.prefix {
        command.arg("-p").arg(prefix);
    }
    command.args(arguments).env_clear().kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(unusable)?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let whole = async {
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let (read_out, read_err) = tokio::join!(read(out, &mut output), read(err, &mut errors));
        read_out.and(read_err)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Printed { succeeded: child.wait().await?.success(), output: text(output), errors: text(errors) })
    };
    tokio::select! {
        printed = whole => printed.map_err(unusable),
        () = clock.sleep(within) => Err(StepError::new(ErrorKind::Unavailable, "nginx did not answer in time")
            .fact("program", config.program.display())
            .fact("timeout", format!("{within:?}"))),
    }
}

async fn read(from: Option<impl tokio::io::AsyncRead + Unpin>, into: &mut Vec<u8>) -> io::Result<()> {
    match from {
        Some(from) => from.take(PRINTED_MAX).read_to_end(into).await.map(drop),
        None => Ok(()),
    }
}
