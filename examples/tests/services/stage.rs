//! One machine with nginx, PM2 and the example's program.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use flow_examples::private::{Balancer, Machine};
use flow_proving::app::Behaviour;
use flow_proving::load::{Client, Load, UnderWay};
use flow_proving::server::{Haproxy, Nginx, Pm2, Pm2Version};
use flow_proving::table::{self, Process};
use flow_proving::{Address, Directory, PATIENCE, Port};
use serde_json::{Value, json};

/// How the application is put behind nginx.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behind {
    /// One link.
    Link,
    /// A hundred of them.
    Slots,
    /// A file of ours.
    File,
    /// HAProxy.
    Haproxy,
}

/// The programs, and the files of the example.
pub(crate) struct Stage {
    pub(crate) front: Address,
    /// This machine's, unless another one stands behind.
    pm2: Option<Pm2>,
    proxy: Proxy,
    directory: Directory,
    config: Value,
}

/// What stands in front.
enum Proxy {
    Nginx(Nginx),
    Haproxy {
        _running: Haproxy,
        _port: Port,
    },
    /// In front of another machine.
    Balancer {
        _balancer: Balancer,
        there: Box<Machine>,
    },
}

/// The last line that the example printed, and its exit code.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) code: Option<i32>,
    pub(crate) line: Value,
    pub(crate) took: Duration,
}

impl Told {
    pub(crate) fn pids(&self, field: &str) -> BTreeSet<u32> {
        let pids = self.line[field].as_array().unwrap_or_else(|| panic!("{self:?}"));
        pids.iter().map(|pid| pid.as_u64().unwrap().try_into().unwrap()).collect()
    }

    #[track_caller]
    pub(crate) fn is(&self, outcome: &str, code: i32) -> &Self {
        assert!(self.line["outcome"] == outcome && self.code == Some(code), "{outcome} {code}: {self:?}");
        self
    }
}

/// The example's program, built once.
fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| flow_examples::private::program("services").unwrap())
}

impl Stage {
    pub(crate) async fn set(behind: Behind) -> Self {
        let directory = Directory::new().unwrap();
        let pm2 = Pm2::start(&directory, Pm2Version::Seven).await.unwrap();
        let (proxy, front, router) = match behind {
            Behind::Haproxy => haproxy(&directory).await,
            behind => nginx(&directory, &pm2, behind).await,
        };
        let config = config(&directory, &pm2, &router);
        Self { front, pm2: Some(pm2), proxy, directory, config }
    }

    /// Another machine behind a balancer of this one.
    pub(crate) fn of(balancer: Balancer, there: Machine, host: &Value) -> Self {
        let directory = Directory::new().unwrap();
        std::fs::create_dir(directory.path().join("releases")).unwrap();
        let router = json!({ "kind": "haproxy", "runtime_socket": balancer.haproxy.socket() });
        let mut config = config(&directory, &there.pm2, &router);
        config["hosts"] = json!([host]);
        config["app"]["name"] = "shop".into();
        let front = balancer.address();
        let proxy = Proxy::Balancer { _balancer: balancer, there: Box::new(there) };
        Self { front, pm2: None, proxy, directory, config }
    }

    /// The same with another value in the configuration of the application.
    pub(crate) fn with(mut self, field: &str, value: impl Into<Value>) -> Self {
        self.config["app"][field] = value.into();
        self
    }

    /// Lays a release.
    pub(crate) fn release(&self, behaviour: &Behaviour) -> PathBuf {
        let directory = self.directory.path().join(format!("source/{}", behaviour.version));
        behaviour.write_to(&directory).unwrap();
        directory
    }

    pub(crate) fn good(&self, version: &str) -> PathBuf {
        self.release(&Behaviour::of(version))
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.directory.path().join("journal.db")
    }

    /// Starts the example.
    pub(crate) fn start(&self, words: &[&str]) -> std::process::Child {
        start(&self.directory, &self.config, words)
    }

    /// The PM2 that runs the application.
    pub(crate) fn pm2(&self) -> &Pm2 {
        match (&self.pm2, &self.proxy) {
            (Some(pm2), _) => pm2,
            (None, Proxy::Balancer { there, .. }) => &there.pm2,
            _ => panic!("no PM2 was started"),
        }
    }

    /// The nginx in front.
    pub(crate) fn nginx(&self) -> &Nginx {
        let Proxy::Nginx(nginx) = &self.proxy else { panic!("no nginx stands in front") };
        nginx
    }

    /// The one link that a switch changes.
    pub(crate) fn live(&self) -> PathBuf {
        self.directory.path().join("run/.web/links/live")
    }

    /// How many masters of nginx run with this stage's configuration.
    pub(crate) fn masters(&self) -> usize {
        let named = table::command_names(&self.directory.path().join("nginx.conf"));
        named
            .into_iter()
            .filter(|one| one.command().iter().any(|word| word.contains("master process")))
            .count()
    }

    /// How many records the journal has by now.
    pub(crate) async fn records(&self) -> i64 {
        let options = sqlx::sqlite::SqliteConnectOptions::new().filename(self.journal()).read_only(true);
        let Ok(mut connection) = sqlx::ConnectOptions::connect(&options).await else { return 0 };
        sqlx::query_scalar("SELECT count(*) FROM record").fetch_one(&mut connection).await.unwrap_or(0)
    }

