//! What is said of a daemon that is not there, not ours or not answering, and how one is started.

use std::error::Error as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fs};

use flow_core::port::ProcessManager as _;
use flow_core::{ErrorKind, StepError, SystemClock};
use flow_pm2::{Absence, CallError, Daemon, Pm2Config, Pm2Processes};
use flow_proving::app::Behaviour;
use flow_proving::server::Pm2Version;
use flow_proving::{Outside, until};
use flow_testkit::permit;
use rustix::process::Signal;

use super::world::{WEB, World, node_path};

/// Why a call of the daemon failed.
fn cause(error: &StepError) -> &CallError {
    error.source().unwrap().downcast_ref().unwrap()
}

#[tokio::test]
async fn a_daemon_that_was_never_started_is_told_apart_from_one_that_was_killed() -> Outside<()> {
    let world = World::without_daemon(Pm2Version::Seven, |config, _| config)?;
    let spec = world.app("1", &Behaviour::of("1"))?;
    let refused = world.launch(&spec).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(matches!(cause(&refused), CallError::Absent(Absence::NeverStarted(_))), "{refused:?}");
    assert!(world.manager.instances(&WEB).await?.is_empty());

    world.pm2.revive().await?;
    assert!(world.manager.version().await?.starts_with("7."));
    world.pm2.kill_daemon().await?;
    // The last of its threads closes its sockets.
    let socket = world.pm2.home().join("rpc.sock");
    let closed = async || Ok(std::os::unix::net::UnixStream::connect(&socket).is_err().then_some(()));
    until("its sockets are closed", closed).await?;
    let refused = world.launch(&spec).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
    assert!(matches!(cause(&refused), CallError::Absent(Absence::Stale(_))), "{refused:?}");
    assert!(world.manager.instances(&WEB).await?.is_empty() && world.running().is_empty());
    Ok(())
}

#[tokio::test]
async fn a_missing_daemon_is_started_in_its_own_home_with_a_clean_environment() -> Outside<()> {
    let world = World::without_daemon(Pm2Version::Seven, |config, _| config)?;
    // As in a home that is really new.
    fs::remove_file(world.pm2.home().join("touch"))?;
    let mut config = world.config.clone();
    let path = node_path().parent().unwrap().display().to_string();
    config.daemon =
        Daemon::Start { pm2: world.pm2.script().to_owned(), path: format!("{path}:/usr/bin:/bin") };
    let manager = Pm2Processes::open(config, std::sync::Arc::new(SystemClock::new()))?;
    let spec = world.app("1", &Behaviour::of("1"))?;
    // Two at once start one.
    let other = world.app("2", &Behaviour::of("1"))?;
    let permit = permit();
    let (one, two) = tokio::try_join!(manager.launch(&permit, &spec), manager.launch(&permit, &other))?;
    let daemon = world.pm2.daemon().ok_or("no daemon of this home runs")?;
    let children = flow_proving::table::children(daemon.pid);
    let pids: Vec<u32> = children.iter().map(|child| child.pid).collect();
    assert!(pids.contains(&one.pid.unwrap()) && pids.contains(&two.pid.unwrap()), "{pids:?}");
    let environment = daemon.environment();
    let cargo = environment.iter().find(|entry| entry.starts_with("CARGO"));
    assert_eq!(cargo, None, "the test's own environment was inherited");
    Ok(())
}

#[tokio::test]
async fn a_daemon_that_hangs_is_given_up_in_time_and_used_again_when_it_answers() -> Outside<()> {
    let world = World::with(|mut config, _| {
        config.answer = Duration::from_secs(2);
        config
    })
    .await?;
    let spec = world.app("1", &Behaviour::of("1"))?;
    let first = world.app("0", &Behaviour::of("1"))?;
    world.launch(&first).await?;
    let daemon = world.pm2.daemon().ok_or("no daemon")?;
    daemon.signal(Signal::STOP);
    let hung = world.launch(&spec).await.unwrap_err();
    assert_eq!(hung.kind(), ErrorKind::TimedOut, "{hung}");
    assert!(matches!(cause(&hung), CallError::TimedOut(_)), "{hung:?}");
    let hung = world.manager.instances(&WEB).await.unwrap_err();
    assert_eq!(hung.kind(), ErrorKind::TimedOut, "{hung}");
    daemon.signal(Signal::CONT);
    let launched = until("it answers again", async || Ok(world.launch(&spec).await.ok())).await?;
    assert_eq!(world.pids("1"), [launched.pid.unwrap()]);
    assert_eq!(world.pm2.daemon(), Some(daemon));
    Ok(())
}

