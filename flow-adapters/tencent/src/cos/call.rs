use std::time::Duration;

use bytes::Bytes;
use reqwest::Method;

use super::key::ObjectKey;
use crate::Nature;
use crate::signature::{encoded, encoded_path};

/// Beside this, a body has a second for each 64 KiB.
const WITHIN: Duration = Duration::from_secs(60);

/// One request of the object storage before it is signed.
#[derive(Debug, Clone)]
pub(super) struct Call {
    pub(super) action: &'static str,
    pub(super) method: Method,
    pub(super) nature: Nature,
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, String)>,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
}

impl Call {
    /// A call about the bucket itself.
    pub(super) fn new(action: &'static str, method: Method, nature: Nature) -> Self {
        let (path, body) = ("/".to_owned(), Bytes::new());
        Self { action, method, nature, path, query: Vec::new(), headers: Vec::new(), body }
    }

    /// The same about an object.
    pub(super) fn on(self, key: &ObjectKey) -> Self {
        Self { path: format!("/{key}"), ..self }
    }

    pub(super) fn asking(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.query.push((name, value.into()));
        self
    }

    pub(super) fn saying(mut self, headers: impl IntoIterator<Item = (String, String)>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// With a body and its MD5.
    pub(super) fn sending(mut self, body: Bytes, md5: String) -> Self {
        self.headers.push(("content-md5".into(), md5));
        Self { body, ..self }
    }

    /// How long it may take.
    pub(super) fn within(&self) -> Duration {
        WITHIN + Duration::from_secs(self.body.len() as u64 / (64 << 10))
    }

    /// Path and query as they stand in the request line.
    pub(super) fn target(&self) -> String {
        let pairs: Vec<_> =
            self.query.iter().map(|(name, value)| format!("{name}={}", encoded(value))).collect();
        let mark = if pairs.is_empty() { "" } else { "?" };
        format!("{}{mark}{}", encoded_path(&self.path), pairs.join("&"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_encoded_once() {
        let key = ObjectKey::new("a b/c%20d?.txt").unwrap();
        let call = Call::new("PUT part", Method::PUT, Nature::Writes).on(&key);
        assert_eq!(call.target(), "/a%20b/c%2520d%3F.txt");
        let call = call.asking("partNumber", "1").asking("uploadId", "x/y=");
        assert_eq!(call.target(), "/a%20b/c%2520d%3F.txt?partNumber=1&uploadId=x%2Fy%3D");
        let bucket = Call::new("POST delete", Method::POST, Nature::Writes).asking("delete", "");
        assert_eq!(bucket.target(), "/?delete=");
    }
}
