//! The signature of object storage (cloud.tencent.com/document/product/436/7778).

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha1::{Digest, Sha1};

use super::super::cos::CosError;
use super::super::digests::hex;
use super::super::request::{Request, decoded};
use super::keys::{Keys, Moments, Refused, WINDOW, hmac_sha1};

/// All but the unreserved characters of RFC 3986.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Checks the signature in the header or in the query.
pub(in super::super) fn verify(request: &Request, keys: &Keys, moments: Moments) -> Result<(), CosError> {
    let sent = sent(request);
    let part = |name: &str| sent.get(name).map(String::as_str).unwrap_or_default();
    if part("q-sign-algorithm") != "sha1" {
        return Err(CosError::new("AccessDenied", "the request is not signed"));
    }
    let token = request.header("x-cos-security-token").map(str::to_owned);
    let token = token.or_else(|| request.parameter("x-cos-security-token"));
    let secret = keys.secret(part("q-ak"), token.as_deref()).map_err(|refused| match refused {
        Refused::Unknown => CosError::new("InvalidAccessKeyId", "the access key id is not known"),
        Refused::Token => {
            CosError::new("InvalidAccessKeyId", "the security token is not the one of this access key id")
        }
    })?;
    check_time(part("q-sign-time"), moments)?;
    check_time(part("q-key-time"), moments)?;
    let key = hex(&hmac_sha1(secret.as_bytes(), part("q-key-time").as_bytes()));
    let parameters = named(request.parameters().into_iter(), part("q-url-param-list"));
    let path = decoded(&request.path);
    let fits = request.signed_hosts().iter().any(|host| {
        let headers = request
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), if name == "host" { host.clone() } else { value.clone() }));
        let headers = named(headers, part("q-header-list"));
        let text = format!("{}\n{path}\n{parameters}\n{headers}\n", request.method.to_lowercase());
        let message = format!("sha1\n{}\n{}\n", part("q-sign-time"), hex(&Sha1::digest(text.as_bytes())));
        hex(&hmac_sha1(key.as_bytes(), message.as_bytes())) == part("q-signature")
    });
    if fits {
        Ok(())
    } else {
        Err(CosError::new("SignatureDoesNotMatch", "the signature is not that of the request"))
    }
}

/// The signature's parts, by their names.
fn sent(request: &Request) -> BTreeMap<String, String> {
    match request.header("authorization") {
        // Their values stand as they are; a space may follow the `&`.
        Some(header) => header
            .split('&')
            .filter_map(|part| part.trim().split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        None => request.parameters().into_iter().filter(|(name, _)| name.starts_with("q-")).collect(),
    }
}

fn check_time(span: &str, moments: Moments) -> Result<(), CosError> {
    let bounds = span
        .split_once(';')
        .and_then(|(start, end)| Some((start.parse::<i64>().ok()?, end.parse::<i64>().ok()?)));
    match bounds {
        None => Err(CosError::new("InvalidArgument", "the signature's time is not `start;end`")),
        Some((start, end)) if moments.any(|now| (start - WINDOW..=end).contains(&now)) => Ok(()),
        Some((start, _)) if !moments.any(|now| now >= start - WINDOW) => {
            Err(CosError::new("RequestTimeTooSkewed", "the signature's time has not come yet"))
        }
        Some(_) => Err(CosError::new("AccessDenied", "Request has expired")),
    }
}

/// Those of the list, as they are signed: sorted, names in lower case, names and values encoded.
fn named(all: impl Iterator<Item = (String, String)>, list: &str) -> String {
    let wanted: Vec<&str> = list.split(';').filter(|name| !name.is_empty()).collect();
    let mut signed: Vec<(String, String)> = all
        .map(|(name, value)| (encoded(&name).to_lowercase(), encoded(&value)))
        .filter(|(name, _)| wanted.contains(&name.as_str()))
        .collect();
    signed.sort();
    let pairs: Vec<String> = signed.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::super::request::tests::request;
    use super::*;

    fn vectors() -> Vec<Value> {
        let text = include_str!("../../../tests/vectors/cos.json");
        let all: Value = serde_json::from_str(text).unwrap();
        all["vectors"].as_array().unwrap().clone()
    }

    fn request_of(vector: &Value) -> (Request, Keys, Moments) {
        let text = |name: &str| vector[name].as_str().unwrap().to_owned();
        let (host, authorization) = (text("host"), text("expected_authorization"));
        let mut headers = vec![("host", host.as_str()), ("authorization", authorization.as_str())];
        headers.extend(
            vector["headers"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_str().unwrap())),
        );
        let url = text("url_on_the_wire");
        let target = url.strip_prefix(&format!("http://{host}")).unwrap();
        let now = vector["now"].as_i64().unwrap();
        let keys = Keys { id: text("secret_id"), secret: text("secret_key") };
        (request(&text("method"), target, &headers, b""), keys, Moments { machine: now, cloud: now })
    }

    #[test]
    fn requests_that_the_official_library_signed_are_verified() {
        let all = vectors();
        assert!(!all.is_empty());
        for vector in all {
            let (asked, keys, moments) = request_of(&vector);
            let verified = verify(&asked, &keys, moments);
            assert!(verified.is_ok(), "{}: {verified:?}", vector["name"]);
        }
    }

    #[test]
    fn a_changed_path_or_header_or_time_is_refused() {
        let (asked, keys, moments) = request_of(&vectors()[0]);
        let code = |asked: &Request, moments: Moments| verify(asked, &keys, moments).unwrap_err().code;
        let mut changed = asked.clone();
        changed.path = "/another".to_owned();
        assert_eq!(code(&changed, moments), "SignatureDoesNotMatch");
        let mut changed = asked.clone();
        changed.headers.insert("x-cos-acl".to_owned(), "public-read".to_owned());
        assert_eq!(code(&changed, moments), "SignatureDoesNotMatch");
        let late = Moments { machine: moments.machine + 20_000, cloud: moments.cloud + 20_000 };
        assert_eq!(code(&asked, late), "AccessDenied");
        let early = Moments { machine: moments.machine - 1000, cloud: moments.cloud - 1000 };
        assert_eq!(code(&asked, early), "RequestTimeTooSkewed");
        assert_eq!(code(&asked, Moments { cloud: late.cloud, ..early }), "AccessDenied");
        for either in
            [Moments { cloud: moments.cloud, ..early }, Moments { machine: moments.machine, ..late }]
        {
            assert!(verify(&asked, &keys, either).is_ok());
        }
        let mut changed = asked.clone();
        changed.headers.remove("authorization");
        assert_eq!(code(&changed, moments), "AccessDenied");
    }
}
