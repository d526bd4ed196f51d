use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};

use flow_core::ErrorKind;
use flow_linux::{Machine, ProcessId, ProcessState, Signal, Signalled};
use flow_testkit::permit;

use crate::host::both;

/// A child that waits until its input ends, or a signal comes.
struct Waiting(Child);

impl Waiting {
    fn start() -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "read line; exit 0", "", "a b"]).env("FLOW_TEST", "one=two");
        Self(command.stdin(Stdio::piped()).spawn().unwrap())
    }

    async fn id(&self, machine: &Machine) -> ProcessId {
        machine.process(self.0.id()).await.unwrap().unwrap().id
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_process_is_seen_as_it_is() {
    for (way, machine) in both() {
        let child = Waiting::start();
        let found = machine.process(child.0.id()).await.unwrap().unwrap();
        assert_eq!((found.parent, found.name.as_str()), (std::process::id(), "sh"), "{way}");
        assert_eq!(found.uid, own_user(), "{way}");
        assert!(found.is_running(), "{way}");
        let arguments = machine.command_line(found.id).await.unwrap().unwrap();
        assert_eq!(arguments, ["sh", "-c", "read line; exit 0", "", "a b"], "{way}");
        assert_eq!(
            machine.variable(found.id, "FLOW_TEST").await.unwrap().as_deref(),
            Some("one=two"),
            "{way}"
        );
        assert_eq!(machine.variable(found.id, "FLOW").await.unwrap(), None, "{way}");
        let children = machine.children(std::process::id()).await.unwrap();
        assert!(children.contains(&found), "{way}");
        assert!(machine.processes().await.unwrap().contains(&found), "{way}");
        let with = (found.clone(), "one=two".to_owned());
        assert!(machine.started_with("FLOW_TEST").await.unwrap().contains(&with), "{way}");
        for other in ["FLOW", "TEST", "one"] {
            let found = machine.started_with(other).await.unwrap();
            assert!(found.iter().all(|(process, _)| process.id != with.0.id), "{way} {other}");
        }
    }
}

/// The user of the test, as the owner of its own directory in the process table.
fn own_user() -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self/fd").unwrap().uid()
}

#[tokio::test]
async fn both_ways_see_the_same() {
    let child = Waiting::start();
    let [(_, local), (_, remote)] = both();
    let pid = child.0.id();
    assert_eq!(local.process(pid).await.unwrap(), remote.process(pid).await.unwrap());
    assert_eq!(local.boot_id().await.unwrap(), remote.boot_id().await.unwrap());
    assert_eq!(local.boot_id().await.unwrap().len(), 36);
}

#[tokio::test]
async fn a_signal_reaches_the_process_that_was_meant() {
    for (way, machine) in both() {
        let mut child = Waiting::start();
        let id = child.id(&machine).await;
        assert_eq!(machine.signal(&permit(), id, Signal::Term).await.unwrap(), Signalled::Sent, "{way}");
        assert_eq!(child.0.wait().unwrap().signal(), Some(15), "{way}");
        assert_eq!(machine.signal(&permit(), id, Signal::Term).await.unwrap(), Signalled::Gone, "{way}");
    }
}

#[tokio::test]
async fn another_process_with_the_same_id_is_neither_read_nor_signalled() {
    for (way, machine) in both() {
        let mut child = Waiting::start();
        let id = child.id(&machine).await;
        let other = ProcessId { start: id.start + 1, ..id };
        assert_eq!(machine.signal(&permit(), other, Signal::Kill).await.unwrap(), Signalled::Gone, "{way}");
        assert_eq!(machine.command_line(other).await.unwrap(), None, "{way}");
        assert_eq!(machine.variable(other, "FLOW_TEST").await.unwrap(), None, "{way}");
        // It still waits for its line: the signal would have ended it.
        drop(child.0.stdin.take());
        assert_eq!(child.0.wait().unwrap().signal(), None, "{way}");
    }
}

#[tokio::test]
async fn a_process_that_waits_to_be_reaped_has_ended() {
    for (way, machine) in both() {
        let mut child = Waiting::start();
        let id = child.id(&machine).await;
        drop(child.0.stdin.take());
        let begun = std::time::Instant::now();
        let ended = loop {
            let found = machine.process(id.pid).await.unwrap().unwrap();
            if found.state == ProcessState::Ended {
                break found;
            }
            assert!(begun.elapsed().as_secs() < 20, "{way}: {found:?}");
        };
        assert_eq!(ended.id, id, "{way}");
        assert_eq!(machine.signal(&permit(), id, Signal::Kill).await.unwrap(), Signalled::Gone, "{way}");
        child.0.wait().unwrap();
        assert_eq!(machine.process(id.pid).await.unwrap(), None, "{way}");
    }
}

#[tokio::test]
async fn ids_that_mean_every_process_are_refused() {
    for (way, machine) in both() {
        for pid in [0, 1, u32::MAX, i32::MAX as u32 + 1] {
            let error =
                machine.signal(&permit(), ProcessId { pid, start: 0 }, Signal::Term).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Invalid, "{way} {pid}");
        }
    }
}
