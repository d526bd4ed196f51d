//! Each database server comes up for its user alone, outlives a failure of the power, and leaves nothing behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use flow_proving::server::{Mariadb, PgBouncer, PoolMode, Postgres, PostgresVersion};
use flow_proving::table::{self, Process};
use flow_proving::{Directory, Outside, Shared, until};

use PostgresVersion::{Eighteen, Fifteen};

async fn postgres(version: PostgresVersion) -> Outside<Postgres> {
    Postgres::start(&Directory::new()?, version, &[]).await
}

/// A query by the plain client with the URL that drivers get.
fn asks(url: &str, version: PostgresVersion, sql: &str) -> Outside<String> {
    let mut psql = std::process::Command::new(version.tools()?.join("psql"));
    let output =
        psql.args(["-X", "-q", "-A", "-t", "-c", sql, "-d", url]).env("PGPASSFILE", "/nowhere").output()?;
    Ok(String::from_utf8([output.stdout, output.stderr].concat())?.trim_end().to_owned())
}

#[tokio::test]
async fn postgresql_answers_in_its_version_and_ends_with_its_sessions() -> Outside<()> {
    for (version, number) in [(Fifteen, "15"), (Eighteen, "18")] {
        let server = postgres(version).await?;
        let url = server.create_database("one")?;
        let found = asks(
            &url,
            version,
            "SELECT current_setting('server_version'), current_user, rolsuper FROM pg_roles WHERE rolname = current_user",
        )?;
        assert!(found.starts_with(&format!("{number}.")) && found.ends_with("|app|f"), "{found}");
        let wrong = asks(&url.replace("secret", "wrong"), version, "SELECT 1")?;
        assert!(wrong.contains("password authentication failed"), "{wrong}");
        let mut all = table::descendants(server.process().pid);
        all.insert(server.process());
        assert!(all.len() > 3, "{all:?}");
        drop(server);
        assert!(all.iter().all(|process| !process.runs()), "{all:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_postgresql_committed_is_there_after_a_failure_of_the_power() -> Outside<()> {
    let mut server = postgres(Fifteen).await?;
    let url = server.create_database("one")?;
    server.sql("one", "CREATE TABLE kept(v int); INSERT INTO kept VALUES (7)")?;
    let sessions: BTreeSet<Process> = table::descendants(server.process().pid);
    server.kill();
    assert!(!server.process().runs() && sessions.iter().all(|session| !session.runs()));
    assert!(asks(&url, Fifteen, "SELECT 1")?.contains("Connection refused"));
    server.start_again().await?;
    assert_eq!(server.sql("one", "SELECT v FROM kept")?, "7");
    assert!(server.log()?.contains("automatic recovery"));
    Ok(())
}

#[tokio::test]
async fn a_setting_is_in_force_and_a_wrong_one_stops_the_start() -> Outside<()> {
    let directory = Directory::new()?;
    let server = Postgres::start(&directory, Fifteen, &[("fsync", "off")]).await?;
    assert_eq!(server.sql("postgres", "SHOW fsync")?, "off");
    assert_eq!(postgres(Fifteen).await?.sql("postgres", "SHOW fsync")?, "on");
    let wrong = Postgres::start(&Directory::new()?, Fifteen, &[("no_such", "1")]).await.unwrap_err();
    assert!(wrong.to_string().contains("unrecognized configuration parameter"), "{wrong}");
    let wrong = Mariadb::start(&Directory::new()?, &["--no-such"]).await.unwrap_err();
    assert!(wrong.to_string().contains("unknown option '--no-such'"), "{wrong}");
    Ok(())
}

#[tokio::test]
async fn mariadb_keeps_what_was_committed_and_ends_whole() -> Outside<()> {
    let mut server = Mariadb::start(&Directory::new()?, &[]).await?;
    let url = server.create_database("one")?;
    assert!(url.starts_with("mysql://app:"), "{url}");
    server.sql("one", "CREATE TABLE kept(v int) ENGINE=InnoDB; INSERT INTO kept VALUES (7)")?;
    server.kill();
    assert!(!server.process().runs());
    assert!(server.sql("one", "SELECT 1").is_err());
    server.start_again().await?;
    assert_eq!(server.sql("one", "SELECT v, 'x' FROM kept")?, "7\tx");
    assert_eq!(server.sql("", "SELECT user FROM mysql.user WHERE user = ''")?, "");
    let process = server.process();
    drop(server);
    assert!(!process.runs());
    Ok(())
}

#[tokio::test]
async fn pgbouncer_keeps_what_a_client_left_in_its_session_only_between_transactions() -> Outside<()> {
    let server = postgres(Fifteen).await?;
    server.create_database("one")?;
    let locks = || server.sql("one", "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
    let pooler = PgBouncer::start(&Directory::new()?, &server, PoolMode::Session).await?;
    asks(&pooler.url("app", "one"), Fifteen, "SELECT pg_advisory_lock(7)")?;
    until("the session is as new", || async { Ok((locks()? == "0").then_some(())) }).await?;
    let pooler = PgBouncer::start(&Directory::new()?, &server, PoolMode::Transaction).await?;
    asks(&pooler.url("app", "one"), Fifteen, "SELECT pg_advisory_lock(7)")?;
    assert_eq!(asks(&pooler.url("app", "one"), Fifteen, "SELECT pg_advisory_unlock(7)")?, "t");
    Ok(())
}

/// Set for the process that shares servers.
const SHARES: &str = "FLOW_PROVING_SHARES";

#[tokio::test]
#[ignore = "run by another test"]
async fn shares_a_server_of_each_kind() -> Outside<()> {
    static POSTGRES: Shared<Postgres> = Shared::new();
    static MARIADB: Shared<Mariadb> = Shared::new();
    let path = std::env::var_os(SHARES).ok_or("run by another test")?;
    let one = POSTGRES.get(|| postgres(Fifteen)).await?;
    drop(one.clone());
    let mariadb = MARIADB.get(|| async { Mariadb::start(&Directory::new()?, &[]).await }).await?;
    assert!(Arc::ptr_eq(&one, &POSTGRES.get(|| postgres(Fifteen)).await?));
    let lines = [(one.process(), one.socket_folder()), (mariadb.process(), mariadb.socket())];
    let lines = lines.map(|(process, place)| format!("{} {}\n", process.pid, place.display()));
    std::fs::write(&path, lines.concat())?;
    // Until it is killed, or its time is over.
    until("the file is gone", || async { Ok((!Path::new(&path).exists()).then_some(())) }).await
}

#[tokio::test]
async fn what_the_tests_of_a_binary_share_ends_with_their_process_however_that_ends() -> Outside<()> {
    for killed in [false, true] {
        let directory = Directory::new()?;
        let path = directory.path().join("shared");
        let mut process = std::process::Command::new(std::env::current_exe()?)
            .args(["--exact", "database::shares_a_server_of_each_kind", "--ignored"])
            .env(SHARES, &path)
            .spawn()?;
        let written =
            || async { Ok(std::fs::read_to_string(&path).ok().filter(|text| text.lines().count() == 2)) };
        let text = until("both servers are there", written).await?;
        let pairs = text.lines().filter_map(|line| line.split_once(' '));
        let servers: Vec<(Process, &Path)> = pairs
            .filter_map(|(pid, place)| Some((Process::of(pid.parse().ok()?)?, Path::new(place))))
            .collect();
        assert_eq!(servers.len(), 2);
        if killed {
            process.kill()?;
        } else {
            std::fs::remove_file(&path)?;
        }
        assert_eq!(process.wait()?.success(), !killed);
        let gone =
            || async { Ok(servers.iter().all(|(one, place)| !one.runs() && !place.exists()).then_some(())) };
        until("the servers and their directories are gone", gone).await?;
    }
    Ok(())
}
