use std::net::IpAddr;

use flow_core::Problems;
use reqwest::Url;

/// Where a service listens: scheme, host and port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint(Url);

impl Endpoint {
    /// Reads `https://host` or `http://loopback:port`.
    pub(crate) fn parse(text: &str, problems: &mut Problems) -> Option<Self> {
        let Ok(url) = Url::parse(text) else {
            problems.add("endpoint", "must be a URL such as `https://scf.tencentcloudapi.com`");
            return None;
        };
        let before = problems.as_slice().len();
        let secure = url.scheme() == "https";
        problems.check(
            secure || url.scheme() == "http",
            "endpoint",
            "must begin with `https://` or `http://`",
        );
        problems.check(url.has_host(), "endpoint", "must name a host");
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        problems.check(bare, "endpoint", "must have neither a path nor a query");
        let nobody = url.username().is_empty() && url.password().is_none();
        problems.check(nobody, "endpoint", "must not name a user");
        problems.check(secure || is_loopback(&url), "endpoint", "must be `https://` outside this machine");
        (problems.as_slice().len() == before).then_some(Self(url))
    }

    /// The URL of a path and query, both encoded.
    pub(crate) fn at(&self, path_and_query: &str) -> Option<Url> {
        self.0.join(path_and_query).ok().filter(|url| url.origin() == self.0.origin())
    }

    /// Whether the connection is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The value of the `Host` header: the port is a part of it where it is not the scheme's own.
    pub(crate) fn host(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        self.0.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Endpoint, Problems> {
        let mut problems = Problems::default();
        let endpoint = Endpoint::parse(text, &mut problems);
        problems.into_result()?;
        Ok(endpoint.unwrap())
    }

    #[test]
    fn a_host_has_its_port_only_where_it_is_not_the_schemes_own() {
        assert_eq!(parsed("https://scf.tencentcloudapi.com").unwrap().host(), "scf.tencentcloudapi.com");
        assert_eq!(parsed("https://scf.tencentcloudapi.com:443/").unwrap().host(), "scf.tencentcloudapi.com");
        assert_eq!(parsed("http://127.0.0.1:7001").unwrap().host(), "127.0.0.1:7001");
        assert_eq!(parsed("http://[::1]:7001").unwrap().host(), "[::1]:7001");
        assert!(!parsed("http://localhost:7001").unwrap().is_secure());
    }

    #[test]
    fn plain_http_stays_on_this_machine() {
        for text in ["http://scf.tencentcloudapi.com", "http://10.0.0.1", "http://127.0.0.1.example.com"] {
            assert_eq!(
                parsed(text).unwrap_err().to_string(),
                "`endpoint`: must be `https://` outside this machine",
                "{text}"
            );
        }
    }

    #[test]
    fn an_endpoint_is_no_more_than_a_host() {
        for text in
            ["", "scf.tencentcloudapi.com", "https://a/b", "https://a/?b", "https://u:p@a", "ftp://127.0.0.1"]
        {
            assert!(parsed(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_path_never_leads_to_another_host() {
        let endpoint = parsed("https://a.example").unwrap();
        assert_eq!(endpoint.at("/x%20y?z=1").unwrap().as_str(), "https://a.example/x%20y?z=1");
        assert_eq!(endpoint.at("//b.example/x"), None);
    }
}
