//! Who is let in, who is not trusted, and what is known when a connection is lost.

use std::fs::{self, Permissions};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command as Program;
use std::time::{Duration, Instant};

use flow_core::port::Host;
use flow_core::{ErrorKind, StepError};
use flow_proving::{Outside, Port, Running};
use flow_ssh::{ConnectionError, HostKeyProblem, Identity, Passphrase, SshConfig, SshPatience};
use flow_testkit::permit;
use rustix::process::Signal;

use super::machine::{Machine, at, impatient, open, shell, until};

fn keygen(args: &[&str]) -> String {
    let output = Program::new("ssh-keygen").args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn generate(path: &Path, kind: &str, passphrase: &str) -> String {
    keygen(&["-q", "-t", kind, "-N", passphrase, "-f", path.to_str().unwrap()]);
    fs::read_to_string(path.with_extension("pub")).unwrap()
}

fn fingerprint(public: &Path) -> String {
    keygen(&["-l", "-f", public.to_str().unwrap()]).split(' ').nth(1).unwrap().to_owned()
}

/// A machine whose known hosts are what `write` makes of the right ones, and how they are judged.
async fn judged(write: impl FnOnce(&Machine, &str) -> String) -> (Machine, StepError) {
    let machine = Machine::start().await;
    let right = fs::read_to_string(&machine.config.known_hosts).unwrap();
    fs::write(&machine.config.known_hosts, write(&machine, &right)).unwrap();
    let refused = machine.host.reach().await.unwrap_err();
    until("the server has seen us go", || machine.sshd.log().unwrap().contains("[preauth]")).await;
    (machine, refused)
}

#[tokio::test]
async fn an_unknown_a_changed_and_a_revoked_host_key_are_told_apart_and_told_nothing() {
    let unknown = judged(|_, _| String::new()).await;
    let changed = judged(|machine, right| {
        format!("{} {}", right.split(' ').next().unwrap(), generate(&machine.at("other"), "ed25519", ""))
    });
    let revoked = judged(|_, right| format!("{right}\n@revoked {right}")).await;
    for ((machine, error), expected) in [
        (unknown, HostKeyProblem::Unknown),
        (changed.await, HostKeyProblem::Changed { line: 1 }),
        (revoked, HostKeyProblem::Revoked),
    ] {
        assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
        let Some(ConnectionError::HostKey { problem, fingerprint: shown, .. }) = ConnectionError::of(&error)
        else {
            panic!("{error:?}")
        };
        assert_eq!((*problem, shown), (expected, &fingerprint(&machine.at("host_key.pub"))));
        let log = machine.sshd.log().unwrap();
        for word in ["Accepted", "Failed", "user", "publickey"] {
            assert!(!log.contains(word), "it was told something: {log}");
        }
    }
}

#[tokio::test]
async fn a_hashed_name_is_known() {
    let machine = Machine::start().await;
    keygen(&["-q", "-H", "-f", machine.config.known_hosts.to_str().unwrap()]);
    let hashed = fs::read_to_string(&machine.config.known_hosts).unwrap();
    assert!(hashed.starts_with("|1|"), "{hashed}");
    machine.host.reach().await.unwrap();
}

#[tokio::test]
async fn a_key_that_the_server_does_not_know_is_not_let_in() {
    let machine = Machine::start().await;
    generate(&machine.at("stranger"), "ed25519", "");
    let identity = Identity::File { path: machine.at("stranger"), passphrase: None };
    let refused = open(SshConfig { identity, ..machine.config.clone() }).reach().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    assert!(matches!(ConnectionError::of(&refused), Some(ConnectionError::Unauthenticated { .. })));
}

#[tokio::test]
async fn a_key_with_a_passphrase_opens_with_it_alone_and_never_shows_it() {
    let machine = Machine::start().await;
    let passphrase = "correct horse battery staple";
    for kind in ["ed25519", "ecdsa"] {
        let path = machine.at(kind);
        fs::write(machine.at("authorized_keys"), generate(&path, kind, passphrase)).unwrap();
        let with = |passphrase: Option<&str>| {
            let identity = Identity::File { path: path.clone(), passphrase: passphrase.map(Passphrase::new) };
            open(SshConfig { identity, ..machine.config.clone() })
        };
        with(Some(passphrase)).reach().await.unwrap();
        assert!(!format!("{:?}", with(Some(passphrase))).contains("horse"));
        for wrong in [None, Some("wrong horse")] {
            let refused = with(wrong).reach().await.unwrap_err();
            assert_eq!(refused.kind(), ErrorKind::Invalid, "{refused}");
            assert!(!format!("{refused:?}").contains("horse"));
        }
    }
}

#[tokio::test]
async fn a_private_key_that_others_may_read_is_refused_before_anything_is_sent() {
    let machine = Machine::start().await;
    fs::set_permissions(machine.sshd.key(), Permissions::from_mode(0o644)).unwrap();
    let refused = machine.host.reach().await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Denied, "{refused}");
    assert_eq!(machine.relay.sent(), 0);
}

