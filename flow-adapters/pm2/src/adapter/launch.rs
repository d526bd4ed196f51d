use std::io;
use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use flow_core::port::{Instance, LaunchSpec};
use flow_core::{ErrorKind, Permit, StepError};
use futures::future::{Either, select};

use super::outside::Place;
use super::processes::Pm2Processes;
use super::record::{Record, app_name};
use crate::client::{CallError, Prepare};
use crate::file::{Lock, refused};

/// How long a program's last words are awaited once its end is known.
const LAST_WORDS: Duration = Duration::from_secs(1);

impl Pm2Processes {
    /// Makes sure that what PM2 is to start is there: PM2 would call an app online whose program does not exist.
    pub(super) fn check_files(&self, spec: &LaunchSpec) -> Result<(), StepError> {
        if self.place == Place::Elsewhere {
            return Ok(());
        }
        exists(&spec.program, "the program does not exist", "program")?;
        exists(&spec.directory, "the working directory does not exist", "directory")
    }

    /// The instance that `spec` asks for, if it runs already, under PM2 or without it. What is left of one that has ended is cleared
    /// away.
    pub(super) async fn adopt(
        &self,
        permit: &Permit,
        spec: &LaunchSpec,
    ) -> Result<Option<Instance>, StepError> {
        let (service, instance) = (&spec.service, &spec.instance);
        let conflict =
            |message: &'static str| StepError::new(ErrorKind::Conflict, message).fact("instance", instance);
        let found = self.look(service, instance).await?;
        if found.app.is_none() && self.app(service, instance).await?.is_some() {
            let name = app_name(service, instance);
            return Err(conflict("PM2 has an app of this name that is no instance").fact("app", name));
        }
        if found.is_nothing() {
            return Ok(None);
        }
        let Some(running) = found.instance() else {
            self.end(permit, service, instance, Duration::ZERO, None).await?;
            return Ok(None);
        };
        if running.digest != spec.digest {
            return Err(conflict("the id is taken by an instance of another digest")
                .fact("running", running.digest)
                .fact("wanted", spec.digest));
        }
        if found.is_stopping() {
            let message = "the instance is still ending";
            return Err(StepError::new(ErrorKind::Unavailable, message).fact("instance", instance));
        }
        Ok(Some(running))
    }

    /// Starts an instance of which nothing is left and returns when it was seen running for a while.
    pub(super) async fn start(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        let addresses = Lock::take(&*self.clock, self.lock_path().join("addresses.lock")).await?;
        let record = Record::new(&self.config.home, spec, self.choose_address(spec).await?);
        let app = record.app(&self.config)?;
        // Forgotten first: what was heard of an app of the same name says nothing of this one.
        self.home.bus().forget(&app.name);
        self.home.bus().follow(&app.name, 0);
        let prepared = self.prepare(spec, &app).await;
        // From here on PM2's list holds the address.
        drop(addresses);
        let watched = match prepared {
            Ok(pid) => self.watch(&record, &app, pid).await,
            Err(error) if error.kind().is_rejection() => Err(error),
            // Whether it stands is open: the next launch finds it, or a stop ends it.
            Err(error) => return Err(error),
        };
        let Err(error) = watched else { return watched };
        let ended = self.end(permit, &spec.service, &spec.instance, Duration::ZERO, None).await;
        ended.map_err(|standing| standing.fact("begun by", &error))?;
        Err(error)
    }

    async fn prepare(&self, spec: &LaunchSpec, app: &Prepare) -> Result<u32, StepError> {
        let failed = |message: &'static str| {
            StepError::new(ErrorKind::Failed, message).fact("instance", &spec.instance)
        };
        let (id, pid) = match self.home.prepare(app).await {
            Ok(prepared) => prepared,
            Err(CallError::Refused(text)) => return Err(failed("PM2 did not start it").fact("pm2", text)),
            Err(error) => return Err(error.into()),
        };
        // PM2 refuses no name, so somebody without our lock may have taken it meanwhile: the later one goes.
        let same = self.home.apps().await.map_err(StepError::after_effect)?;
        if same.iter().any(|other| other.name == app.name && other.id != id) {
            self.home
                .delete(id, self.config.gone)
                .await
                .map_err(StepError::from)
                .map_err(StepError::after_effect)?;
            let message = "somebody else launched the instance at the same moment";
            return Err(StepError::in_doubt(message).fact("instance", &spec.instance));
        }
        pid.ok_or_else(|| failed("PM2 could not start the program").fact("program", spec.program.display()))
    }

    /// Watches a process that was just started.
    async fn watch(&self, record: &Record, app: &Prepare, pid: u32) -> Result<Instance, StepError> {
        let bus = self.home.bus();
        let exit = pin!(bus.until(&app.name, |track| track.exits > 0));
        let running = match select(exit, self.clock.sleep(self.config.watch)).await {
            Either::Left(_) => None,
            Either::Right(_) => self.outside.running(pid).await.map_err(StepError::after_effect)?,
        };
        if let Some(process) = running {
            // Nobody has seen it ready yet, however late the first look comes.
            self.settled.not_ready(&record.spec.service, process.id);
            return Ok(record.instance(Some(pid)));
        }
        // Its last words may come behind the news of its end.
        let said = pin!(bus.until(&app.name, |track| !track.output.trim().is_empty()));
        select(said, self.clock.sleep(LAST_WORDS)).await;
        let track = bus.follow(&app.name, 0);
        let code = track.exit_code.map_or_else(|| "unknown".to_owned(), |code| code.to_string());
        Err(StepError::new(ErrorKind::Failed, "the process ended as soon as it was started")
            .fact("instance", &record.spec.instance)
            .fact("code", code)
            .fact("log", track.output.trim()))
    }
}

fn exists(path: &Path, message: &'static str, field: &'static str) -> Result<(), StepError> {
    match path.try_exists() {
        Ok(true) => Ok(()),
        // A name can be longer than any file's, and lead through what is no directory.
        Err(error)
            if !matches!(error.kind(), io::ErrorKind::InvalidFilename | io::ErrorKind::NotADirectory) =>
        {
            Err(refused("the path cannot be looked at", path, error))
        }
        _ => Err(StepError::new(ErrorKind::NotFound, message).fact(field, path.display())),
    }
}
