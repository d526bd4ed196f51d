use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;
use percent_encoding::percent_decode_str;

use super::digests::Digests;

/// A request as it arrived, its body read.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: String,
    /// Of the target, still encoded.
    pub(super) path: String,
    /// Of the target, still encoded; empty for none.
    pub(super) query: String,
    /// By names in lower case; of a repeated one the last.
    pub(super) headers: BTreeMap<String, String>,
    /// The host of an absolute-form target, as clients behind a proxy send it.
    pub(super) authority: Option<String>,
    pub(super) body: Bytes,
    digests: OnceLock<Digests>,
}

impl Request {
    /// A request without headers and body.
    pub(super) fn new(method: &str, path: &str, query: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            headers: BTreeMap::new(),
            authority: None,
            body: Bytes::new(),
            digests: OnceLock::new(),
        }
    }

    /// Those of the body, made once.
    pub(super) fn digests(&self) -> &Digests {
        self.digests.get_or_init(|| Digests::of(&self.body))
    }

    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    /// The host's name, without scheme and port.
    pub(super) fn host(&self) -> String {
        let named = self.header("host").or(self.authority.as_deref()).unwrap_or_default();
        without_port(without_scheme(named)).to_ascii_lowercase()
    }

    /// How clients may have signed the host: as sent, without the port, and without the scheme that one of them puts before it.
    pub(super) fn signed_hosts(&self) -> Vec<String> {
        let sent = self.header("host").into_iter().chain(self.authority.as_deref());
        let mut hosts: Vec<String> = Vec::new();
        for host in sent {
            let bare = without_scheme(host);
            for form in [host, bare, without_port(bare)] {
                let form = form.trim().to_ascii_lowercase();
                if !hosts.contains(&form) {
                    hosts.push(form);
                }
            }
        }
        hosts
    }

    /// The query's names and values, decoded, in their order.
    pub(super) fn parameters(&self) -> Vec<(String, String)> {
        let pairs = self.query.split('&').filter(|pair| !pair.is_empty());
        pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decoded(name), decoded(&value.replace('+', " ")))
            })
            .collect()
    }

    /// The value of a parameter of the query.
    pub(super) fn parameter(&self, name: &str) -> Option<String> {
        self.parameters()
            .into_iter()
            .find(|(each, _)| each.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }
}

fn without_scheme(host: &str) -> &str {
    host.strip_prefix("http://").or_else(|| host.strip_prefix("https://")).unwrap_or(host)
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.is_empty() && port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The text behind percent signs.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn request(
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Request {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut request = Request::new(method, path, query);
        request.headers =
            headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        request.body = Bytes::copy_from_slice(body);
        request
    }

    #[test]
    fn a_host_may_have_been_signed_without_its_port_or_the_scheme_before_it() {
        let odd = request("POST", "/", &[("host", "http://127.0.0.1:8080")], b"");
        assert_eq!(odd.signed_hosts(), ["http://127.0.0.1:8080", "127.0.0.1:8080", "127.0.0.1"]);
        assert_eq!(odd.host(), "127.0.0.1");
        let mut proxied = request("GET", "/", &[], b"");
        proxied.authority = Some("Shop-1250000000.cos.ap-beijing.myqcloud.com".to_owned());
        assert_eq!(proxied.host(), "shop-1250000000.cos.ap-beijing.myqcloud.com");
    }

    #[test]
    fn a_query_is_decoded() {
        let asked = request("GET", "/?prefix=a%2Fb&uploads&Marker=x+y%2B", &[], b"");
        assert_eq!(asked.parameter("prefix").as_deref(), Some("a/b"));
        assert_eq!(asked.parameter("uploads").as_deref(), Some(""));
        assert_eq!(asked.parameter("marker").as_deref(), Some("x y+"));
        assert_eq!(asked.parameter("delimiter"), None);
    }
}
