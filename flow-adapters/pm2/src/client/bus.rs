use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::amp::{self, Decoder};
use super::call::Call;
use super::error::CallError;
use super::rpc::{Rpc, dial};

/// How much of an app's error output is kept.
const OUTPUT: usize = 2048;

/// Listens to what the daemon tells of its apps. It tells each thing once, to who listens at that moment.
#[derive(Debug)]
pub(crate) struct Bus {
    socket: PathBuf,
    heard: Arc<Heard>,
    /// The task that reads, if there is one. It always reads: the daemon keeps what a slow listener has not taken, without bound.
    reader: tokio::sync::Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug, Default)]
struct Heard {
    apps: Mutex<BTreeMap<String, Track>>,
    news: Notify,
}

/// What was heard of one app since it is listened for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Track {
    /// How often its process has ended.
    pub(crate) exits: u32,
    /// What its process ended with last.
    pub(crate) exit_code: Option<i64>,
    /// How often PM2 had started it again when its process said that it is ready; none where it has not, or has ended since.
    pub(crate) ready: Option<u64>,
    /// The end of what it wrote to its standard error.
    pub(crate) output: String,
    restarts: u64,
}

impl Bus {
    pub(crate) fn new(socket: PathBuf) -> Self {
        Self { socket, heard: Arc::default(), reader: tokio::sync::Mutex::default() }
    }

    /// Returns when the daemon certainly tells us everything from now on. Where it did so all along, what was heard stands.
    pub(crate) async fn listen(&self, rpc: &Rpc) -> Result<(), CallError> {
        let mut reader = self.reader.lock().await;
        if reader.as_ref().is_some_and(|reader| !reader.is_finished()) {
            return Ok(());
        }
        // What an earlier daemon told says nothing of this one's apps.
        self.heard.lock().clear();
        let stream = dial(&self.socket).await?;
        *reader = Some(tokio::spawn(read(stream, Arc::clone(&self.heard))));
        // The daemon has taken the connection when it takes its turn: the first answer may still be of the turn before.
        rpc.call(&Call::Ping).await?;
        rpc.call(&Call::Ping).await?;
        Ok(())
    }

    /// Listens for the app of this name, which PM2 has started again so often; what was heard of it so far is kept.
    pub(crate) fn follow(&self, name: &str, restarts: u64) -> Track {
        let fresh = || Track { restarts, ..Track::default() };
        self.heard.lock().entry(name.to_owned()).or_insert_with(fresh).clone()
    }

    /// Listens no longer for the app of this name.
    pub(crate) fn forget(&self, name: &str) {
        self.heard.lock().remove(name);
    }

    /// Waits until something holds of what was heard of an app.
    pub(crate) async fn until(&self, name: &str, holds: impl Fn(&Track) -> bool) {
        loop {
            let mut news = std::pin::pin!(self.heard.news.notified());
            news.as_mut().enable();
            if self.heard.lock().get(name).is_some_and(&holds) {
                return;
            }
            news.await;
        }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.get_mut() {
            reader.abort();
        }
    }
}

impl Heard {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Track>> {
        self.apps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, topic: &str, payload: &Value) {
        let Some(name) = payload.pointer("/process/name").and_then(Value::as_str) else { return };
        if let Some(track) = self.lock().get_mut(name) {
            track.note(topic, payload);
        }
        self.news.notify_waiters();
    }
}

impl Track {
    fn note(&mut self, topic: &str, payload: &Value) {
        let number = |path: &str| payload.pointer(path).and_then(Value::as_u64);
        match (topic, payload.get("event").and_then(Value::as_str)) {
            ("process:event", Some("exit")) => {
                self.exits = self.exits.saturating_add(1);
                self.exit_code = payload.pointer("/process/exit_code").and_then(Value::as_i64);
                self.ready = None;
            }
            ("process:event", Some("start" | "online")) => {
                let restarts = number("/process/restart_time").unwrap_or_default();
                if restarts != self.restarts {
                    (self.restarts, self.ready) = (restarts, None);
                }
            }
            ("process:msg", _) if payload.get("raw").and_then(Value::as_str) == Some("ready") => {
                self.ready = Some(self.restarts);
            }
            ("log:err", _) => {
                self.output.push_str(payload.get("data").and_then(Value::as_str).unwrap_or_default());
                let excess = self.output.len().saturating_sub(OUTPUT);
                let cut = (excess..=self.output.len()).find(|cut| self.output.is_char_boundary(*cut));
                self.output.drain(..cut.unwrap_or_default());
            }
            _ => {}
        }
    }
}

async fn read(mut stream: UnixStream, heard: Arc<Heard>) {
    let mut decoder = Decoder::default();
    while let Ok(1..) = stream.read_buf(decoder.buffer()).await {
        loop {
            match decoder.frame() {
                Ok(Some(frame)) => {
                    if let [topic, payload] = frame.as_slice()
                        && let (Some(topic), Some(payload)) = (amp::read_text(topic), amp::read_json(payload))
                    {
                        heard.note(topic, &payload);
                    }
                }
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(event: &str, restarts: u64) -> Value {
        json!({ "event": event, "process": { "name": "web:1", "restart_time": restarts, "exit_code": 3 } })
    }

    #[test]
    fn a_process_is_ready_when_it_says_so_and_no_longer_when_it_has_ended() {
        let mut track = Track::default();
        let ready = json!({ "raw": "ready", "process": { "name": "web:1" } });
        track.note("process:event", &event("online", 0));
        assert_eq!(track.ready, None, "online is not ready");
        track.note("process:msg", &json!({ "raw": { "type": "ready" } }));
        assert_eq!(track.ready, None, "another message is not the message");
        track.note("process:msg", &ready);
        assert_eq!(track.ready, Some(0));
        track.note("process:event", &event("exit", 0));
        assert_eq!((track.ready, track.exits, track.exit_code), (None, 1, Some(3)));
        track.note("process:event", &event("online", 1));
        track.note("process:msg", &ready);
        assert_eq!(track.ready, Some(1), "the second process is another one");
    }

    #[test]
    fn of_what_an_app_writes_the_end_is_kept() {
        let mut track = Track::default();
        for _ in 0..3000 {
            track.note("log:err", &json!({ "data": "é" }));
        }
        assert_eq!(track.output.len(), OUTPUT);
    }

    #[tokio::test]
    async fn an_app_that_nobody_listens_for_is_not_kept() {
        let bus = Bus::new("/nowhere".into());
        bus.heard.note("process:event", &event("exit", 0));
        assert_eq!(bus.follow("web:1", 0).exits, 0);
        bus.heard.note("process:event", &event("exit", 0));
        bus.until("web:1", |track| track.exits == 1).await;
        bus.forget("web:1");
        assert_eq!(bus.follow("web:1", 0).exits, 0);
    }
}
