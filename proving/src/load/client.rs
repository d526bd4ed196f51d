use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::log::{Failure, Log, Record};
use crate::http::{Broken, Connection, Reply, Request};
use crate::{Address, Outside, patience};

/// How long a user waits for a whole answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How long the one that keeps the pace sleeps at most before it looks whether it was told to stop.
const NAP: Duration = Duration::from_millis(20);

/// How users treat their connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// Keeps its connection, and looks whether the server has closed it before it sends on it again. GET.
    Careful,
    /// Keeps its connection and sends without a look. POST with a body.
    Naive,
    /// Connects anew for each request. GET.
    New,
}

/// Requests at a steady pace, bounded in count and time.
#[derive(Debug, Clone)]
pub struct Load {
    to: Address,
    client: Client,
    rate: u32,
    users: usize,
    most: u64,
    longest: Duration,
    path: String,
    header: Option<fn(u64) -> (String, String)>,
}

impl Load {
    /// 300 requests a second by 16 users of `client`, at most 100,000 and for at most five minutes.
    #[must_use]
    pub fn of(to: Address, client: Client) -> Self {
        let longest = Duration::from_secs(300);
        Self { to, client, rate: 300, users: 16, most: 100_000, longest, path: "/".to_owned(), header: None }
    }

    /// Requests a second. Where the users cannot keep up, requests are begun late and counted from when they were due.
    #[must_use]
    pub fn at_rate(mut self, rate: u32) -> Self {
        self.rate = rate;
        self
    }

    /// How many users share the requests, each with one connection at a time.
    #[must_use]
    pub fn by_users(mut self, users: usize) -> Self {
        self.users = users;
        self
    }

    /// The bounds, in requests and in time.
    #[must_use]
    pub fn at_most(mut self, requests: u64, longest: Duration) -> Self {
        (self.most, self.longest) = (requests, longest);
        self
    }

    /// The path that is asked for, `/` by default.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// A header of the request with a given number, such as a cookie of its own.
    #[must_use]
    pub fn header(mut self, header: fn(u64) -> (String, String)) -> Self {
        self.header = Some(header);
        self
    }

    /// Begins. Without a runtime of the caller's: the users have their own threads.
    ///
    /// # Errors
    /// Where a thread cannot be started.
    pub fn start(self) -> io::Result<UnderWay> {
        let shared = Arc::new(Shared { load: self, log: Mutex::default(), stop: AtomicBool::new(false) });
        let (turns, due) = mpsc::unbounded_channel();
        let (done, finished) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let users = Arc::clone(&shared);
        thread::Builder::new().name("users".to_owned()).spawn(move || {
            runtime.block_on(serve(&users, due));
            let _ = done.send(());
        })?;
        let pace = Arc::clone(&shared);
        thread::Builder::new().name("pace".to_owned()).spawn(move || pace.keep(&turns))?;
        Ok(UnderWay { shared, finished })
    }
}

/// A load under way. Dropping it stops it.
#[derive(Debug)]
pub struct UnderWay {
    shared: Arc<Shared>,
    finished: oneshot::Receiver<()>,
}

impl UnderWay {
    /// Waits until `condition` holds of what has ended so far.
    ///
    /// # Errors
    /// Where it does not within [`PATIENCE`](crate::PATIENCE).
    pub async fn until(&self, condition: impl Fn(&Log) -> bool) -> Outside<()> {
        patience::until("the load has seen enough", async || Ok(condition(&self.shared.log()).then_some(())))
            .await
    }

