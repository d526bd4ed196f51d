use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{InFlight, Router, Routing};
use flow_core::{Clock, ErrorKind, Name, Permit, Problems, StepError};
use flow_linux::{Machine, ProcessId, Signal, Signalled};

use super::check_service;
use crate::client::files::{self, off_thread};
use crate::client::instance::{self, ErrorLog, Found};
use crate::client::marker::{self, Marker};
use crate::client::stage::{self, Staged};
use crate::config::FileConfig;
use crate::former::{addresses, former};
use crate::generation::{Generation, parsed};
use crate::value::{Address, Checked, Takes};

/// How often nginx is looked at while it reloads, and after how long a count of zero is taken again.
const POLL: Duration = Duration::from_millis(10);

/// Switches a service by a file of its own and a reload that is proved, for applications that listen on TCP.
///
/// A change is tested on a staged copy of the whole configuration, written beside and renamed, announced to the one master that was
/// verified, and done when our own block answers as the new generation **and** none of the old workers takes connections any more. Where
/// that does not come true the file is put back byte for byte, and that is proved in the same way.
///
/// - The program's master is found by its title; a pid file is never asked. Without a master nothing is changed, and the error says whether
///   nginx is stopped or its workers serve on alone.
/// - A file of ours that somebody edited is a [`Conflict`](ErrorKind::Conflict), and nothing is changed.
/// - Each version has an upstream of its own: what falls to a dead one is never sent to another.
/// - A reload takes 100 ms or more, and clients that keep connections may see one closed under them: prefer a
///   [`SocketRouter`](crate::SocketRouter) where the application can listen on a Unix socket.
/// - [`in_flight`](Router::in_flight) counts every connection of this machine's programs to an address, idle ones and other programs' too.
pub struct FileRouter {
    config: FileConfig,
    machine: Machine,
    clock: Arc<dyn Clock>,
}

/// What was seen before a change.
struct Seen {
    file: Generation,
    in_force: Generation,
    master: ProcessId,
}

/// Whether the master was told to read the new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Yes,
    No,
}

/// How a reload ended.
enum Proof {
    InForce,
    /// The master was not told: what is in force stays so.
    NotTold(StepError),
    /// The master was told, and said that it does not load it: it has looked, and goes on as it was.
    Refused(StepError),
    /// The master was told, and it did not come true in time.
    Late(StepError),
}

impl FileRouter {
    /// A router of this machine. Nothing is changed yet.
    ///
    /// # Errors
    /// Everything that is wrong with `config`, at once.
    pub fn new(config: FileConfig, clock: Arc<dyn Clock>) -> Result<Self, Problems> {
        config.check()?;
        Ok(Self { config, machine: Machine::local(), clock })
    }

    /// Writes our file, with nothing routed, where there is none: before the user includes it and reloads nginx, once. One that is
    /// there already stays as it is. No part of a run: nothing serves it yet.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for a file that is not ours, any kind where it cannot be written.
    pub async fn prepare(&self) -> Result<(), StepError> {
        let config = self.config.clone();
        off_thread(move || {
            let _lock = lock(&config)?;
            if let Some(text) = files::read(&config.file)? {
                return Generation::read(&text).map(drop).map_err(|error| named(error, &config));
            }
            let none = Generation::new(&config, &Routing::default(), &Checked(Vec::new()), Vec::new());
            write(&config, &none)?;
            files::replace(&applied(&config), none.text.as_bytes(), 0o600)
        })
        .await
    }

    /// The generation in force, by its own word.
    async fn in_force(&self) -> Result<Generation, StepError> {
        let id = match marker::ask(self.config.marker, &*self.clock).await? {
            Marker::Generation(id) => id,
            Marker::Foreign => {
                let error =
                    StepError::new(ErrorKind::Conflict, "somebody else answers at the marker's address");
                return Err(error.fact("address", self.config.marker));
            }
            Marker::Silent => return Err(self.not_serving().await?),
        };
        let config = self.config.clone();
        let known = off_thread(move || {
            // Drift first: what was edited may be in force, and say that it is what it was.
            let mut known = vec![own_file(&config)?];
            for path in [applied(&config), intended(&config)] {
                known.extend(files::read(&path)?.map(|text| Generation::read(&text)).transpose()?);
            }
            Ok(known)
        })
        .await?;
        known.into_iter().find(|one| one.id == id).ok_or_else(|| {
            StepError::new(ErrorKind::Conflict, "nginx serves a generation that this router did not write")
                .fact("generation", id)
        })
    }

    /// What is wrong where our block does not answer.
    async fn not_serving(&self) -> Result<StepError, StepError> {
        Ok(match self.find().await? {
            Found::Running(master) => StepError::new(
                ErrorKind::Conflict,
                "nginx runs without our block: include it and reload once",
            )
            .fact("file", self.config.file.display())
            .fact("pid", master.pid),
            Found::Missing { .. } => StepError::new(ErrorKind::Unavailable, "nginx does not run")
                .fact("conf", self.config.conf.display()),
        })
    }

