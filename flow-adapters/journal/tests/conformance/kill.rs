//! Real processes that are killed in the middle of appending.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flow_core::journal::{AcquireError, JournalStore as _, read};
use flow_journal::SqliteJournal;
use flow_testkit::conformance::journal::notes;

use super::{file, run};

const KILLS: u32 = 25;
const SIGKILL: i32 = 9;
/// Names the file that a child appends to.
const CHILD: &str = "FLOW_JOURNAL_TEST_CHILD";
const ACKNOWLEDGED: &str = "acknowledged ";

/// The body of the child process. By itself it is no test.
#[tokio::test]
#[ignore = "the child process of the test below"]
async fn child_that_appends_until_it_is_killed() {
    let path = std::env::var(CHILD).unwrap();
    let journal = SqliteJournal::open(path).await.unwrap();
    // The one killed before left a lease that nobody released.
    let lease = loop {
        match journal.acquire(&run(), &[], "child", Duration::from_millis(50)).await {
            Ok(lease) => break lease,
            Err(AcquireError::Held { .. }) => tokio::time::sleep(Duration::from_millis(2)).await,
            Err(other) => panic!("{other}"),
        }
    };
    let mut records = journal.load(&run()).await.unwrap();
    let mut out = std::io::stdout();
    loop {
        let batch = notes(&records, lease.fence, 1 + records.len() as u64 % 3).unwrap();
        journal.append(&lease, records.len() as u64, &batch).await.unwrap();
        records.extend(batch);
        writeln!(out, "{ACKNOWLEDGED}{}", records.len()).unwrap();
        out.flush().unwrap();
    }
}

/// Starts a child, kills it some time after its `lines`th acknowledgement and returns the last one that it gave.
fn killed_after(path: &std::path::Path, lines: u32, then: Duration) -> usize {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_appends_until_it_is_killed", "--ignored", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut acknowledged = 0;
    let mut seen = 0;
    while seen < lines {
        let line = output.next().expect("the child ended by itself").unwrap();
        // The harness may have begun the line with the test's name.
        if let Some((_, count)) = line.split_once(ACKNOWLEDGED) {
            (acknowledged, seen) = (count.parse().unwrap(), seen + 1);
        }
    }
    // Not a wait for anything: it moves the kill to another place in the child's work.
    let moment = Instant::now() + then;
    while Instant::now() < moment {
        std::hint::spin_loop();
    }
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(SIGKILL), "it was killed and did not end by itself");
    for line in output {
        if let Some((_, count)) = line.unwrap().split_once(ACKNOWLEDGED) {
            acknowledged = count.parse().unwrap_or(acknowledged);
        }
    }
    acknowledged
}

#[tokio::test]
async fn whatever_a_killed_process_acknowledged_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let path = file(&directory);
    let mut before = 0;
    for kill in 0..KILLS {
        // Spread over the first appends after a start and over the time that one append takes.
        let acknowledged = killed_after(&path, 1 + kill % 7, Duration::from_micros(u64::from(kill) * 173));
        assert!(acknowledged > before, "kill {kill} hit a child that had appended");
        let journal = SqliteJournal::open(&path).await.unwrap();
        let loaded = journal.load(&run()).await.unwrap();
        assert!(loaded.len() >= acknowledged, "kill {kill}: {} of {acknowledged}", loaded.len());
        // One append may have been committed and not yet acknowledged; its batch has at most three records.
        assert!(loaded.len() <= acknowledged + 3, "kill {kill}: {} of {acknowledged}", loaded.len());
        assert_eq!(read(&loaded).unwrap().len(), loaded.len(), "the chain of hashes holds");
        before = loaded.len();
    }
}
