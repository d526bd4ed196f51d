//! Several hosts at once.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering};

use flow_core::ErrorKind;
use flow_core::port::Host;
use flow_proving::Port;
use flow_ssh::{SshConfig, on_each};
use flow_testkit::permit;

use super::machine::{Machine, at, open};

#[tokio::test]
async fn one_host_that_refuses_hides_none_of_the_others() {
    let machines = [Machine::start().await, Machine::start().await];
    let [first, last] = &machines;
    let nobody = Port::free().unwrap();
    let absent = open(SshConfig { port: nobody.number(), ..first.config.clone() });
    let hosts = [("first", &first.host), ("absent", &absent), ("last", &last.host)];
    let (under_way, most) = (&AtomicUsize::new(0), &AtomicUsize::new(0));
    let answers = on_each(hosts, NonZeroUsize::new(2).unwrap(), |host| async move {
        most.fetch_max(under_way.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
        let written = host.write(&permit(), &at("file"), b"x").await;
        under_way.fetch_sub(1, Ordering::Relaxed);
        written
    })
    .await;
    let kind = |answer: Result<(), flow_core::StepError>| answer.err().map(|error| error.kind());
    let kinds: Vec<_> = answers.into_iter().map(|(name, answer)| (name, kind(answer))).collect();
    assert_eq!(kinds, [("first", None), ("absent", Some(ErrorKind::Unavailable)), ("last", None)]);
    assert_eq!(most.load(Ordering::Relaxed), 2);
    assert!(machines.iter().all(|machine| machine.root("file").exists()));
}
