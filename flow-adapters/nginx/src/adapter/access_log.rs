use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flow_core::port::{Metrics, Sample};
use flow_core::{Clock, ErrorKind, Name, Problems, StepError};

use super::check_service;
use crate::client::files::{off_thread, refused};
use crate::client::links;
use crate::config::{FileConfig, SocketConfig};
use crate::history::History;
use crate::log::{BOUNDS_MS, Naming, Tallies, Tally};

/// How much of a log that was there before is read.
const BACK_MAX: u64 = 64 * 1024 * 1024;

/// The longest line: a hundred places that were tried.
const LINE_MAX: u64 = 64 * 1024;

/// Counts what users got from each version, from the access log that a router's block has nginx write on this machine.
///
/// - A failure that nginx hid behind another version's answer counts for the version that failed: a dead canary shows as dead.
/// - nginx writes which place a request went to, and the router which version the place led to. A request that may have begun on either
///   side of a switch is counted for no version, but in [`unattributed`](Self::unattributed).
/// - Counters begin with the file: a rotated or truncated log begins a new epoch. Of a log that is there already the last 64 MiB count.
/// - The time of an answer is what nginx waited for the version. One that broke off after its head counts as answered.
#[derive(Debug)]
pub struct AccessLog {
    service: Name,
    path: PathBuf,
    source: Source,
    clock: Arc<dyn Clock>,
    read: Arc<Mutex<Reading>>,
}

/// What the log says of one version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VersionCounts {
    /// Requests that went to it.
    pub requests: u64,
    /// Those that it did not answer, or with 500 or above.
    pub failures: u64,
    /// Failures among them that users did not see, since another version answered.
    pub masked: u64,
}

#[derive(Debug, Clone)]
enum Source {
    /// The directory of the links.
    Places(PathBuf),
    /// What stands before a version in the name of its upstream.
    Upstreams(String),
}

#[derive(Debug, Default)]
struct Reading {
    inode: u64,
    offset: u64,
    epoch: Option<u64>,
    tallies: Tallies,
}

impl AccessLog {
    /// The log of a [`SocketRouter`](crate::SocketRouter) of this machine.
    ///
    /// # Errors
    /// Everything that is wrong with `config`, at once.
    pub fn of_sockets(config: &SocketConfig, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        config.check()?;
        let source = Source::Places(config.directory.clone());
        Ok(Self::new(config.service.clone(), config.access_log.clone(), source, clock))
    }

    /// The log of a [`FileRouter`](crate::FileRouter).
    ///
    /// # Errors
    /// Everything that is wrong with `config`, at once.
    pub fn of_file(config: &FileConfig, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        config.check()?;
        let source = Source::Upstreams(config.upstream_prefix());
        Ok(Self::new(config.service.clone(), config.access_log.clone(), source, clock))
    }

    fn new(service: Name, path: PathBuf, source: Source, clock: Arc<dyn Clock>) -> Self {
        Self { service, path, source, clock, read: Arc::default() }
    }

    /// The counts of one version; none where nothing was counted for it.
    ///
    /// # Errors
    /// As [`sample`](Metrics::sample).
    pub async fn counts(&self, version: &Name) -> Result<Option<VersionCounts>, StepError> {
        let (_, tallies) = self.read().await?;
        Ok(tallies.versions.get(version).map(|tally| VersionCounts {
            requests: tally.requests,
            failures: tally.failures,
            masked: tally.masked,
        }))
    }

    /// How many requests are counted for no version: those about whose version nobody can be sure, and lines that are not of our format.
    ///
    /// # Errors
    /// As [`sample`](Metrics::sample).
    pub async fn unattributed(&self) -> Result<u64, StepError> {
        Ok(self.read().await?.1.unattributed)
    }

    async fn read(&self) -> Result<(u64, Tallies), StepError> {
        let (path, source, read) = (self.path.clone(), self.source.clone(), Arc::clone(&self.read));
        off_thread(move || {
            let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
            read.go_on(&path, &source)?;
            Ok((read.epoch.unwrap_or(0), read.tallies.clone()))
        })
        .await
    }
}

impl Reading {
    fn go_on(&mut self, path: &Path, source: &Source) -> Result<(), StepError> {
        let unreadable = |error| refused("the access log cannot be read", path, error);
        let mut file = File::open(path).map_err(unreadable)?;
        let found = file.metadata().map_err(unreadable)?;
        if found.ino() != self.inode || found.len() < self.offset {
            let offset = found.len().saturating_sub(BACK_MAX);
            *self = Self { inode: found.ino(), offset, ..Self::default() };
        }
        file.seek(SeekFrom::Start(self.offset)).map_err(unreadable)?;
        let mut lines = Vec::new();
        let mut reader = BufReader::new(file);
        loop {
            let mut line = Vec::new();
            reader.by_ref().take(LINE_MAX).read_until(b'\n', &mut line).map_err(unreadable)?;
            if line.len() as u64 == LINE_MAX {
                let error = StepError::new(ErrorKind::Failed, "the access log has a line that is too long");
                return Err(error.fact("path", path.display()).fact("at", self.offset));
            }
            if line.pop() != Some(b'\n') {
                break;
            }
            // Where reading begins within the file the first line is not whole, and is no line of ours.
            self.offset += line.len() as u64 + 1;
            lines.push(String::from_utf8_lossy(&line).into_owned());
        }
        // Read after the lines: so every switch that was over when one was written is known.
        let history = match source {
            Source::Places(directory) => links::history(directory)?,
            Source::Upstreams(_) => History::default(),
        };
        let directory;
        let naming = match source {
            Source::Upstreams(prefix) => Naming::Upstream(prefix),
            Source::Places(of) => {
                directory = of.display().to_string();
                Naming::Place(&directory, &history)
            }
        };
        for line in lines {
            self.epoch.get_or_insert_with(|| epoch(self.inode, &line));
            self.tallies.count(&line, naming);
        }
        Ok(())
    }
}

/// The same for whoever reads a file from the same line on, and another for the file that takes its place.
fn epoch(inode: u64, first: &str) -> u64 {
    let digest = flow_core::Digest::of(format!("{inode} {first}").as_bytes());
    digest.as_bytes().iter().take(8).fold(0, |epoch, byte| epoch << 8 | u64::from(*byte))
}

#[async_trait]
impl Metrics for AccessLog {
    async fn sample(&self, service: &Name, version: &Name) -> Result<Option<Sample>, StepError> {
        check_service(service, &self.service)?;
        let (epoch, tallies) = self.read().await?;
        let at = self.clock.now();
        Ok(tallies.versions.get(version).map(|tally: &Tally| Sample {
            at,
            epoch,
            requests: tally.requests,
            failures: tally.failures,
            bounds_ms: BOUNDS_MS.to_vec(),
            latency: tally.latency.to_vec(),
        }))
    }
}
