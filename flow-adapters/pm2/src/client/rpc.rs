use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use flow_core::Clock;
use futures::future::{Either, select};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Mutex as AsyncMutex, mpsc, oneshot};
use tokio::task::JoinHandle;

use super::amp::{self, Decoder};
use super::call::{Call, Gate, discovery};
use super::error::{Absence, CallError};

/// How many calls may wait to be written.
const QUEUE: usize = 64;

/// Calls the daemon over one kept connection. Calls are pipelined: the daemon reads them in the order in which they were made, also
/// those whose answer nobody waits for any more.
#[derive(Debug)]
pub(crate) struct Rpc {
    clock: Arc<dyn Clock>,
    socket: PathBuf,
    answer: Duration,
    kept: AsyncMutex<Option<Arc<Connection>>>,
}

impl Rpc {
    /// Calls the daemon that listens at `socket`, when there is something to call. `answer` is how long a connection and the
    /// questions that come with it may take.
    pub(crate) fn new(clock: Arc<dyn Clock>, socket: PathBuf, answer: Duration) -> Self {
        Self { clock, socket, answer, kept: AsyncMutex::default() }
    }

    /// The daemon's version.
    pub(crate) async fn version(&self) -> Result<String, CallError> {
        Ok(self.connection().await?.version.clone())
    }

    /// Makes `call` and gives what it returns, within the time that every answer has.
    pub(crate) async fn call(&self, call: &Call<'_>) -> Result<Value, CallError> {
        self.call_within(call, self.answer).await
    }

    /// Makes `call`, whose answer may take `patience`.
    pub(crate) async fn call_within(&self, call: &Call<'_>, patience: Duration) -> Result<Value, CallError> {
        let connection = self.connection().await?;
        let request = connection.gate.pass(call)?;
        result(connection.wire.ask(&*self.clock, request, patience).await?)
    }

    /// The kept connection; a new one where it has ended.
    async fn connection(&self) -> Result<Arc<Connection>, CallError> {
        let mut kept = self.kept.lock().await;
        if let Some(connection) = kept.as_ref().filter(|kept| kept.wire.is_open()) {
            return Ok(Arc::clone(connection));
        }
        let connection = Arc::new(Connection::open(&*self.clock, &self.socket, self.answer).await?);
        *kept = Some(Arc::clone(&connection));
        Ok(connection)
    }
}

/// Connects to one of the daemon's sockets.
pub(crate) async fn dial(socket: &Path) -> Result<UnixStream, Absence> {
    UnixStream::connect(socket).await.map_err(|error| Absence::of(socket.to_owned(), &error))
}

/// A connection to a daemon of which it is known what it takes.
#[derive(Debug)]
struct Connection {
    wire: Wire,
    gate: Gate,
    version: String,
}

impl Connection {
    async fn open(clock: &dyn Clock, socket: &Path, answer: Duration) -> Result<Self, CallError> {
        let wire = Wire::new(dial(socket).await?);
        let methods = wire.ask(clock, discovery(), answer).await?;
        let gate = Gate::read(&methods).ok_or(CallError::Unreadable("methods"))?;
        let version = result(wire.ask(clock, gate.pass(&Call::Version)?, answer).await?)?;
        let version = version.as_str().ok_or(CallError::Unreadable("getVersion"))?.to_owned();
        match version.split('.').next() {
            Some("5" | "6" | "7") => Ok(Self { wire, gate, version }),
            _ => Err(CallError::Version(shown(&version))),
        }
    }
}

/// What was asked and not answered yet, by id. None once the stream has ended.
type Pending = Arc<Mutex<Option<HashMap<String, oneshot::Sender<Value>>>>>;

/// The two directions of a stream, each with a task of its own: a frame whose caller has gone away in the middle would be
/// half a frame, and the next one garbage to the daemon.
#[derive(Debug)]
struct Wire {
    requests: mpsc::Sender<Bytes>,
    pending: Pending,
    ids: std::sync::atomic::AtomicU64,
    tasks: [JoinHandle<()>; 2],
}

impl Wire {
    fn new(stream: UnixStream) -> Self {
        let (from, to) = stream.into_split();
        let (requests, queue) = mpsc::channel(QUEUE);
        let pending: Pending = Arc::new(Mutex::new(Some(HashMap::new())));
        let reader = tokio::spawn(read(from, Arc::clone(&pending)));
        let writer = tokio::spawn(write(to, queue, Arc::clone(&pending)));
        Self { requests, pending, ids: Default::default(), tasks: [reader, writer] }
    }

    fn is_open(&self) -> bool {
        lock(&self.pending).is_some()
    }

    async fn ask(&self, clock: &dyn Clock, request: Bytes, patience: Duration) -> Result<Value, CallError> {
        let id = self.ids.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string();
        let frame = amp::encode(&[request, amp::text(&id)]).map_err(|_| CallError::Unwritable)?;
        let (tell, told) = oneshot::channel();
        lock(&self.pending).as_mut().ok_or(CallError::Lost)?.insert(id.clone(), tell);
        let forget = Forget { pending: &self.pending, id: &id };
        let answer = std::pin::pin!(async {
            self.requests.send(frame).await.map_err(|_| CallError::Lost)?;
            told.await.map_err(|_| CallError::Lost)
        });
        let answer = match select(answer, clock.sleep(patience)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(CallError::TimedOut(patience)),
        };
        drop(forget);
        answer
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Waits no longer for an answer, however its caller went away.
struct Forget<'w> {
    pending: &'w Pending,
    id: &'w str,
}

impl Drop for Forget<'_> {
    fn drop(&mut self) {
        if let Some(pending) = lock(self.pending).as_mut() {
            pending.remove(self.id);
        }
    }
}

async fn write(mut to: OwnedWriteHalf, mut queue: mpsc::Receiver<Bytes>, pending: Pending) {
    while let Some(frame) = queue.recv().await {
        if to.write_all(&frame).await.is_err() {
            break;
        }
    }
    // Who waits is told by the end of its channel.
    lock(&pending).take();
}

async fn read(mut from: OwnedReadHalf, pending: Pending) {
    let mut decoder = Decoder::default();
    'stream: while let Ok(1..) = from.read_buf(decoder.buffer()).await {
        loop {
            match decoder.frame() {
                Ok(Some(frame)) => deliver(&frame, &pending),
                Ok(None) => break,
                Err(_) => break 'stream,
            }
        }
    }
    lock(&pending).take();
}

/// Hands an answer to who asked. One that nobody waits for came too late.
fn deliver(frame: &[Bytes], pending: &Pending) {
    let [answer, id] = frame else { return };
    let Some(id) = amp::read_text(id) else { return };
    let waiting = lock(pending).as_mut().and_then(|pending| pending.remove(id));
    if let Some(waiting) = waiting {
        // An answer that is no JSON is no answer to anything: what it is asked for is not there.
        let _ = waiting.send(amp::read_json(answer).unwrap_or_default());
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What an answer returns.
fn result(mut answer: Value) -> Result<Value, CallError> {
    if let Some(error) = answer.get("error").filter(|error| !error.is_null()) {
        return Err(CallError::Refused(shown(error.as_str().unwrap_or("an error without a text"))));
    }
    Ok(answer.pointer_mut("/args/0").map(Value::take).unwrap_or_default())
}

/// As much of a text as an error shows.
fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}