#[tokio::test]
async fn older_versions_are_spoken_to_as_well_whatever_their_command_says() -> Outside<()> {
    for version in Pm2Version::of_this_tier() {
        let world = World::without_daemon(*version, |config, _| config)?;
        world.pm2.revive().await?;
        let major = match version {
            Pm2Version::Five => "5.",
            Pm2Version::Six => "6.",
            Pm2Version::Seven => "7.",
        };
        let read = world.manager.version().await?;
        assert!(read.starts_with(major), "{read}");
        let spec = world.app("1", &Behaviour::of("1"))?;
        let pid = world.launch(&spec).await?.pid.unwrap();
        world.until_healthy("1").await?;
        assert_eq!(world.pids("1"), [pid]);
        world.stop("1").await?;
        assert!(world.running().is_empty() && world.listed()?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_socket_of_another_user_is_forbidden_and_not_absent() -> Outside<()> {
    let world = World::new().await?;
    let forbidden = if rustix::process::geteuid().is_root() {
        // Root may use every socket: a copy of this test asks as somebody else.
        let copy = world.path("test");
        fs::copy(env::current_exe()?, &copy)?;
        fs::set_permissions(world.pm2.home(), fs::Permissions::from_mode(0o755))?;
        let mut other = Command::new(&copy);
        other.args(["daemon::the_program_of_other_tests", "--exact", "--ignored", "--nocapture"]);
        other
            .env("TEST_HOME", world.pm2.home())
            .uid(65_534)
            .gid(65_534)
            .current_dir("/")
            .stdin(Stdio::null());
        String::from_utf8_lossy(&other.output()?.stdout).into_owned()
    } else {
        for socket in ["rpc.sock", "pub.sock"] {
            fs::set_permissions(world.pm2.home().join(socket), fs::Permissions::from_mode(0o000))?;
        }
        asked(world.pm2.home()).await?
    };
    assert!(forbidden.contains("Denied") && forbidden.contains("Forbidden"), "{forbidden}");
    assert!(world.pm2.daemon().is_some());
    Ok(())
}

/// What is said of the daemon in a home.
async fn asked(home: &Path) -> Outside<String> {
    let sockets = flow_pm2::Addresses::Sockets { directory: PathBuf::from("/tmp") };
    let config = Pm2Config::new(home, "/tmp/nowhere", sockets);
    let manager = Pm2Processes::open(config, std::sync::Arc::new(SystemClock::new()))?;
    let error = manager.version().await.unwrap_err();
    Ok(format!("{:?} {:?}", error.kind(), cause(&error)))
}

#[test]
#[ignore = "no test: what another test starts as another user"]
fn the_program_of_other_tests() {
    let home = env::var_os("TEST_HOME").unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    println!("{}", runtime.block_on(asked(Path::new(&home))).unwrap());
}

/// PM2 mixes the environment with its own fields of an app, and the rule that keeps the two apart is that its fields are in lower
/// case: read from what is installed.
#[test]
fn no_field_that_pm2_reads_of_an_app_could_be_the_name_of_a_variable() -> Outside<()> {
    for version in Pm2Version::of_this_tier() {
        let script = version.script()?;
        let lib = script.parent().and_then(Path::parent).ok_or("no folder")?.join("lib");
        let mut fields = std::collections::BTreeSet::new();
        for file in [
            "God.js",
            "God/ActionMethods.js",
            "God/ForkMode.js",
            "God/Methods.js",
            "God/Reload.js",
            "Worker.js",
        ] {
            let source = fs::read_to_string(lib.join(file))?;
            for (place, _) in source.match_indices("pm2_env.").chain(source.match_indices("env_copy.")) {
                let after = source[place..].split_once('.').unwrap().1;
                let field = after.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
                fields.insert(field.to_owned());
            }
        }
        assert!(fields.contains("pm_exec_path") && fields.contains("autorestart"), "{fields:?}");
        let capital = |name: &&String| !name.is_empty() && name.chars().all(|c| !c.is_lowercase());
        let clash: Vec<&String> = fields.iter().filter(capital).collect();
        assert!(clash.is_empty(), "{version:?}: {clash:?}");
    }
    Ok(())
}
