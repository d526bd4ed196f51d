//! The programs that the tests start: this test binary again, told by its environment what to be.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, mpsc};
use std::{fs, thread};

use flow_core::port::{LaunchSpec, ProcessManager};
use flow_core::{Clock, SystemClock};
use flow_local::process::{LocalProcesses, ProcessesConfig};
use flow_testkit::permit;
use futures::future::BoxFuture;
use tokio::signal::unix::{SignalKind, signal};

use super::world::{kill, spec};

const ROLE: &str = "TEST_ROLE";
const ROOT: &str = "TEST_ROOT";
const SPEC: &str = "TEST_SPEC";
/// Where a server leaves its note when it is asked to end; empty for one that ignores it.
const WHEN_ASKED: &str = "TEST_WHEN_ASKED";
const ENTRY: [&str; 4] =
    ["process::child::the_program_of_other_tests", "--exact", "--ignored", "--nocapture"];

/// An instance that serves HTTP at its address: `/status/NNN` answers NNN, `/never` nothing, anything else 200.
pub(super) fn server(instance: &str) -> LaunchSpec {
    let mut args = ENTRY.to_vec();
    args.push("{address}");
    let mut server = spec(instance, std::env::current_exe().unwrap(), &args);
    server.env.insert(ROLE.to_owned(), "server".to_owned());
    server
}

/// A server that leaves a note at `note` when it is asked to end, and ends then. It listens once it would hear that.
pub(super) fn polite_server(instance: &str, note: &Path) -> LaunchSpec {
    let mut polite = server(instance);
    polite.env.insert(WHEN_ASKED.to_owned(), note.display().to_string());
    polite
}

/// A server that ignores being asked to end. It listens once it does.
pub(super) fn stubborn_server(instance: &str) -> LaunchSpec {
    let mut stubborn = server(instance);
    stubborn.env.insert(WHEN_ASKED.to_owned(), String::new());
    stubborn
}

/// A controller in a process of its own.
pub(super) fn controller(role: &str, root: &Path, spec: &LaunchSpec) -> Command {
    let mut controller = Command::new(std::env::current_exe().unwrap());
    controller
        .args(ENTRY)
        .env(ROLE, role)
        .env(ROOT, root)
        .env(SPEC, serde_json::to_string(spec).unwrap())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    controller
}

#[test]
#[ignore = "no test: what the tests of this module start"]
fn the_program_of_other_tests() {
    match std::env::var(ROLE).unwrap_or_default().as_str() {
        "server" => {
            std::env::var(WHEN_ASKED).into_iter().for_each(hear);
            serve(&std::env::args().next_back().unwrap());
        }
        "controller" => control(Arc::new(SystemClock::new())),
        "controller that dies before it records" => control(Arc::new(DiesWhenAsked(SystemClock::new()))),
        _ => {}
    }
}

/// Hears from now on when this process is asked to end.
fn hear(note: String) {
    let (hears, ready) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut asked = signal(SignalKind::terminate()).unwrap();
            hears.send(()).unwrap();
            loop {
                asked.recv().await;
                if !note.is_empty() {
                    fs::write(&note, "asked").unwrap();
                    std::process::exit(0);
                }
            }
        });
    });
    ready.recv().unwrap();
}

fn serve(address: &str) {
    match address.strip_prefix("unix:") {
        Some(path) => {
            for stream in UnixListener::bind(path).unwrap().incoming() {
                let stream = stream.unwrap();
                thread::spawn(move || answer(stream.try_clone().unwrap(), stream));
            }
        }
        None => {
            for stream in TcpListener::bind(address).unwrap().incoming() {
                let stream = stream.unwrap();
                thread::spawn(move || answer(stream.try_clone().unwrap(), stream));
            }
        }
    }
}

fn answer(from: impl Read, mut to: impl Write) {
    let lines: Vec<String> =
        BufReader::new(from).lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
    let path = lines[0].split(' ').nth(1).unwrap();
    let status = match path.strip_prefix("/status/") {
        Some(status) => status,
        None if path == "/never" => loop {
            thread::park();
        },
        None => "200",
    };
    write!(to, "HTTP/1.1 {status} x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").unwrap();
}

fn control(clock: Arc<dyn Clock>) {
    let root = PathBuf::from(std::env::var(ROOT).unwrap());
    let spec: LaunchSpec = serde_json::from_str(&std::env::var(SPEC).unwrap()).unwrap();
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let manager = LocalProcesses::open(ProcessesConfig::new(root), clock).unwrap();
        manager.launch(&permit(), &spec).await.unwrap();
        std::future::pending::<()>().await;
    });
}

/// A clock that kills its process when it is asked for the time of day: which is done between the start of an instance and
/// the record that it runs.
#[derive(Debug)]
struct DiesWhenAsked(SystemClock);

impl Clock for DiesWhenAsked {
    fn now(&self) -> jiff::Timestamp {
        kill(std::process::id());
        self.0.now()
    }

    fn monotonic(&self) -> std::time::Duration {
        self.0.monotonic()
    }

    fn sleep(&self, duration: std::time::Duration) -> BoxFuture<'static, ()> {
        self.0.sleep(duration)
    }
}