    /// Waits until the journal has so many records; less where it gets no more of them.
    pub(crate) async fn until_records(&self, count: i64) {
        let begun = Instant::now();
        while self.records().await < count && begun.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// Runs the example to its end.
    pub(crate) async fn tell(&self, words: &[&str]) -> Told {
        self.ended(self.start(words)).await
    }

    /// Awaits the example's end.
    pub(crate) async fn ended(&self, child: std::process::Child) -> Told {
        let begun = Instant::now();
        let output = tokio::task::spawn_blocking(move || child.wait_with_output()).await.unwrap().unwrap();
        let took = begun.elapsed();
        let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        let line = out.lines().next_back().and_then(|line| serde_json::from_str(line).ok());
        let line = line.unwrap_or_else(|| panic!("it ended with {} and said `{out}` `{err}`", output.status));
        Told { code: code(output.status), line, took }
    }

    pub(crate) async fn deploy(&self, release: &Path) -> Told {
        self.ended(self.start_to_deploy(release)).await
    }

    pub(crate) fn start_to_deploy(&self, release: &Path) -> std::process::Child {
        self.start(&["deploy", "--release", release.to_str().unwrap()])
    }

    /// Users at the front.
    pub(crate) fn users(&self, client: Client, rate: u32) -> UnderWay {
        Load::of(self.front.clone(), client).at_rate(rate).start().unwrap()
    }

    /// The processes of the application, by the process table, once there are `count` of them.
    pub(crate) async fn running(&self, count: usize) -> BTreeSet<u32> {
        let begun = Instant::now();
        loop {
            let running: BTreeSet<u32> =
                self.pm2().started().into_iter().map(|process: Process| process.pid).collect();
            if running.len() == count || begun.elapsed() > PATIENCE {
                assert_eq!(running.len(), count, "{running:?}");
                return running;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn config(directory: &Directory, pm2: &Pm2, router: &Value) -> Value {
    json!({
        "pm2_home": pm2.home(),
        "pm2_bin": pm2.script(),
        "app": {
            "name": "web", "script": "app.js", "instances": 1, "ready": "message", "probe_path": "/health",
            "ready_timeout_ms": 5_000, "settle_ms": 50, "bake_ms": 100,
        },
        "releases_root": directory.path().join("releases"),
        "router": router,
    })
}

async fn nginx(directory: &Directory, pm2: &Pm2, behind: Behind) -> (Proxy, Address, Value) {
    let (run, front) = (directory.path().join("run"), directory.path().join("front.sock"));
    std::fs::create_dir(&run).unwrap();
    let conf = directory.path().join("nginx.conf");
    let socket = |path: PathBuf| format!("server unix:{} max_fails=0;", path.display());
    let upstream = |servers: String| format!("upstream app {{ {servers} }}");
    let pass = "proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection '';".to_owned();
    let (router, http, location) = match behind {
        Behind::Slots => {
            let slots = (0..100).map(|slot| socket(run.join(format!("slot{slot:02}.sock"))));
            (json!({ "kind": "slots", "slots_dir": run }), upstream(slots.collect()), pass)
        }
        Behind::File => {
            let beside = |file: &str| format!("include {};", conf.with_file_name(file).display());
            let router = json!({ "kind": "file_reload", "conf": conf, "nginx_bin": flow_proving::find("nginx").unwrap() });
            (router, beside("flow-web.conf"), beside("flow-web.location"))
        }
        _ => {
            let link = run.join("current.sock");
            (json!({ "kind": "socket_link", "link": link }), upstream(socket(link)), pass)
        }
    };
    if behind == Behind::File {
        // Whatever the example is asked for, it lays the files that nginx is to include.
        let told = config(directory, pm2, &router);
        assert_eq!(start(directory, &told, &["status"]).wait_with_output().unwrap().status.code(), Some(1));
    }
    let http = format!("{http}\nserver {{ listen unix:{}; location / {{ {location} }} }}", front.display());
    std::fs::write(&conf, Nginx::conf_text(directory.path(), &http)).unwrap();
    let front = Address::Unix(front);
    let running = Nginx::start_from(directory, &conf, &front).await.unwrap();
    (Proxy::Nginx(running), front, router)
}

async fn haproxy(directory: &Directory) -> (Proxy, Address, Value) {
    let port = Port::free().unwrap();
    let sections = format!(
        "defaults\n mode http\n timeout connect 1s\n timeout client 30s\n timeout server 30s\n retries 0\n\
         frontend web\n bind {}\n default_backend web\nbackend web\n balance roundrobin\n",
        port.address()
    );
    let running = Haproxy::start(directory, &sections, &port.address()).await.unwrap();
    let (front, router) = (port.address(), json!({ "kind": "haproxy", "runtime_socket": running.socket() }));
    (Proxy::Haproxy { _running: running, _port: port }, front, router)
}

/// Starts the example.
fn start(directory: &Directory, config: &Value, words: &[&str]) -> std::process::Child {
    let file = directory.path().join("services.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut command = Command::new(program());
    command.args(words).arg("--config").arg(file).arg("--journal").arg(directory.path().join("journal.db"));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn code(status: ExitStatus) -> Option<i32> {
    status.code()
}

/// `short` in the short tier and `long` in the long one.
pub(crate) fn trials(short: usize, long: usize) -> usize {
    if flow_proving::is_long() { long } else { short }
}