    async fn find(&self) -> Result<Found, StepError> {
        let printed =
            stage::run(&self.config, &["-V".to_owned()], self.config.test_timeout, &*self.clock).await?;
        let built_in = instance::built_in_conf(&printed.errors).unwrap_or_default();
        instance::find(&self.machine, &self.config.conf, &built_in).await
    }

    async fn see(&self) -> Result<Seen, StepError> {
        let in_force = self.in_force().await?;
        let config = self.config.clone();
        let file = off_thread(move || own_file(&config)).await?;
        match self.find().await? {
            Found::Running(master) => Ok(Seen { file, in_force, master }),
            Found::Missing { orphans } => {
                let pids: Vec<String> = orphans.iter().map(ToString::to_string).collect();
                let error =
                    "nginx's master is gone and its workers serve on: nobody can load a configuration";
                Err(StepError::new(ErrorKind::Conflict, error).fact("workers", pids.join(" ")))
            }
        }
    }

    async fn test(&self, next: &Generation) -> Result<(), StepError> {
        let (config, text) = (self.config.clone(), next.text.clone());
        let staged =
            off_thread(move || Staged::lay(&config, &config.state_dir.join("staged"), &text)).await?;
        let tested = staged.test(&self.config, &*self.clock).await;
        let removed = off_thread(move || staged.remove()).await;
        tested.and(removed)
    }

    /// Puts `next` in our file's place, makes the master read it, and waits until it is proved to be in force.
    async fn put(
        &self,
        permit: &Permit,
        next: &Generation,
        master: ProcessId,
        is_stopped: impl Fn() -> bool + Send,
    ) -> Result<Proof, StepError> {
        let (config, written) = (self.config.clone(), next.clone());
        off_thread(move || write(&config, &written)).await?;
        let log = ErrorLog::from_now(self.config.error_log.as_deref());
        let before = instance::serving(&self.machine, master).await.map_err(StepError::after_effect)?;
        match self.machine.signal(permit, master, Signal::Hup).await {
            Ok(Signalled::Sent) => {}
            Ok(Signalled::Gone) => {
                let gone =
                    StepError::new(ErrorKind::Unavailable, "nginx's master ended before it could be told");
                return Ok(Proof::NotTold(gone.fact("pid", master.pid)));
            }
            Err(error) if error.kind() == ErrorKind::Denied => return Ok(Proof::NotTold(error)),
            Err(error) => return Ok(Proof::Late(error)),
        }
        let begun = self.clock.monotonic();
        loop {
            if self.is_in_force(next, master, &before).await.map_err(StepError::after_effect)? {
                return Ok(Proof::InForce);
            }
            let waited = self.clock.monotonic().saturating_sub(begun);
            if let Some(said) = log.refusal(master).await.map_err(StepError::after_effect)? {
                let refused = StepError::new(ErrorKind::Failed, "nginx refused to load the configuration");
                return Ok(Proof::Refused(refused.fact("said", said)));
            }
            let why = if is_stopped() {
                StepError::new(ErrorKind::Cancelled, "cancelled while nginx was reloading")
            } else if waited > self.config.reload_timeout {
                StepError::new(ErrorKind::Failed, "nginx did not load the configuration in time")
                    .fact("timeout", format!("{:?}", self.config.reload_timeout))
            } else {
                self.clock.sleep(POLL).await;
                continue;
            };
            return Ok(Proof::Late(why));
        }
    }

    /// Whether our block answers as `next`, by workers that came after `before`.
    async fn is_in_force(
        &self,
        next: &Generation,
        master: ProcessId,
        before: &[ProcessId],
    ) -> Result<bool, StepError> {
        // While workers change places a connection may be cut: that is no answer yet.
        let answer = marker::ask(self.config.marker, &*self.clock).await;
        if !matches!(answer, Ok(Marker::Generation(id)) if id == next.id) {
            return Ok(false);
        }
        let serving = instance::serving(&self.machine, master).await?;
        Ok(!serving.is_empty() && !serving.iter().any(|worker| before.contains(worker)))
    }

