//! The world as it looks from outside.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use flow_core::port::{ProcessManager, Router};
use flow_core::{SystemClock, Weights, name};
use flow_local::process::{LocalProcesses, ProcessesConfig};
use flow_local::proxy::{LocalRouter, ProxyConfig, RouterConfig};
use sha2::{Digest, Sha256};
use sqlx::{ConnectOptions, Connection, Row};

use crate::shop::Shop;

/// What stands in the world, read without the library's own report: schema, rows, files, processes, weights.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Seen {
    pub(crate) schema: Vec<String>,
    pub(crate) rows: BTreeMap<String, String>,
    pub(crate) files: BTreeMap<String, String>,
    pub(crate) versions: Vec<String>,
    pub(crate) processes: usize,
    pub(crate) weights: Weights,
}

impl Seen {
    /// The same without the change record, which tells of one run and its times.
    pub(crate) fn of_any_run(mut self) -> Self {
        self.files.retain(|path, _| !path.starts_with("documents/"));
        self
    }
}

/// How many processes there are with this argument.
fn processes_with(argument: &Path) -> usize {
    let argument = argument.as_os_str().as_encoded_bytes();
    let entries = std::fs::read_dir("/proc").unwrap().map(Result::unwrap);
    let lines = entries.map(|entry| std::fs::read(entry.path().join("cmdline")).unwrap_or_default());
    lines.filter(|line| line.split(|byte| *byte == 0).any(|word| word == argument)).count()
}

pub(crate) async fn look(shop: &Shop) -> Seen {
    let place = shop.root.join("staging");
    let (schema, rows) = database(&place.join("shop.db")).await;
    let mut files = BTreeMap::new();
    for directory in ["site", "rules", "configuration", "documents"] {
        tree(&place, &place.join(directory), &mut files);
    }
    let clock = Arc::new(SystemClock::new());
    let processes = LocalProcesses::open(ProcessesConfig::new(place.join("processes")), clock).unwrap();
    let running = processes.instances(&name!("web")).await.unwrap();
    for instance in &running {
        let pid = instance.pid.unwrap();
        assert!(Path::new(&format!("/proc/{pid}")).exists(), "{} does not run", instance.id);
    }
    let ports: serde_json::Value =
        serde_json::from_slice(&std::fs::read(place.join("ports.json")).unwrap()).unwrap();
    let port = u16::try_from(ports.get("proxy").unwrap().as_u64().unwrap()).unwrap();
    let proxy = ProxyConfig::on_loopback(name!("web"), place.join("proxy"), port);
    let router = LocalRouter::new(RouterConfig::new(proxy, &shop.works.program, ["proxy"])).unwrap();
    let weights = router.routing(&name!("web")).await.unwrap().weights().unwrap();
    let versions = running.into_iter().map(|instance| instance.version.to_string()).collect();
    let processes = processes_with(&place.join("shop.db"));
    Seen { schema, rows, files, versions, processes, weights }
}

/// The schema, and every row of the application's own tables.
async fn database(path: &Path) -> (Vec<String>, BTreeMap<String, String>) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection = options.connect().await.unwrap();
    let query = "SELECT name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' AND name NOT LIKE '\\_flow%' ESCAPE '\\' ORDER BY name";
    let objects = sqlx::query(query).fetch_all(&mut connection).await.unwrap();
    let schema: Vec<String> = objects.iter().map(|row| row.get::<String, _>(1)).collect();
    let columns = sqlx::query("SELECT name FROM pragma_table_info('orders') ORDER BY cid")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let columns: Vec<String> =
        columns.iter().map(|row| format!("quote(\"{}\")", row.get::<String, _>(0))).collect();
    let text = format!("SELECT {} FROM orders ORDER BY id", columns.join(" || '|' || "));
    let orders = sqlx::query(sqlx::AssertSqlSafe(text)).fetch_all(&mut connection).await.unwrap();
    let mut hasher = Sha256::new();
    for row in &orders {
        hasher.update(row.get::<String, _>(0));
        hasher.update([0]);
    }
    connection.close().await.unwrap();
    (
        schema,
        BTreeMap::from([(format!("orders, {} rows", orders.len()), format!("{:x?}", hasher.finalize()))]),
    )
}

fn tree(root: &Path, directory: &Path, files: &mut BTreeMap<String, String>) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for entry in entries.map(Result::unwrap) {
        let path = entry.path();
        // What an adapter keeps for the way back is no part of what is served.
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        if path.is_dir() {
            tree(root, &path, files);
        } else {
            let digest = format!("{:x?}", Sha256::digest(std::fs::read(&path).unwrap()));
            files.insert(path.strip_prefix(root).unwrap().display().to_string(), digest);
        }
    }
}