    /// Begins no further request, waits for those under way and hands over the log.
    ///
    /// # Errors
    /// Where the users did not end.
    pub async fn stop(self) -> Outside<Log> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }

    /// Waits until the load has reached one of its bounds, and hands over the log.
    ///
    /// # Errors
    /// Where the users did not end.
    pub async fn finish(mut self) -> Outside<Log> {
        (&mut self.finished).await?;
        Ok(std::mem::take(&mut self.shared.log()))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Shared {
    load: Load,
    log: Mutex<Log>,
    stop: AtomicBool,
}

/// A request's number and when it is due.
type Turn = (u64, Instant);

impl Shared {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands out turns when they are due. On a thread that sleeps by the kernel's clock: the runtime's ticks are milliseconds.
    fn keep(&self, turns: &mpsc::UnboundedSender<Turn>) {
        let begin = Instant::now();
        for number in 0..self.load.most {
            let due = begin + Duration::from_secs_f64(to_float(number) / f64::from(self.load.rate.max(1)));
            while let Some(left) = due.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
                if self.stop.load(Ordering::Relaxed) {
                    return;
                }
                thread::sleep(left.min(NAP));
            }
            let is_over = self.stop.load(Ordering::Relaxed) || begin.elapsed() > self.load.longest;
            if is_over || turns.send((number, due)).is_err() {
                return;
            }
        }
    }

    fn request(&self, number: u64) -> Request {
        let request = match self.load.client {
            Client::Naive => Request::with_body("POST", self.load.path.clone(), "an order"),
            Client::Careful | Client::New => Request::get(self.load.path.clone()),
        };
        match self.load.header.map(|header| header(number)) {
            Some((name, value)) => request.header(&name, &value),
            None => request,
        }
    }
}

fn to_float(number: u64) -> f64 {
    // Exact: a load has far fewer requests than 2^32.
    u32::try_from(number).map_or(f64::MAX, f64::from)
}

async fn serve(shared: &Arc<Shared>, due: mpsc::UnboundedReceiver<Turn>) {
    let due = Arc::new(tokio::sync::Mutex::new(due));
    let mut users = JoinSet::new();
    for _ in 0..shared.load.users {
        let (shared, due) = (Arc::clone(shared), Arc::clone(&due));
        users.spawn(async move { User { shared, kept: None }.live(&due).await });
    }
    users.join_all().await;
}

struct User {
    shared: Arc<Shared>,
    kept: Option<Connection>,
}

impl User {
    async fn live(mut self, due: &tokio::sync::Mutex<mpsc::UnboundedReceiver<Turn>>) {
        loop {
            let turn = due.lock().await.recv().await;
            let Some((number, due)) = turn else { return };
            // What was due and not begun when the load was told to stop is not begun any more.
            if self.shared.stop.load(Ordering::Relaxed) {
                return;
            }
            let record = self.ask(number, due).await;
            self.shared.log().0.push(record);
        }
    }

    async fn ask(&mut self, number: u64, due: Instant) -> Record {
        let (request, start) = (self.shared.request(number), Instant::now());
        let kept =
            self.kept.take().filter(|kept| self.shared.load.client != Client::Careful || kept.is_open());
        let reused = kept.is_some();
        let asked = tokio::time::timeout(TIMEOUT, self.exchange(kept, &request)).await;
        let (reply, failure) = match asked {
            Err(_) => (None, Some(Failure::Timeout)),
            Ok(Err(failure)) => (None, Some(failure)),
            Ok(Ok(reply)) => {
                let failure = match reply.status {
                    200..300 => None,
                    500.. => Some(Failure::Http5xx),
                    _ => Some(Failure::Bad),
                };
                (Some(reply), failure)
            }
        };
        let header = |name| reply.as_ref().and_then(|reply| reply.header(name));
        let (version, pid) =
            (header("x-version").map(str::to_owned), header("x-pid").and_then(|pid| pid.parse().ok()));
        let status = reply.map(|reply| reply.status);
        Record { number, due, start, end: Instant::now(), reused, status, version, pid, failure }
    }

    async fn exchange(&mut self, kept: Option<Connection>, request: &Request) -> Result<Reply, Failure> {
        let reused = kept.is_some();
        let mut connection = match kept {
            Some(kept) => kept,
            None => Connection::open(&self.shared.load.to).await.map_err(|_| Failure::Refused)?,
        };
        let reply = connection.exchange(request).await.map_err(|broken| match broken {
            Broken::BeforeAnswer(_) if reused => Failure::EofStale,
            Broken::BeforeAnswer(_) => Failure::Reset,
            Broken::InAnswer(_) => Failure::EofMid,
            Broken::Bad(_) => Failure::Bad,
        })?;
        if reply.keeps_connection && self.shared.load.client != Client::New {
            self.kept = Some(connection);
        }
        Ok(reply)
    }
}