    /// Puts the file back that is in force, and proves that it still is: a master that was slow may yet have read the other one. The error
    /// is `why`, for what was asked has left nothing behind, or one in doubt.
    async fn restore(&self, permit: &Permit, seen: &Seen, told: Told, why: StepError) -> StepError {
        let unsure = |error: StepError, why: StepError| {
            StepError::in_doubt("what is in force is not known").fact("after", why).because(error)
        };
        if told == Told::No {
            let (config, old) = (self.config.clone(), seen.in_force.clone());
            let written = off_thread(move || write(&config, &old)).await;
            return written.map_or_else(|error| unsure(error, StepError::in_doubt("not told")), |()| why);
        }
        // What was asked to stop is the change, not the way back.
        match self.put(permit, &seen.in_force, seen.master, || false).await {
            Ok(Proof::InForce) => why,
            // The rest of the configuration is what nginx cannot load. It has looked at it with our old file in it, so it will not come
            // upon the new one any more, and its workers serve what they served.
            Ok(Proof::Refused(error)) => match self.in_force().await {
                Ok(found) if found == seen.in_force => why,
                _ => unsure(error, why),
            },
            Ok(Proof::NotTold(error) | Proof::Late(error)) | Err(error) => unsure(error, why),
        }
    }

    async fn count(&self, addresses: &[String]) -> Result<InFlight, StepError> {
        let mut counted = BTreeMap::new();
        for look in 0..2 {
            let (tcp, unix) = (self.machine.tcp_sockets().await?, self.machine.unix_sockets().await?);
            for address in addresses {
                let now = match parsed(address) {
                    Some(Address::Tcp(address)) => tcp.open_to(address).count(),
                    Some(Address::Unix(path)) => unix.connections(&path).count(),
                    None => 0,
                } as u64;
                let count: &mut u64 = counted.entry(address.clone()).or_default();
                *count = now.max(*count);
            }
            if look > 0 || counted.values().all(|count| *count > 0) {
                break;
            }
            self.clock.sleep(POLL).await;
        }
        counted.retain(|_, count| *count > 0);
        Ok(counted)
    }
}

#[async_trait]
impl Router for FileRouter {
    fn granularity(&self) -> u8 {
        1
    }

    async fn routing(&self, service: &Name) -> Result<Routing, StepError> {
        check_service(service, &self.config.service)?;
        Ok(self.in_force().await?.routing)
    }

    async fn route(&self, permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError> {
        check_service(service, &self.config.service)?;
        let versions = Checked::of(routing, 1, Takes::Both)?;
        let config = self.config.clone();
        let _lock = off_thread(move || lock(&config)).await?;
        let seen = self.see().await?;
        if seen.in_force.routing == *routing && seen.file == seen.in_force {
            return Ok(());
        }
        let older = self.count(&seen.in_force.former).await?;
        let former = former(&seen.in_force.routing, &seen.in_force.former, routing, |address| {
            older.contains_key(address)
        });
        let next =
            Generation::new(&self.config, routing, &versions.in_order_after(&seen.in_force.order), former);
        self.test(&next).await?;
        if permit.cancel().is_cancelled() {
            return Err(StepError::new(ErrorKind::Cancelled, "cancelled before anything was changed"));
        }
        let (config, text) = (self.config.clone(), next.text.clone());
        off_thread(move || files::replace(&intended(&config), text.as_bytes(), 0o600)).await?;
        match self.put(permit, &next, seen.master, || permit.cancel().is_cancelled()).await? {
            Proof::InForce => {
                let config = self.config.clone();
                off_thread(move || files::replace(&applied(&config), next.text.as_bytes(), 0o600)).await
            }
            .map_err(StepError::after_effect),
            Proof::NotTold(why) => Err(self.restore(permit, &seen, Told::No, why).await),
            Proof::Refused(why) | Proof::Late(why) => Err(self.restore(permit, &seen, Told::Yes, why).await),
        }
    }

    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError> {
        check_service(service, &self.config.service)?;
        let seen = self.in_force().await?;
        let all: Vec<String> = addresses(&seen.routing).chain(&seen.former).cloned().collect();
        self.count(&all).await
    }
}

impl fmt::Debug for FileRouter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileRouter").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What was last proved to be in force.
fn applied(config: &FileConfig) -> PathBuf {
    config.state_dir.join("applied.conf")
}

/// What is about to be put in force.
fn intended(config: &FileConfig) -> PathBuf {
    config.state_dir.join("intended.conf")
}

fn lock(config: &FileConfig) -> Result<files::Lock, StepError> {
    files::make_directory(&config.state_dir, 0o700)?;
    files::lock(&config.state_dir.join(".lock"))
}

fn own_file(config: &FileConfig) -> Result<Generation, StepError> {
    let text = files::read(&config.file)?.ok_or_else(|| {
        StepError::new(ErrorKind::NotFound, "our file is not there: prepare it and include it")
            .fact("file", config.file.display())
    })?;
    Generation::read(&text).map_err(|error| named(error, config))
}

fn write(config: &FileConfig, generation: &Generation) -> Result<(), StepError> {
    if let Some(directory) = config.file.parent() {
        files::make_directory(directory, 0o755)?;
    }
    files::replace(&config.file, generation.text.as_bytes(), 0o644)
}

fn named(error: StepError, config: &FileConfig) -> StepError {
    error.fact("file", config.file.display())
}
