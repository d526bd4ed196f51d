use std::net::IpAddr;

use hyper::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, HeaderMap, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::{Method, StatusCode, Version};

pub(super) const X_FLOW_VERSION: HeaderName = HeaderName::from_static("x-flow-version");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Headers that belong to one connection and are not passed on (RFC 9110, section 7.6.1), and `Expect`, which hyper has
/// answered by then.
const OF_ONE_HOP: [HeaderName; 10] = [
    CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    EXPECT,
];

/// Turns a client's request into the one for the upstream.
///
/// What a client claims about forwarding is overwritten: the proxy is the first hop.
pub(super) fn for_upstream(parts: &mut Parts, peer: IpAddr) -> Result<(), StatusCode> {
    if parts.method == Method::CONNECT {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    check_framing(&parts.headers)?;
    let host = host(parts)?;
    let path = parts.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    parts.uri = Uri::from(path);
    parts.version = Version::HTTP_11;
    remove_hop_headers(&mut parts.headers);
    parts.headers.remove(FORWARDED);
    parts.headers.remove(X_FLOW_VERSION);
    let peer = HeaderValue::from_str(&peer.to_string()).map_err(|_| StatusCode::BAD_REQUEST)?;
    parts.headers.insert(X_FORWARDED_FOR, peer);
    parts.headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    parts.headers.insert(X_FORWARDED_HOST, host.clone());
    parts.headers.insert(HOST, host);
    Ok(())
}

/// Removes what belongs to one connection, `Connection` and what it names among it.
pub(super) fn remove_hop_headers(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        // Removing these would change where the message goes or where it ends.
        .filter(|name| ![HOST, CONTENT_LENGTH].contains(name))
        .collect();
    for name in named.iter().chain(&OF_ONE_HOP) {
        headers.remove(name);
    }
}

/// hyper reads a chunked body and refuses one whose end is unclear; a further coding is not passed on unharmed.
fn check_framing(headers: &HeaderMap) -> Result<(), StatusCode> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(only), None) if only.as_bytes().eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(StatusCode::NOT_IMPLEMENTED),
    }
}

/// The host that the request is for: the target's, where the target is absolute (RFC 9112, section 3.2.2).
fn host(parts: &Parts) -> Result<HeaderValue, StatusCode> {
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    if second.is_some() {
        return Err(StatusCode::BAD_REQUEST);
    }
    if let Some(authority) = parts.uri.authority() {
        return HeaderValue::from_str(authority.as_str()).map_err(|_| StatusCode::BAD_REQUEST);
    }
    match first {
        Some(host) => Ok(host.clone()),
        None if parts.version <= Version::HTTP_10 => Ok(HeaderValue::from_static("localhost")),
        None => Err(StatusCode::BAD_REQUEST),
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn sent(request: hyper::http::request::Builder) -> Result<Parts, StatusCode> {
        let mut parts = request.body(()).unwrap().into_parts().0;
        for_upstream(&mut parts, IpAddr::from([127, 0, 0, 1])).map(|()| parts)
    }

    #[test]
    fn headers_of_one_hop_go_and_the_others_stay() {
        let request = Request::get("/a?b=c")
            .header("host", "shop.example")
            .header("connection", "close, X-Mine, content-length, host")
            .header("x-mine", "1")
            .header("te", "trailers")
            .header("upgrade", "websocket")
            .header("keep-alive", "timeout=5")
            .header("proxy-authorization", "secret")
            .header("accept", "*/*")
            .header("content-length", "0")
            .header("forwarded", "for=1.2.3.4")
            .header("x-forwarded-for", "1.2.3.4");
        let parts = sent(request).unwrap();
        let mut names: Vec<_> = parts.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        let expected =
            ["accept", "content-length", "host", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
        assert_eq!(names, expected);
        assert_eq!(parts.headers["x-forwarded-for"], "127.0.0.1");
        assert_eq!(parts.headers["x-forwarded-host"], "shop.example");
        assert_eq!(parts.uri, "/a?b=c");
    }

    #[test]
    fn an_absolute_target_names_the_host() {
        let parts = sent(Request::get("http://a.example/x").header("host", "b.example")).unwrap();
        assert_eq!(
            (parts.uri.to_string().as_str(), &parts.headers[HOST]),
            ("/x", &"a.example".parse().unwrap())
        );
    }

    #[test]
    fn requests_whose_host_or_end_is_unclear_are_refused() {
        let twice = Request::get("/").header("host", "a").header("host", "b");
        assert_eq!(sent(twice).unwrap_err(), StatusCode::BAD_REQUEST);
        assert_eq!(sent(Request::get("/")).unwrap_err(), StatusCode::BAD_REQUEST);
        let coded = Request::post("/").header("host", "a").header("transfer-encoding", "gzip, chunked");
        assert_eq!(sent(coded).unwrap_err(), StatusCode::NOT_IMPLEMENTED);
        let tunnel = Request::builder().method("CONNECT").uri("a.example:443");
        assert_eq!(sent(tunnel).unwrap_err(), StatusCode::NOT_IMPLEMENTED);
    }
}
