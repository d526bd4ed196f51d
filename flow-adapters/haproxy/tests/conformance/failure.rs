//! An HAProxy that is not there, does not answer, dies, or refuses.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use flow_core::port::{Router, Routing};
use flow_core::{ErrorKind, StepError, name};
use flow_haproxy::{HaproxyConfig, HaproxyRouter};
use flow_proving::server::Haproxy;
use flow_proving::{Directory, Outside, Port, Request, exchange, until};
use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use super::world::{NEW, OLD, WEB, World, permit, routing, sections};

/// What the router says of everything that it can be asked.
async fn errors(router: &HaproxyRouter) -> [StepError; 3] {
    [
        router.routing(&WEB).await.unwrap_err(),
        router.in_flight(&WEB).await.unwrap_err(),
        router.route(&permit(1), &WEB, &Routing::default()).await.unwrap_err(),
    ]
}

#[test]
fn a_bad_configuration_is_refused_with_all_its_problems() {
    let bad = HaproxyConfig { socket: "admin.sock".into(), timeout: Duration::ZERO };
    let problems = HaproxyRouter::new(bad).unwrap_err();
    assert_eq!(problems.as_slice().len(), 2, "{problems}");
}

#[tokio::test]
async fn an_absent_socket_is_told_from_one_that_nobody_listens_at() -> Outside<()> {
    let directory = Directory::new()?;
    let socket = directory.path().join("admin.sock");
    let router = HaproxyRouter::new(HaproxyConfig::at(&socket))?;
    for error in errors(&router).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("there is no runtime socket"), "{error}");
    }
    drop(UnixListener::bind(&socket)?);
    for error in errors(&router).await {
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.to_string().contains("no HAProxy listens"), "{error}");
    }
    Ok(())
}

#[tokio::test]
async fn a_haproxy_that_does_not_answer_is_not_waited_for_and_the_call_can_be_repeated() -> Outside<()> {
    let world = World::start().await;
    let all_old = routing(&[(OLD, 100, &[world.app(OLD).await?])]);
    let config =
        HaproxyConfig { timeout: Duration::from_millis(300), ..HaproxyConfig::at(world.haproxy.socket()) };
    let impatient = HaproxyRouter::new(config)?;
    let process = world.haproxy.process();
    process.signal(Signal::STOP);
    // A signal takes effect when each of its threads has seen it.
    let status = format!("/proc/{}/status", process.pid);
    let stopped = || async { Ok(std::fs::read_to_string(&status)?.contains("State:\tT").then_some(())) };
    until("it is stopped", stopped).await?;
    for error in errors(&impatient).await {
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
    }
    process.signal(Signal::CONT);
    world.route(1, &all_old).await?;
    assert_eq!(world.router.routing(&WEB).await?, all_old);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_haproxy_that_is_killed_in_the_middle_never_counts_as_changed() -> Outside<()> {
    let world = World::start().await;
    let (old, new) = ([world.app(OLD).await?], [world.app(NEW).await?]);
    let (all_old, all_new) = (routing(&[(OLD, 100, &old)]), routing(&[(NEW, 100, &new)]));
    let calls = async {
        loop {
            for put in [&all_old, &all_new] {
                if let Err(error) = world.route(1, put).await {
                    return error;
                }
            }
        }
    };
    let killed = async {
        let served = || async {
            Ok((exchange(&world.web.address(), &Request::get("/")).await?.status == 200).then_some(()))
        };
        until("it serves", served).await.unwrap();
        tokio::task::block_in_place(|| world.haproxy.kill());
    };
    let (error, ()) = tokio::join!(calls, killed);
    assert!(
        matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::TimedOut | ErrorKind::Unknown),
        "{error}"
    );

    // The next one knows nothing, says so, and takes the same call.
    let again =
        Haproxy::start(&world.directory, &sections(&world.web, &world.api, ""), &world.web.address()).await?;
    assert_eq!(world.router.routing(&WEB).await?, Routing::default());
    world.route(1, &all_new).await?;
    assert_eq!(exchange(&world.web.address(), &Request::get("/")).await?.text(), NEW);
    again.end()
}