#[tokio::test]
async fn an_agents_keys_are_used_also_those_of_rsa() -> Outside<()> {
    let machine = Machine::start().await;
    let socket = machine.at("agent");
    let mut agent = Program::new("ssh-agent");
    let agent = Running::start(agent.arg("-D").arg("-a").arg(&socket), &machine.at("agent.log"))?;
    agent.until("the agent listens", async || Ok(socket.exists().then_some(()))).await?;
    for kind in ["ecdsa", "rsa"] {
        let path = machine.at(kind);
        generate(&path, kind, "");
        let added = Program::new("ssh-add").arg("-q").arg(&path).env("SSH_AUTH_SOCK", &socket).status()?;
        assert!(added.success());
    }
    fs::copy(machine.at("rsa.pub"), machine.at("authorized_keys"))?;
    let with = |key: Option<&str>| {
        let fingerprint = key.map(|key| fingerprint(&machine.at(key)));
        let identity = Identity::Agent { socket: socket.clone(), fingerprint };
        open(SshConfig { identity, ..machine.config.clone() })
    };
    with(None).reach().await?;
    with(Some("rsa.pub")).reach().await?;
    assert_eq!(with(Some("ecdsa.pub")).reach().await.unwrap_err().kind(), ErrorKind::Denied);
    assert_eq!(with(Some("key.pub")).reach().await.unwrap_err().kind(), ErrorKind::NotFound);
    agent.end()?;
    let gone = with(None).reach().await.unwrap_err();
    assert!(gone.kind().is_rejection(), "{gone}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_refuses_and_one_that_is_silent_are_certain() {
    let machine = Machine::start().await;
    let port = Port::free().unwrap();
    let patience = SshPatience { connect: Duration::from_millis(300), ..SshPatience::default() };
    let host = open(SshConfig { port: port.number(), patience, ..machine.config.clone() });
    let refused = host.run(&permit(), &shell(":")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable, "{refused}");
    assert!(matches!(ConnectionError::of(&refused), Some(ConnectionError::Unreachable { .. })));

    let _listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number())).unwrap();
    let silent = host.run(&permit(), &shell(":")).await.unwrap_err();
    assert_eq!(silent.kind(), ErrorKind::Unavailable, "{silent}");
    assert!(matches!(ConnectionError::of(&silent), Some(ConnectionError::Silent { .. })));
}

#[tokio::test]
async fn a_server_killed_in_mid_command_leaves_a_run_in_doubt_and_a_query_unanswered() {
    let machine = Machine::start().await;
    let kill = async |name: &str| {
        until("the command runs", || machine.root(name).exists()).await;
        // By their own ids: what serves our connection, and not what listens.
        machine.sessions().into_iter().for_each(|process| process.signal(Signal::KILL));
    };
    let permit = permit();
    let (run, query) = (shell("echo > run; exec sleep 600"), shell("echo > query; exec sleep 600"));
    let (run, ()) = tokio::join!(machine.host.run(&permit, &run), kill("run"));
    let (query, ()) = tokio::join!(machine.host.query(&query), kill("query"));
    let (run, query) = (run.unwrap_err(), query.unwrap_err());
    assert_eq!((run.kind(), query.kind()), (ErrorKind::Unknown, ErrorKind::Unavailable), "{run}; {query}");
    for error in [run, query] {
        assert!(matches!(ConnectionError::of(&error), Some(ConnectionError::Vanished)), "{error}");
    }
    assert!(machine.host.query(&shell(":")).await.unwrap().succeeded(), "a new connection is made");
}

#[tokio::test]
async fn a_server_that_is_stopped_is_given_up_and_come_back_to() {
    let machine = Machine::with(impatient).await;
    machine.host.reach().await.unwrap();
    let stopped = machine.sessions();
    stopped.iter().for_each(|process| process.signal(Signal::STOP));
    let begun = Instant::now();
    let (permit, file, command) = (permit(), at("file"), shell("echo > ran"));
    let (read, run) = tokio::join!(machine.host.read(&file), machine.host.run(&permit, &command));
    let (read, run) = (read.unwrap_err(), run.unwrap_err());
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert!(read.kind().is_retryable(), "{read}");
    assert!(!machine.root("ran").exists(), "{run}");
    assert_eq!(machine.host.read(&file).await.unwrap(), None, "a new connection is made");
    stopped.iter().for_each(|process| process.signal(Signal::CONT));
}

#[tokio::test]
async fn one_connection_carries_everything() {
    let machine = Machine::start().await;
    let (host, permit, file, command) = (machine.host.clone(), permit(), at("file"), shell(":"));
    let (run, written) = tokio::join!(host.run(&permit, &command), machine.host.write(&permit, &file, b"x"));
    assert!(run.is_ok() && written.is_ok());
    assert_eq!(machine.sshd.log().unwrap().matches("Accepted publickey").count(), 1);
}

#[test]
fn a_bad_configuration_is_refused_with_all_its_problems() {
    let identity = Identity::Agent { socket: "agent".into(), fingerprint: Some("MD5:x".into()) };
    let bad = SshConfig {
        port: 0,
        sockets: "relative".into(),
        patience: SshPatience { answer: Duration::ZERO, ..SshPatience::default() },
        ..SshConfig::new("-oProxyCommand=x y", "", identity, "known_hosts", "root")
    };
    let refused = bad.env("SECRET", "x").env("LANG", "\0").check().unwrap_err().to_string();
    for field in [
        "host",
        "port",
        "user",
        "known_hosts",
        "root",
        "sockets",
        "identity.agent.socket",
        "identity.agent.fingerprint",
        "env.SECRET",
        "env.LANG",
        "patience.answer",
    ] {
        assert!(refused.contains(&format!("`{field}`")), "{field} in {refused}");
    }
}
