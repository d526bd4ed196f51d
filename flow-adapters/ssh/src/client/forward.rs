use std::fmt;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow_core::{Entropy, ErrorKind, Problems, StepError, SystemEntropy};
use futures::future::{join, select};
use russh::client::Msg;
use russh::{Channel, ChannelMsg};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::connection::Connection;
use super::local_file;
use super::sftp::{Found, Kind, failed};

/// How many clients a forwarded socket has at once.
const CLIENTS: usize = 64;
/// How much may wait for a client that does not read. With more its connection is closed: all others share the one to the host.
const BACKLOG: usize = 8 * 1024 * 1024;
/// The longest path of a socket, without the zero byte behind it (`unix(7)`).
const PATH_MAX: usize = 107;
const READ: usize = 32 * 1024;

/// A Unix socket of this machine that leads to one of another machine, for as long as this value lives.
///
/// It stands in a directory of its own that only this user may enter. What is said to it goes over the connection of its
/// [`SshHost`](crate::SshHost); when that is lost, its clients see the end of their streams, and the next one to come has a
/// new connection made. Dropping it closes all its clients and removes socket and directory.
pub struct Forward {
    directory: PathBuf,
    path: PathBuf,
    accepting: AbortHandle,
}

impl Forward {
    /// The socket to dial.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) async fn open(connection: Arc<Connection>, socket: &str) -> Result<Self, StepError> {
        let mut problems = Problems::default();
        problems.check(
            socket.starts_with('/') && socket.len() <= PATH_MAX && !socket.contains(char::is_control),
            "socket",
            "must be an absolute path of at most 107 bytes without control characters",
        );
        problems.into_result()?;
        answers(&connection, socket).await?;
        let directory = connection.config.sockets.join(format!("flow-ssh-{:016x}", SystemEntropy.next()));
        let path = directory.join("socket");
        let unmade = |error| local_file::refused(&path, "sockets", error);
        if path.as_os_str().len() > PATH_MAX {
            return Err(unmade(io::Error::from(io::ErrorKind::InvalidFilename)));
        }
        // Not one that is there already: whoever made it could reach into it.
        DirBuilder::new().mode(0o700).create(&directory).map_err(unmade)?;
        let listener = match UnixListener::bind(&path) {
            Ok(listener) => listener,
            Err(error) => {
                let _ = std::fs::remove_dir(&directory);
                return Err(unmade(error));
            }
        };
        let accepting = tokio::spawn(accept(connection, listener, socket.to_owned())).abort_handle();
        Ok(Self { directory, path, accepting })
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.accepting.abort();
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_dir(&self.directory);
    }
}

impl fmt::Debug for Forward {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Makes sure that somebody listens: a client could not tell an absent socket from one that hung up.
async fn answers(connection: &Connection, socket: &str) -> Result<(), StepError> {
    let live = connection.live().await?;
    let refused = |kind, message| StepError::new(kind, message).fact("socket", socket);
    let found = connection.sftp(&live).await?.follow(socket).await;
    match found.map_err(|error| failed("the socket cannot be looked at", socket, error))? {
        None => return Err(refused(ErrorKind::NotFound, "there is no such socket on the host")),
        Some(Found { kind: Kind::Other, .. }) => {}
        Some(_) => return Err(refused(ErrorKind::Conflict, "what stands there is no socket")),
    }
    let tried = connection.socket(&live, socket).await.map_err(|error| {
        refused(ErrorKind::Unavailable, "nobody answers at the socket, or the server does not let us")
            .because(error)
    })?;
    let _ = tried.close().await;
    Ok(())
}

async fn accept(connection: Arc<Connection>, listener: UnixListener, socket: String) {
    let mut clients = JoinSet::new();
    // A failure to accept is one client's: out of descriptors, for example. It comes back with its next attempt.
    loop {
        let room = async {
            while clients.try_join_next().is_some() {}
            if clients.len() >= CLIENTS {
                clients.join_next().await;
            }
        };
        room.await;
        match listener.accept().await {
            Ok((client, _)) => {
                let (connection, socket) = (Arc::clone(&connection), socket.clone());
                clients.spawn(async move {
                    let Ok(live) = connection.live().await else { return };
                    let Ok(channel) = connection.socket(&live, &socket).await else { return };
                    carry(client, channel).await;
                });
            }
            Err(_) => connection.clock.sleep(std::time::Duration::from_millis(100)).await,
        }
    }
}

/// Carries bytes both ways until the host closes the channel.
async fn carry(client: UnixStream, channel: Channel<Msg>) {
    let (mut from_client, mut to_client) = client.into_split();
    let (mut incoming, outgoing) = channel.split();
    let (queue, mut queued) = mpsc::unbounded_channel();
    let waiting = AtomicUsize::new(0);
    let receive = async {
        let mut queue = Some(queue);
        loop {
            match (incoming.wait().await, &queue) {
                (Some(ChannelMsg::Data { data }), Some(open)) => {
                    let before = waiting.fetch_add(data.len(), Ordering::Relaxed);
                    if before + data.len() > BACKLOG || open.send(data).is_err() {
                        return Err(());
                    }
                }
                (Some(ChannelMsg::Eof), _) => queue = None,
                (Some(ChannelMsg::Close) | None, _) => return Ok(()),
                (Some(_), _) => {}
            }
        }
    };
    let deliver = async {
        while let Some(data) = queued.recv().await {
            to_client.write_all(&data).await.map_err(|_| ())?;
            waiting.fetch_sub(data.len(), Ordering::Relaxed);
        }
        to_client.shutdown().await.map_err(|_| ())
    };
    let send = async {
        let mut data = Vec::with_capacity(READ);
        while let Ok(1..) = from_client.read_buf(&mut data).await {
            if outgoing.data_bytes(std::mem::replace(&mut data, Vec::with_capacity(READ))).await.is_err() {
                break;
            }
        }
        let _ = outgoing.eof().await;
    };
    let down = futures::future::try_join(receive, deliver);
    let sent = pin!(async {
        join(send, std::future::pending::<()>()).await;
    });
    select(pin!(down), sent).await;
    let _ = outgoing.close().await;
}
