//! The process table as the judge of capacity.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use flow_proving::table::Process;
use flow_proving::{Address, Outside, Request, exchange};

/// How long one that serves may take for an answer that waits for nothing.
const ANSWER: Duration = Duration::from_secs(1);

/// The instances that run and answer, each with its version.
pub(crate) type Standing = BTreeMap<u32, String>;

/// Looks at the processes whose sockets stand below some roots, as fast as that goes, on a thread of its own.
#[derive(Debug)]
pub(crate) struct Watch {
    enough: Arc<AtomicBool>,
    looks: JoinHandle<Vec<Standing>>,
}

impl Watch {
    pub(crate) fn over(roots: Vec<PathBuf>) -> Self {
        let enough = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&enough);
        let looks = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let mut looks = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                looks.push(runtime.block_on(standing(&roots)));
                std::thread::sleep(Duration::from_millis(20));
            }
            looks
        });
        Self { enough, looks }
    }

    /// All looks, in their order.
    pub(crate) fn end(self) -> Vec<Standing> {
        self.enough.store(true, Ordering::Relaxed);
        self.looks.join().unwrap()
    }
}

/// The processes that run with a socket below `roots` and answer there themselves.
pub(crate) async fn standing(roots: &[PathBuf]) -> Standing {
    let mut standing = Standing::new();
    for (process, socket) in with_sockets(roots) {
        if let Ok(Ok((version, pid))) = tokio::time::timeout(ANSWER, ask(&socket)).await
            && pid == process.pid
        {
            standing.insert(pid, version);
        }
    }
    standing
}

/// The processes that were given a socket below `roots`.
pub(crate) fn with_sockets(roots: &[PathBuf]) -> Vec<(Process, PathBuf)> {
    let pids = std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let given = |pid| {
        let process = Process::of(pid)?;
        let environment = process.environment();
        let socket = environment.iter().find_map(|entry| entry.strip_prefix("SOCKET_PATH="))?;
        let below = roots.iter().any(|root| Path::new(socket).starts_with(root));
        below.then(|| (process, PathBuf::from(socket)))
    };
    pids.filter_map(given).collect()
}

async fn ask(socket: &Path) -> Outside<(String, u32)> {
    // Answered at once, however long other requests take.
    let reply = exchange(&Address::Unix(socket.to_owned()), &Request::get("/under-way")).await?;
    let header = |name| reply.header(name).ok_or("it is somebody else");
    Ok((header("x-version")?.to_owned(), header("x-pid")?.parse()?))
}
