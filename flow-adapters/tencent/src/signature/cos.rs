//! `q-sign` with SHA-1, the signature of the object storage.
//!
//! Protocol: <https://www.tencentcloud.com/document/product/436/7778>. Signed are the method, the decoded path, the query and the
//! headers that are given; the body is not: only its `Content-MD5` header is.

use flow_core::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::{Digest as _, Sha1};

use super::{Authorization, encoded, hex};
use crate::Credential;

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// The method, such as `PUT`.
    pub method: &'a str,
    /// The path with its first slash, not encoded.
    pub path: &'a str,
    /// The query's names and values, not encoded.
    pub query: &'a [(&'a str, &'a str)],
    /// The headers that are signed, `host` among them.
    pub headers: &'a [(&'a str, &'a str)],
}

/// The time for which a signature is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Its first second.
    pub from: Timestamp,
    /// Its last second.
    pub until: Timestamp,
}

/// Signs `request` for the time of `validity`.
#[must_use]
pub fn sign(request: &Request<'_>, credential: &Credential, validity: Validity) -> Authorization {
    let time = format!("{};{}", validity.from.as_second(), validity.until.as_second());
    let (query_names, query) = canonical(request.query);
    let (header_names, headers) = canonical(request.headers);
    let method = request.method.to_lowercase();
    let format_string = format!("{method}\n{}\n{query}\n{headers}\n", request.path);
    let signed = format!("sha1\n{time}\n{}\n", hex(&Sha1::digest(format_string.as_bytes())));

    let key = zeroize::Zeroizing::new(hmac(credential.key().expose(), &time));
    let signature = hmac(&key, &signed);
    let id = credential.id();
    Authorization::new(format!(
        "q-sign-algorithm=sha1&q-ak={id}&q-sign-time={time}&q-key-time={time}&q-header-list={header_names}\
         &q-url-param-list={query_names}&q-signature={signature}"
    ))
}

/// The names alone, and the names with their values, both in the order of the encoded names.
fn canonical(pairs: &[(&str, &str)]) -> (String, String) {
    let mut pairs: Vec<_> =
        pairs.iter().map(|(name, value)| (encoded(name).to_lowercase(), encoded(value))).collect();
    pairs.sort();
    let names: Vec<_> = pairs.iter().map(|(name, _)| name.as_str()).collect();
    let both: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    (names.join(";"), both.join("&"))
}

fn hmac(key: &str, message: &str) -> String {
    // A key of any length is accepted: the error belongs to other codes.
    let code = Hmac::<Sha1>::new_from_slice(key.as_bytes());
    code.map(|code| hex(&code.chain_update(message).finalize().into_bytes())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::signature::{encoded_path, hex};

    #[derive(Deserialize)]
    struct Vectors {
        #[serde(alias = "cos")]
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        method: String,
        key: String,
        host: String,
        url_on_the_wire: String,
        params: BTreeMap<String, String>,
        headers: BTreeMap<String, String>,
        headers_signed_by_the_sdk: Vec<String>,
        now: i64,
        sign_time: String,
        secret_id: String,
        secret_key: String,
        expected_authorization: String,
    }

    #[test]
    fn the_official_sdk_signs_the_same_and_writes_the_same_path() {
        let files =
            [include_str!("../../tests/vectors/cos.json"), include_str!("../../tests/vectors/computed.json")];
        let read = |text| serde_json::from_str::<Vectors>(text).unwrap().vectors;
        let vectors: Vec<_> = files.into_iter().flat_map(read).collect();
        assert_eq!(vectors.len(), 75);
        for vector in vectors {
            let path = format!("/{}", vector.key);
            let query: Vec<_> = vector.params.iter().map(|(name, value)| (&**name, &**value)).collect();
            let mut headers: Vec<_> =
                vector.headers.iter().map(|(name, value)| (&**name, &**value)).collect();
            headers.push(("Host", &vector.host));
            assert_eq!(headers.len(), vector.headers_signed_by_the_sdk.len());
            let credential = Credential::new(vector.secret_id, vector.secret_key, None).unwrap();
            let validity = Validity {
                from: Timestamp::from_second(vector.now - 60).unwrap(),
                until: Timestamp::from_second(vector.now + 10_000).unwrap(),
            };
            assert_eq!(format!("{};{}", vector.now - 60, vector.now + 10_000), vector.sign_time);
            let request = Request { method: &vector.method, path: &path, query: &query, headers: &headers };
            let signed = sign(&request, &credential, validity);
            assert_eq!(signed.as_str(), vector.expected_authorization, "{}", vector.name);
            let wire = vector.url_on_the_wire.split('?').next().unwrap();
            assert_eq!(wire, format!("http://{}{}", vector.host, encoded_path(&path)), "{}", vector.name);
        }
    }

    #[test]
    fn the_order_in_which_headers_are_given_does_not_matter() {
        let credential = Credential::new("id", "key", None).unwrap();
        let at = Timestamp::from_second(1_700_000_000).unwrap();
        let of = |headers| {
            let request = Request { method: "GET", path: "/", query: &[], headers };
            sign(&request, &credential, Validity { from: at, until: at })
        };
        assert_eq!(of(&[("host", "a"), ("Range", "b")]), of(&[("range", "b"), ("host", "a")]));
        assert_ne!(of(&[("host", "a")]), of(&[("host", "b")]));
        assert_eq!(hex(&Sha1::digest(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
