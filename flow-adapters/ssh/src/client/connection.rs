use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flow_core::{Clock, ErrorKind, StepError};
use futures::future::{Either, select};
use russh::client::{self, Handle, Handler, Msg};
use russh::keys::PublicKeyOrCertificate;
use russh::{Channel, Preferred};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, OnceCell, Semaphore, SemaphorePermit};

use super::connection_error::ConnectionError;
use super::identity::Signer;
use super::known_hosts::KnownHost;
use super::sftp::Sftp;
use crate::config::SshConfig;

/// How many commands run at once. A server's `MaxSessions` is 10: the files take one, and ending commands two.
const COMMANDS: usize = 7;
/// How many commands are ended at once.
const ENDINGS: usize = 2;
/// How many copies go on at once, at most.
const PLACES: usize = 16;
/// How many of the server's messages may wait for one reader: as many as a full window has of full packets, and more.
const MESSAGES: usize = 256;

/// One connection to the machine, for everything, opened when it is needed and opened anew when it was lost.
pub(crate) struct Connection {
    pub(crate) config: SshConfig,
    pub(crate) clock: Arc<dyn Clock>,
    /// Who copies to a place holds its mutex; places share a few of them.
    pub(super) places: [Mutex<()>; PLACES],
    live: Mutex<Option<Arc<Live>>>,
}

/// A connection while it lasts.
pub(crate) struct Live {
    handle: Handle<Gate>,
    given_up: AtomicBool,
    commands: Semaphore,
    endings: Semaphore,
    sftp: OnceCell<Sftp>,
}

/// What a session on the machine is for: each has places of its own, so that a command can always be ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    Command,
    Ending,
}

impl Connection {
    pub(crate) fn new(config: SshConfig, clock: Arc<dyn Clock>) -> Self {
        Self { config, clock, places: Default::default(), live: Mutex::new(None) }
    }

    /// The connection that is open, or a new one.
    ///
    /// # Errors
    /// A rejection: nothing was asked of the machine.
    pub(crate) async fn live(&self) -> Result<Arc<Live>, StepError> {
        let mut live = self.live.lock().await;
        if let Some(live) = live.as_ref().filter(|live| !live.is_over()) {
            return Ok(Arc::clone(live));
        }
        let opened = Arc::new(self.open().await?);
        *live = Some(Arc::clone(&opened));
        Ok(opened)
    }

    async fn open(&self) -> Result<Live, StepError> {
        let config = &self.config;
        let known = KnownHost::read(&config.known_hosts, &config.host, config.port).await?;
        let signer = Signer::open(&config.identity).await?;
        let silent = || ConnectionError::Silent { server: self.server() };
        let connected = within(&*self.clock, config.patience.connect, self.connect(known)).await;
        let mut handle = connected.ok_or_else(silent)??;
        let proved = signer.authenticate(&mut handle, &config.user);
        within(&*self.clock, config.patience.authenticate, proved).await.ok_or_else(silent)??;
        Ok(Live {
            handle,
            given_up: AtomicBool::new(false),
            commands: Semaphore::new(COMMANDS),
            endings: Semaphore::new(ENDINGS),
            sftp: OnceCell::new(),
        })
    }

    async fn connect(&self, known: KnownHost) -> Result<Handle<Gate>, ConnectionError> {
        let SshConfig { host, port, patience, .. } = &self.config;
        let unreachable = |source: io::Error| ConnectionError::Unreachable { server: self.server(), source };
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(unreachable)?;
        stream.set_nodelay(true).map_err(unreachable)?;
        let settings = client::Config {
            // Asked after each third of the silence, given up on after the last.
            keepalive_interval: Some(patience.silence / 3),
            keepalive_max: 2,
            // A connection that was abandoned while it was made ends itself.
            inactivity_timeout: Some(patience.silence.max(patience.connect) * 2),
            channel_buffer_size: MESSAGES,
            preferred: Preferred { key: known.algorithms().into(), ..Preferred::default() },
            ..client::Config::default()
        };
        client::connect_stream(Arc::new(settings), stream, Gate { known }).await
    }

    fn server(&self) -> String {
        format!("{}:{}", self.config.host, self.config.port)
    }

    /// A session on the machine, and the place that it takes.
    ///
    /// # Errors
    /// A rejection: nothing was asked of the machine.
    pub(crate) async fn session<'a>(
        &self,
        live: &'a Live,
        purpose: Purpose,
    ) -> Result<(Channel<Msg>, SemaphorePermit<'a>), StepError> {
        let places = match purpose {
            Purpose::Command => &live.commands,
            Purpose::Ending => &live.endings,
        };
        let place = places.acquire().await.map_err(|_| ConnectionError::Vanished)?;
        Ok((self.opened(live, live.handle.channel_open_session()).await?, place))
    }

    /// A channel to a Unix socket of the machine (OpenSSH's PROTOCOL, 2.4).
    ///
    /// # Errors
    /// A rejection: nothing was said to the socket.
    pub(crate) async fn socket(&self, live: &Live, path: &str) -> Result<Channel<Msg>, StepError> {
        self.opened(live, live.handle.channel_open_direct_streamlocal(path)).await
    }

    async fn opened(
        &self,
        live: &Live,
        opening: impl Future<Output = Result<Channel<Msg>, russh::Error>>,
    ) -> Result<Channel<Msg>, StepError> {
        match within(&*self.clock, self.config.patience.answer, opening).await {
            Some(Ok(channel)) => Ok(channel),
            Some(Err(russh::Error::ChannelOpenFailure(reason))) => {
                Err(StepError::new(ErrorKind::Unavailable, "the host opens no such channel")
                    .fact("reason", format!("{reason:?}")))
            }
            Some(Err(_)) => Err(ConnectionError::Vanished.into()),
            None => {
                live.give_up();
                Err(ConnectionError::Silent { server: self.server() }.into())
            }
        }
    }

    /// The machine's files.
    ///
    /// # Errors
    /// A rejection: nothing was changed.
    pub(crate) async fn sftp<'a>(&self, live: &'a Live) -> Result<&'a Sftp, StepError> {
        live.sftp
            .get_or_try_init(|| async {
                let channel = self.opened(live, live.handle.channel_open_session()).await?;
                let begun = Sftp::begin(channel, &self.config);
                match within(&*self.clock, self.config.patience.answer, begun).await {
                    Some(sftp) => sftp,
                    None => Err(ConnectionError::Silent { server: self.server() }.into()),
                }
            })
            .await
    }
}

impl Live {
    /// Whether nothing new should be asked over it.
    fn is_over(&self) -> bool {
        self.given_up.load(Ordering::Relaxed) || self.handle.is_closed()
    }

    /// Lets whoever comes next open a new connection. Who still waits for this one goes on waiting.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }
}

/// Lets no server past whose key is not trusted.
pub(super) struct Gate {
    known: KnownHost,
}

impl Handler for Gate {
    type Error = ConnectionError;

    async fn check_server_key(&mut self, key: &PublicKeyOrCertificate) -> Result<bool, ConnectionError> {
        self.known.judge(&key.public_key()).map(|()| true)
    }
}

/// What comes of `work` within `limit`.
pub(crate) async fn within<T>(
    clock: &dyn Clock,
    limit: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    match select(pin!(work), clock.sleep(limit)).await {
        Either::Left((done, _)) => Some(done),
        Either::Right(_) => None,
    }
}
