//! The figures that the standard's steps do not measure by themselves, each read where it arises.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::gate::{Figure, StandardGate};
use flow_core::port::{Gauge, ProbeRequest, Prober, ProcessManager};
use flow_core::{Clock, ErrorKind, StepError, name};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::task::JoinHandle;

/// How often the pulse is felt.
const BEAT: Duration = Duration::from_millis(100);

/// Asks for the shop's health all through a run, as a user would: how long was it down?
pub(crate) struct Pulse {
    seen: Arc<Mutex<Seen>>,
    watching: JoinHandle<()>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    asked: u32,
    down: Duration,
    /// Since when there was no good answer.
    since: Option<Duration>,
}

impl Pulse {
    pub(crate) fn of(url: String, prober: Arc<dyn Prober>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let kept = seen.clone();
        let watching = tokio::spawn(async move {
            loop {
                let asked = clock.monotonic();
                let request = ProbeRequest { url: url.clone(), timeout: Duration::from_secs(1) };
                let good = prober.get(&request).await.is_ok_and(|reply| reply.status == 200);
                kept.lock().unwrap_or_else(PoisonError::into_inner).beat(good, asked, clock.monotonic());
                clock.sleep(BEAT).await;
            }
        });
        Arc::new(Self { seen, watching })
    }
}

impl Seen {
    /// From the first bad answer's question to the next good answer the shop counts as down.
    fn beat(&mut self, good: bool, asked: Duration, answered: Duration) {
        self.asked += 1;
        match (good, self.since) {
            (true, Some(since)) => {
                self.down += answered.saturating_sub(since);
                self.since = None;
            }
            (false, None) => self.since = Some(asked),
            _ => {}
        }
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

#[async_trait]
impl Gauge for Pulse {
    fn gate(&self) -> StandardGate {
        StandardGate::Downtime
    }

    async fn measure(&self) -> Result<Figure, StepError> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.asked == 0 {
            return Err(StepError::new(ErrorKind::Failed, "nobody felt the shop's pulse"));
        }
        if seen.since.is_some() {
            return Err(StepError::new(ErrorKind::Failed, "the shop is down"));
        }
        let measured = format!("{} requests for its health since the run began", seen.asked);
        Ok(Figure { gate: StandardGate::Downtime, value: seen.down.as_secs_f64(), measured })
    }
}

/// Times what the shop asks its database, on a connection that cannot write.
pub(crate) struct Queries {
    pub(crate) database: PathBuf,
    pub(crate) clock: Arc<dyn Clock>,
}

/// How many queries are timed.
const ASKED: usize = 100;

const QUERIES: [&str; 2] = ["SELECT count(*) FROM orders", "SELECT * FROM orders ORDER BY id DESC LIMIT 50"];

#[async_trait]
impl Gauge for Queries {
    fn gate(&self) -> StandardGate {
        StandardGate::DatabaseQuery
    }

    async fn measure(&self) -> Result<Figure, StepError> {
        let failed = |error| StepError::new(ErrorKind::Failed, "the database does not answer").because(error);
        let options = SqliteConnectOptions::new().filename(&self.database).read_only(true);
        let mut connection = options.connect().await.map_err(failed)?;
        let mut times = Vec::with_capacity(ASKED);
        for query in QUERIES.into_iter().cycle().take(ASKED) {
            let begun = self.clock.monotonic();
            sqlx::query(query).fetch_all(&mut connection).await.map_err(failed)?;
            times.push(self.clock.monotonic().saturating_sub(begun));
        }
        connection.close().await.map_err(failed)?;
        times.sort_unstable();
        // By the nearest rank.
        let unmeasured = || StepError::new(ErrorKind::Failed, "the database was not asked");
        let p95 = times.get((ASKED * 95).div_ceil(100) - 1).ok_or_else(unmeasured)?;
        let measured = format!("95th percentile of {ASKED} queries of two kinds");
        Ok(Figure { gate: StandardGate::DatabaseQuery, value: p95.as_secs_f64() * 1000.0, measured })
    }
}

/// Reads what the service's processes take of the machine: of its processors over a second, and of its memory.
pub(crate) struct Machine {
    pub(crate) processes: Arc<dyn ProcessManager>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Clock ticks a second in `/proc/PID/stat`, see proc_pid_stat(5): 100 on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

impl Machine {
    async fn pids(&self) -> Result<Vec<u32>, StepError> {
        let instances = self.processes.instances(&name!("web")).await?;
        Ok(instances.into_iter().filter_map(|instance| instance.pid).collect())
    }
}

/// The ticks that the processes have used.
fn ticks(pids: &[u32]) -> Result<u64, StepError> {
    let used = |pid: &u32| {
        let stat = read(&PathBuf::from(format!("/proc/{pid}/stat")))?;
        // The program's name stands in brackets and may hold anything; utime and stime are the 12th and 13th after it.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest).unwrap_or_default().split_whitespace();
        Ok(fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>())
    };
    pids.iter().map(used).sum()
}

/// The kilobytes that `field` of a file such as `/proc/meminfo` names.
fn kilobytes(path: &Path, field: &str) -> Result<f64, StepError> {
    let text = read(path)?;
    let line = text.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    let number = line.split_whitespace().next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| StepError::new(ErrorKind::Failed, "nothing to read there").fact("field", field))
}

fn read(path: &Path) -> Result<String, StepError> {
    std::fs::read_to_string(path).map_err(|error| {
        StepError::new(ErrorKind::Failed, "a process cannot be looked at")
            .fact("path", path.display())
            .because(error)
    })
}

#[async_trait]
impl Gauge for Machine {
    fn gate(&self) -> StandardGate {
        StandardGate::ResourceUse
    }

    async fn measure(&self) -> Result<Figure, StepError> {
        let pids = self.pids().await?;
        if pids.is_empty() {
            return Err(StepError::new(ErrorKind::Failed, "no instance runs"));
        }
        let (begun, before) = (self.clock.monotonic(), ticks(&pids)?);
        self.clock.sleep(Duration::from_secs(1)).await;
        let used = ticks(&pids)?.saturating_sub(before);
        let elapsed = self.clock.monotonic().saturating_sub(begun).as_secs_f64();
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        #[expect(
            clippy::cast_precision_loss,
            reason = "ticks of a second and processors stay far below 2^53"
        )]
        let processor = 100.0 * (used as f64 / TICKS) / (elapsed * processors as f64);
        let mut resident = 0.0;
        for pid in &pids {
            resident += kilobytes(&PathBuf::from(format!("/proc/{pid}/status")), "VmRSS:")?;
        }
        let memory = 100.0 * resident / kilobytes(Path::new("/proc/meminfo"), "MemTotal:")?;
        let measured = format!(
            "{} processes: {processor:.1} % of the processors, {memory:.1} % of the memory",
            pids.len()
        );
        Ok(Figure { gate: StandardGate::ResourceUse, value: processor.max(memory), measured })
    }
}
