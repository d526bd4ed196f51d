//! The releases, built and asked over HTTP.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _};
use tempfile::TempDir;

use crate::repository::{RELEASES, Release};
use crate::seed::{Orders, fill};

fn release(version: &str) -> &'static Release {
    RELEASES.iter().find(|release| release.version == version).unwrap()
}

/// A release's files with the programs that they make.
struct Built(TempDir);

impl Built {
    fn of(version: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (path, content) in release(version).files() {
            let path = directory.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, content).unwrap();
        }
        Self(directory)
    }

    fn program(&self, source: &str) -> PathBuf {
        let program = self.0.path().join(source.replace('/', "-").replace(".rs", ""));
        let built = Command::new("rustc")
            .args(["--edition", "2024", "-D", "warnings", "-o"])
            .arg(&program)
            .arg(self.0.path().join(source))
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        program
    }
}

/// A database with the orders of an environment.
struct Database {
    directory: TempDir,
}

impl Database {
    async fn of(orders: Orders) -> Self {
        let database = Self { directory: tempfile::tempdir().unwrap() };
        database.migrate("migrations/0001_create_orders.up.sql").await;
        let seeded = fill(&database.path(), orders).await.unwrap();
        assert_eq!(seeded.refunds > 0, orders == Orders::Production);
        database
    }

    async fn migrate(&self, script: &str) {
        let text = release("1.3.0").files().remove(script).unwrap();
        let mut connection = self.connect().await;
        sqlx::raw_sql(AssertSqlSafe(text)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    async fn schema(&self) -> Vec<String> {
        let mut connection = self.connect().await;
        sqlx::query_scalar("SELECT sql FROM sqlite_schema ORDER BY name")
            .fetch_all(&mut connection)
            .await
            .unwrap()
    }

    async fn connect(&self) -> SqliteConnection {
        SqliteConnectOptions::new().filename(self.path()).create_if_missing(true).connect().await.unwrap()
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("shop.db")
    }
}

/// A running release, ended with this value.
struct Shop {
    process: Child,
    connection: BufReader<TcpStream>,
}

impl Shop {
    fn start(program: &Path, database: &Path) -> Self {
        // A port is free again before the shop binds it, so no two shops of these tests are ever given the same.
        static NEXT: AtomicU16 = AtomicU16::new(24_000);
        let free = std::iter::repeat_with(|| NEXT.fetch_add(1, Ordering::Relaxed))
            .find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok())
            .unwrap();
        let address = free.local_addr().unwrap();
        drop(free);
        let mut process = Command::new(program)
            .args(["--address", &address.to_string(), "--database"])
            .arg(database)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let deadline = Instant::now() + Duration::from_secs(20);
        let stream = loop {
            match TcpStream::connect(address) {
                Ok(stream) => break stream,
                Err(error) => {
                    assert_eq!(process.try_wait().unwrap(), None, "the shop ended");
                    assert!(Instant::now() < deadline, "{error}");
                    std::thread::yield_now();
                }
            }
        };
        Self { process, connection: BufReader::new(stream) }
    }

    /// All on one connection: a shop that closed it would fail the next request.
    fn get(&mut self, path: &str) -> (u16, Value) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n"))
    }

