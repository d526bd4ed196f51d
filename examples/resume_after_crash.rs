//! A process dies in the middle of a step; another one finishes the run from its journal. The example starts itself as
//! the one that dies: it kills itself with SIGKILL when its effect stands and nobody has recorded that yet.
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use flow_core::durable::Journaled;
use flow_core::port::HostPath;
use flow_core::{RunId, SystemClock, Work, Workflow};
use flow_examples::shop;
use flow_journal::SqliteJournal;
use flow_local::host::{HostConfig, LocalHost};
use rustix::process::{Signal, getpid, kill_process};

/// The workflow, the same in both processes but for what happens `after` its effect.
fn workflow(root: &Path, after: fn()) -> Result<Workflow> {
    let host = Arc::new(LocalHost::open(HostConfig::new(root), Arc::new(SystemClock::new()))?);
    let page = shop::WritePage { host, page: HostPath::new("index.html")?, after };
    Ok(Workflow { assets: shop::plain_site(Work::step(page))?, ..shop::workflow(root)? })
}

/// The run in the journal that both open. A dead owner's lease ends after a second, and the next one waits for that.
async fn durable(root: &Path) -> Result<Journaled<SqliteJournal>> {
    let journal = Arc::new(SqliteJournal::open(root.join("journal.db")).await?);
    let durable = Journaled::new(journal, RunId::new("release-1.0.0")?);
    Ok(durable.ttl(Duration::from_secs(1)).patience(Duration::from_secs(30)))
}

/// Ends this process as a power failure would: nothing is closed, nothing is said.
fn die() {
    // Whether it worked or not, nobody here can do more about it.
    let _ = kill_process(getpid(), Signal::KILL);
}

async fn begin(root: &Path) -> Result<()> {
    let (workflow, setting) = (workflow(root, die)?, shop::setting(root, "1.0.0")?);
    let approved = shop::approved(&workflow, &setting).await?;
    workflow.run(approved, &durable(root).await?).await?;
    Ok(())
}

async fn resume(root: &Path) -> Result<()> {
    let (workflow, setting) = (workflow(root, || {})?, shop::setting(root, "1.0.0")?);
    workflow.carry_on(&setting, &durable(root).await?).await?;
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    if let Some(root) = std::env::args_os().nth(1) {
        return begin(Path::new(&root)).await;
    }
    let root = tempfile::tempdir()?;
    let (page, record) = (root.path().join("index.html"), root.path().join("documents/change-record.md"));
    let status = Command::new(std::env::current_exe()?).arg(root.path()).status()?;
    ensure!(status.signal() == Some(9), "it was to die in the middle: {status}");
    ensure!(page.exists() && !record.exists(), "it was to die between its effect and the end of the run");

    let written = std::fs::metadata(&page)?.ino();
    resume(root.path()).await?;
    ensure!(std::fs::metadata(&page)?.ino() != written, "what nobody recorded was to be done again");
    ensure!(std::fs::read_to_string(page)? == "1.0.0" && record.exists(), "the run was to be finished");
    Ok(())
}
