//! A plain std server as an upstream, one thread a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What every connection of the server knows.
struct Server {
    version: String,
    /// How long an idle connection is kept, before it is closed without a word; none closes after every response.
    keeps: Option<Duration>,
    open: AtomicU64,
    accepted: AtomicU64,
    waiting: AtomicU64,
    released: (Mutex<bool>, Condvar),
}

/// `how` is `VERSION`, to close after every response, or `VERSION/IDLE_MS`.
pub(super) fn run(how: &str, address: &str) {
    std::thread::spawn(|| {
        // The test holds the other end: when it ends, however it does, so does this.
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let (version, keeps) = match how.split_once('/') {
        Some((version, idle)) => (version, Some(Duration::from_millis(idle.parse().unwrap()))),
        None => (how, None),
    };
    let server = Arc::new(Server {
        version: version.to_owned(),
        keeps,
        open: AtomicU64::default(),
        accepted: AtomicU64::default(),
        waiting: AtomicU64::default(),
        released: Default::default(),
    });
    if let Some(path) = address.strip_prefix("unix:") {
        for stream in UnixListener::bind(path).unwrap().incoming().map(Result::unwrap) {
            server.accept(move |server| server.converse(&stream, &stream, || stream.set_read_timeout(keeps)));
        }
    } else {
        for stream in TcpListener::bind(address).unwrap().incoming().map(Result::unwrap) {
            stream.set_nodelay(true).unwrap();
            server.accept(move |server| server.converse(&stream, &stream, || stream.set_read_timeout(keeps)));
        }
    }
}

impl Server {
    /// Holds a response back until somebody asks for `/release`.
    fn wait(&self) {
        self.waiting.fetch_add(1, Ordering::SeqCst);
        let (released, changed) = &self.released;
        drop(changed.wait_while(released.lock().unwrap(), |released| !*released).unwrap());
    }

    fn release(&self) {
        *self.released.0.lock().unwrap() = true;
        self.released.1.notify_all();
    }

    fn accept(self: &Arc<Self>, converse: impl FnOnce(&Self) -> Option<()> + Send + 'static) {
        self.open.fetch_add(1, Ordering::SeqCst);
        self.accepted.fetch_add(1, Ordering::SeqCst);
        let server = Arc::clone(self);
        std::thread::spawn(move || {
            converse(&server);
            server.open.fetch_sub(1, Ordering::SeqCst);
        });
    }

    fn converse(
        &self,
        reader: impl Read,
        mut writer: impl Write,
        idles: impl Fn() -> std::io::Result<()>,
    ) -> Option<()> {
        let mut reader = BufReader::new(reader);
        loop {
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).ok()? == 0 {
                    return None;
                }
            }
            let length = read_body(&mut reader, &head)?;
            let path = head.split(' ').nth(1)?.to_owned();
            let mut parts = path.trim_start_matches('/').split('/');
            let (what, number) = (parts.next()?, parts.next().and_then(|number| number.parse::<u64>().ok()));
            let mut status = 200;
            let mut extra = "";
            let mut body = self.version.clone();
            match what {
                "hold" => self.wait(),
                "release" => self.release(),
                "status" => status = number?,
                "length" => body = length.to_string(),
                "open" => body = self.open.load(Ordering::SeqCst).to_string(),
                "waiting" => body = self.waiting.load(Ordering::SeqCst).to_string(),
                "slow" => std::thread::sleep(Duration::from_millis(number?)),
                "accepted" => body = self.accepted.load(Ordering::SeqCst).to_string(),
                "head" => {
                    body = head;
                    extra = "Connection: X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=9\r\nX-Plain: 1\r\nX-Flow-Version: forged\r\n";
                }
                "break" => {
                    writer.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nnot all").ok()?;
                    return None;
                }
                "drip" => {
                    writer
                        .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
                        .ok()?;
                    self.wait();
                    writer.write_all(b"4\r\nlast\r\n0\r\n\r\n").ok()?;
                    self.keeps?;
                    idles().ok()?;
                    continue;
                }
                _ => {}
            }
            let close = if self.keeps.is_some() { "" } else { "Connection: close\r\n" };
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{close}{extra}\r\n{body}");
            writer.write_all(answer.as_bytes()).ok()?;
            self.keeps?;
            idles().ok()?;
        }
    }
}

fn read_body(reader: &mut impl BufRead, head: &str) -> Option<usize> {
    let head = head.to_ascii_lowercase();
    if let Some(length) = head.split("content-length: ").nth(1) {
        let mut body = vec![0; length.lines().next()?.trim().parse().ok()?];
        reader.read_exact(&mut body).ok()?;
        return Some(body.len());
    }
    let mut sum = 0;
    while head.contains("transfer-encoding: chunked") {
        let mut size = String::new();
        reader.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        reader.read_exact(&mut vec![0; size + 2]).ok()?;
        sum += size;
        if size == 0 {
            break;
        }
    }
    Some(sum)
}