    fn send(&mut self, request: &str) -> (u16, Value) {
        self.connection.get_mut().write_all(request.as_bytes()).unwrap();
        let (mut length, mut status) = (0, 0);
        loop {
            let mut line = String::new();
            self.connection.read_line(&mut line).unwrap();
            match line.trim_end() {
                "" => break,
                line if line.starts_with("HTTP/1.1 ") => status = line[9..12].parse().unwrap(),
                line => {
                    if let Some(value) = line.strip_prefix("content-length: ") {
                        length = value.parse().unwrap();
                    }
                }
            }
        }
        let mut body = vec![0; length];
        self.connection.read_exact(&mut body).unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

const UP_2: &str = "migrations/0002_add_currency.up.sql";
const DOWN_2: &str = "migrations/0002_add_currency.down.sql";
const UP_3: &str = "migrations/0003_add_points.up.sql";
const DOWN_3: &str = "migrations/0003_add_points.down.sql";

#[tokio::test]
async fn each_release_works_on_its_own_schema_and_on_the_next_while_it_is_migrated() {
    let database = Database::of(Orders::Production).await;
    let (old, new) = (Built::of("1.0.0"), Built::of("1.1.0"));
    let mut old = Shop::start(&old.program("src/main.rs"), &database.path());
    assert_eq!(old.get("/health"), (200, json!({ "status": "ok", "orders": 2000 })));
    assert_eq!(old.get("/version"), (200, json!({ "version": "1.0.0" })));
    let (order, refund) = (old.get("/api/orders/7"), old.get("/api/orders/25"));
    let note = "paid in USD\nat the counter";
    assert_eq!(order, (200, json!({ "id": 7, "customer": "Grace 7", "amount_cents": 5532, "note": note })));
    assert!(refund.1["amount_cents"].as_i64().unwrap() < 0, "{refund:?}");
    let total = old.get("/api/total");

    database.migrate(UP_2).await;
    assert_eq!(
        (old.get("/api/orders/7"), old.get("/api/orders/25"), old.get("/api/total")),
        (order, refund, total.clone())
    );

    let mut new = Shop::start(&new.program("src/main.rs"), &database.path());
    let (status, order) = new.get("/api/orders/7");
    assert_eq!((status, &order["currency"], &order["note"]), (200, &json!("USD"), &json!(note)));
    let (status, totals) = new.get("/api/total");
    assert_eq!((status, &totals["orders"]), (200, &json!(2000)));
    let by_currency = totals["total_cents"].as_object().unwrap();
    assert_eq!(by_currency.keys().collect::<Vec<_>>(), ["CHF", "EUR", "USD"]);
    let sum: i64 = by_currency.values().map(|sum| sum.as_i64().unwrap()).sum();
    assert_eq!(Some(sum), total.1["total_cents"].as_i64());

    database.migrate(UP_3).await;
    assert_eq!((new.get("/api/orders/7"), new.get("/api/total")), ((200, order), (200, totals)));
    let (status, all) = new.get("/api/orders");
    assert_eq!((status, all.as_array().unwrap().len()), (200, 2000));
}

#[tokio::test]
async fn the_bad_release_fails_on_refunds_alone_and_only_production_has_them() {
    let (bad, mended) = (Built::of("1.2.0"), Built::of("1.3.0"));
    let (bad, mended) = (bad.program("src/main.rs"), mended.program("src/main.rs"));
    for orders in [Orders::Staging, Orders::Production] {
        let database = Database::of(orders).await;
        database.migrate(UP_2).await;
        database.migrate(UP_3).await;
        let refunded = if orders == Orders::Production { 500 } else { 200 };
        let mut shop = Shop::start(&bad, &database.path());
        assert_eq!(shop.get("/health").0, 200);
        assert_eq!(shop.get("/api/orders/24").0, 200);
        assert_eq!(shop.get("/api/orders/25").0, refunded);
        assert_eq!(shop.get("/api/total").0, refunded);
        let mut shop = Shop::start(&mended, &database.path());
        for path in ["/health", "/api/orders/24", "/api/orders/25", "/api/total", "/api/orders"] {
            assert_eq!(shop.get(path).0, 200, "{path}");
        }
    }
}

#[tokio::test]
async fn the_ways_back_restore_the_schema_to_the_letter() {
    let database = Database::of(Orders::Staging).await;
    let first = database.schema().await;
    database.migrate(UP_2).await;
    let second = database.schema().await;
    database.migrate(UP_3).await;
    assert_ne!(database.schema().await, second);
    database.migrate(DOWN_3).await;
    assert_eq!(database.schema().await, second);
    database.migrate(DOWN_2).await;
    assert_eq!(database.schema().await, first);
}

#[tokio::test]
async fn requests_that_cannot_be_answered_say_so() {
    let database = Database::of(Orders::Staging).await;
    let program = Built::of("1.1.0");
    let mut shop = Shop::start(&program.program("src/main.rs"), &database.path());
    for path in ["/api/orders/0", "/api/orders/x", "/api/orders/", "/nothing"] {
        assert_eq!(shop.get(path).0, 404, "{path}");
    }
    // This release needs a column that the first schema does not have.
    let missing = json!({ "error": "there is no column `currency`" });
    assert_eq!(shop.get("/api/orders/1"), (500, missing));
    let posted = shop.send("POST /api/orders HTTP/1.1\r\ncontent-length: 4\r\n\r\nGET ");
    assert_eq!(posted.0, 405);
    assert_eq!(shop.get("/version?x=1").0, 200);
    std::fs::write(database.path(), "damaged").unwrap();
    assert_eq!(shop.get("/health").0, 503);
    assert_eq!(shop.get("/version").0, 200);
    assert_eq!(shop.send("GET /version HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n").0, 400);
    assert_eq!(shop.connection.read(&mut [0]).unwrap(), 0, "it goes on after a request without a known end");
}

#[test]
fn the_function_writes_the_receipt_of_an_event() {
    let function = Built::of("1.1.0");
    let program = function.program("function/main.rs");
    let call = |event: &str| {
        let mut process = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        process.stdin.take().unwrap().write_all(event.as_bytes()).unwrap();
        let output = process.wait_with_output().unwrap();
        output.status.success().then(|| serde_json::from_slice::<Value>(&output.stdout).unwrap())
    };
    let receipt = |text: &str| Some(json!({ "version": "1.1.0", "receipt": text }));
    assert_eq!(call(r#"{"order":7,"amount_cents":1250}"#), receipt("order 7: 12.50"));
    assert_eq!(call(r#"{ "amount_cents" : -5 , "order" : 8 }"#), receipt("order 8: -0.05"));
    assert_eq!(call(r#"{"order":7}"#), None);
    assert_eq!(call(r#"{"order":"7","amount_cents":1250}"#), None);
}