#[tokio::test]
async fn a_backend_that_is_not_there_or_divides_otherwise_is_refused() -> Outside<()> {
    let world = World::start().await;
    let all_old = routing(&[(OLD, 100, &[world.app(OLD).await?])]);
    for (service, kind) in [(name!("nothing"), ErrorKind::NotFound), (name!("other"), ErrorKind::Conflict)] {
        for error in [
            world.router.routing(&service).await.unwrap_err(),
            world.router.in_flight(&service).await.unwrap_err(),
            world.router.route(&permit(1), &service, &all_old).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.to_string().contains(service.as_str()), "{error}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_socket_with_too_few_rights_is_denied_and_nothing_is_changed() -> Outside<()> {
    let (directory, web, api) = (Directory::new()?, Port::free()?, Port::free()?);
    let socket = directory.path().join("operator.sock");
    let global = format!("global\n    stats socket {} level operator\n", socket.display());
    let sections = format!("{global}\n{}", sections(&web, &api, ""));
    let haproxy = Haproxy::start(&directory, &sections, &web.address()).await?;
    let router = HaproxyRouter::new(HaproxyConfig::at(&socket))?;
    assert_eq!(router.routing(&WEB).await?, Routing::default());
    let put = routing(&[(OLD, 100, &["127.0.0.1:9".to_owned()])]);
    let error = router.route(&permit(1), &WEB, &put).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied, "{error}");
    assert_eq!(
        haproxy.ask("show stat -1 4 -1").await?.lines().filter(|line| line.starts_with("web,")).count(),
        0
    );
    Ok(())
}

/// What goes wrong at one command on its way to HAProxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trouble {
    /// It does not arrive.
    CutBefore,
    /// It is carried out, and nothing comes back.
    CutAfter,
    /// Something else is answered.
    Refused,
}

/// Passes lines on to HAProxy's socket, and makes trouble at the nth; gives its own socket and the lines that came.
fn relay(world: &World, trouble: Trouble, nth: usize) -> (PathBuf, Arc<Mutex<Vec<String>>>) {
    let socket = world.directory.path().join(format!("relay-{trouble:?}-{nth}.sock"));
    let (listener, real) = (UnixListener::bind(&socket).unwrap(), world.haproxy.socket());
    let lines: Arc<Mutex<Vec<String>>> = Arc::default();
    let seen = Arc::clone(&lines);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (mut line, mut stream) = (String::new(), BufReader::new(stream));
            stream.read_line(&mut line).await.unwrap();
            let number = seen.lock().unwrap().len();
            seen.lock().unwrap().push(line.clone());
            let troubled = number == nth;
            if troubled && trouble == Trouble::Refused {
                stream.write_all(b"No, thank you.\n\n").await.unwrap();
                continue;
            }
            if troubled && trouble == Trouble::CutBefore {
                continue;
            }
            let mut real = UnixStream::connect(&real).await.unwrap();
            real.write_all(line.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            real.read_to_end(&mut answer).await.unwrap();
            if !troubled {
                stream.write_all(&answer).await.unwrap();
            }
        }
    });
    (socket, lines)
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_at_any_command_of_a_change_is_never_a_success_and_the_next_call_mends_it() -> Outside<()> {
    let world = World::start().await;
    let old = [world.app(OLD).await?];
    let new = [world.app(NEW).await?, world.app(NEW).await?];
    let (all_old, half) = (routing(&[(OLD, 100, &old)]), routing(&[(OLD, 50, &old), (NEW, 50, &new)]));
    for trouble in [Trouble::CutBefore, Trouble::CutAfter, Trouble::Refused] {
        for (nth, fence) in (0..).zip(2_u64..) {
            let fence = fence + 100 * trouble as u64;
            world.route(fence - 1, &all_old).await?;
            let before = world.servers().await;
            let (socket, lines) = relay(&world, trouble, nth);
            let ended =
                HaproxyRouter::new(HaproxyConfig::at(socket))?.route(&permit(fence), &WEB, &half).await;
            let line = lines.lock().unwrap().get(nth).cloned().unwrap_or_default();
            // What is only tidied up may fail.
            if line.is_empty() || line.starts_with("del server") {
                ended?;
            } else {
                let error = ended.unwrap_err();
                let changed = world.router.routing(&WEB).await? != all_old;
                assert!(!(changed && error.kind().is_rejection()), "{trouble:?} at `{line}`: {error}");
                if error.kind().is_rejection() {
                    let declared = world
                        .servers()
                        .await
                        .into_iter()
                        .filter(|name| name.contains(NEW))
                        .collect::<Vec<_>>();
                    assert!(
                        declared.iter().all(|name| before.contains(name)),
                        "{trouble:?} at `{line}`: {declared:?}"
                    );
                }
                world.route(fence, &half).await?;
            }
            assert_eq!(world.router.routing(&WEB).await?, half, "{trouble:?} at `{line}`");
            world.route(fence, &all_old).await?;
            world.route(fence, &all_old).await?;
            // Each change meets the same backend, so the nth command is the same each time.
            for name in world.servers().await.iter().filter(|name| !name.contains(OLD)) {
                world.haproxy.ask(&format!("del server web/{name}")).await?;
            }
            world.route(fence, &all_old).await?;
            if line.is_empty() {
                assert_eq!(nth, 7, "a change has other commands: {:?}", lines.lock().unwrap());
                break;
            }
        }
    }
    Ok(())
}
