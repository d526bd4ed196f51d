//! TC3-HMAC-SHA256, as the API's documentation describes it (cloud.tencent.com/document/api/583/33846).

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::super::digests::hex;
use super::super::envelope::ApiError;
use super::super::request::Request;
use super::keys::{Keys, Moments, Refused, WINDOW, hmac_sha256};

const ALGORITHM: &str = "TC3-HMAC-SHA256";

/// Gives the service that a request was signed for.
pub(in super::super) fn verify(request: &Request, keys: &Keys, moments: Moments) -> Result<String, ApiError> {
    let sent = request.header("authorization").and_then(Authorization::of);
    let Some(sent) = sent else {
        return Err(ApiError::new(
            "AuthFailure.InvalidAuthorization",
            "the Authorization header is not one of TC3-HMAC-SHA256",
        ));
    };
    let token = request.header("x-tc-token");
    let secret = keys.secret(sent.id, token).map_err(|refused| match refused {
        Refused::Unknown => ApiError::new("AuthFailure.SecretIdNotFound", "the SecretId is not found"),
        Refused::Token => {
            ApiError::new("AuthFailure.TokenFailure", "the token is not the one of this SecretId")
        }
    })?;
    let timestamp = request.header("x-tc-timestamp").unwrap_or_default();
    let Ok(second) = timestamp.parse::<i64>() else {
        return Err(ApiError::new("MissingParameter", "the request lacks a valid X-TC-Timestamp"));
    };
    if !moments.any(|now| (now - WINDOW..=now + WINDOW).contains(&second)) {
        let message = format!(
            "the signature of {second} is more than {WINDOW} s from the server's time {}",
            moments.cloud
        );
        return Err(ApiError::new("AuthFailure.SignatureExpire", message));
    }
    let day =
        Timestamp::from_second(second).map(|time| time.strftime("%Y-%m-%d").to_string()).unwrap_or_default();
    let signed: Vec<&str> = sent.headers.split(';').collect();
    if sent.date != day || !signed.contains(&"host") || !signed.contains(&"content-type") {
        return Err(ApiError::new(
            "AuthFailure.InvalidAuthorization",
            "the credential scope or the signed headers are wrong",
        ));
    }
    let fits = request.signed_hosts().iter().any(|host| {
        canonical(request, &signed, host)
            .is_some_and(|canonical| signature(secret, &sent, timestamp, &canonical) == sent.signature)
    });
    if !fits {
        return Err(ApiError::new(
            "AuthFailure.SignatureFailure",
            "the signature is not that of the request",
        ));
    }
    Ok(sent.service.to_owned())
}

struct Authorization<'a> {
    id: &'a str,
    date: &'a str,
    service: &'a str,
    headers: &'a str,
    signature: &'a str,
}

impl<'a> Authorization<'a> {
    fn of(header: &'a str) -> Option<Self> {
        let (mut credential, mut headers, mut signature) = (None, None, None);
        for part in header.strip_prefix(ALGORITHM)?.split(',') {
            match part.trim().split_once('=')? {
                ("Credential", value) => credential = Some(value),
                ("SignedHeaders", value) => headers = Some(value),
                ("Signature", value) => signature = Some(value),
                _ => return None,
            }
        }
        let scope: Vec<&str> = credential?.split('/').collect();
        let &[id, date, service, "tc3_request"] = scope.as_slice() else { return None };
        Some(Self { id, date, service, headers: headers?, signature: signature? })
    }
}

/// The request as it is signed; none if a signed header is absent.
fn canonical(request: &Request, signed: &[&str], host: &str) -> Option<String> {
    let mut headers = String::new();
    for name in signed {
        let value = if *name == "host" { host } else { request.header(name)? };
        headers.push_str(&format!("{name}:{}\n", value.trim().to_lowercase()));
    }
    let unsigned = request.header("x-tc-content-sha256") == Some("UNSIGNED-PAYLOAD");
    let payload = if unsigned { hash(b"UNSIGNED-PAYLOAD") } else { hash(&request.body) };
    let (method, query, names) = (&request.method, &request.query, signed.join(";"));
    Some(format!("{method}\n/\n{query}\n{headers}\n{names}\n{payload}"))
}

fn signature(secret: &str, sent: &Authorization<'_>, timestamp: &str, canonical: &str) -> String {
    let scope = format!("{}/{}/tc3_request", sent.date, sent.service);
    let message = format!("{ALGORITHM}\n{timestamp}\n{scope}\n{}", hash(canonical.as_bytes()));
    let day = hmac_sha256(format!("TC3{secret}").as_bytes(), sent.date.as_bytes());
    let service = hmac_sha256(&day, sent.service.as_bytes());
    let key = hmac_sha256(&service, b"tc3_request");
    hex(&hmac_sha256(&key, message.as_bytes()))
}

fn hash(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::super::request::tests::request;
    use super::*;

    fn vectors() -> Vec<Value> {
        let text = include_str!("../../../tests/vectors/tc3.json");
        let all: Value = serde_json::from_str(text).unwrap();
        all["vectors"].as_array().unwrap().clone()
    }

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    fn request_of(vector: &Value) -> (Request, Keys, Moments) {
        let text = |name: &str| vector[name].as_str().unwrap_or_default().to_owned();
        let second = vector["timestamp"].as_i64().unwrap();
        let timestamp = second.to_string();
        let (host, kind, action) = (text("host"), text("content_type"), text("action"));
        let authorization = text("expected_authorization");
        let mut headers = vec![
            ("host", host.as_str()),
            ("content-type", kind.as_str()),
            ("x-tc-action", action.as_str()),
            ("x-tc-timestamp", timestamp.as_str()),
            ("authorization", authorization.as_str()),
        ];
        if vector["unsigned_payload"] == true {
            headers.push(("x-tc-content-sha256", "UNSIGNED-PAYLOAD"));
        }
        let asked =
            request(&text("method"), &format!("/?{}", text("query")), &headers, &bytes(&text("payload_hex")));
        let keys = Keys { id: text("secret_id"), secret: text("secret_key") };
        (asked, keys, Moments { machine: second, cloud: second })
    }

    #[test]
    fn requests_that_the_official_library_signed_are_verified() {
        let all = vectors();
        assert!(!all.is_empty());
        for vector in all {
            let (asked, keys, moments) = request_of(&vector);
            let service = verify(&asked, &keys, moments);
            assert_eq!(
                service.as_deref().ok(),
                vector["service"].as_str(),
                "{}: {service:?}",
                vector["name"]
            );
        }
    }

    #[test]
    fn a_changed_body_or_header_or_time_is_refused() {
        let (asked, keys, moments) = request_of(&vectors()[0]);
        let code = |asked: &Request, moments: Moments| verify(asked, &keys, moments).unwrap_err().code;
        let mut changed = asked.clone();
        changed.body = vec![b'x'].into();
        assert_eq!(code(&changed, moments), "AuthFailure.SignatureFailure");
        let mut changed = asked.clone();
        changed.headers.insert("host".to_owned(), "cdn.tencentcloudapi.com".to_owned());
        assert_eq!(code(&changed, moments), "AuthFailure.SignatureFailure");
        let late = Moments { machine: moments.machine + 301, cloud: moments.cloud + 301 };
        assert_eq!(code(&asked, late), "AuthFailure.SignatureExpire");
        let early = Moments { machine: moments.machine - 301, cloud: moments.cloud - 301 };
        assert_eq!(code(&asked, early), "AuthFailure.SignatureExpire");
        let between = Moments { cloud: late.cloud, ..early };
        assert_eq!(code(&asked, between), "AuthFailure.SignatureExpire");
        for either in
            [Moments { cloud: moments.cloud, ..early }, Moments { machine: moments.machine, ..late }]
        {
            assert!(verify(&asked, &keys, either).is_ok());
        }
        let mut changed = asked.clone();
        changed.headers.remove("authorization");
        assert_eq!(code(&changed, moments), "AuthFailure.InvalidAuthorization");
    }

    #[test]
    fn the_parts_may_stand_without_a_space_between() {
        let (mut asked, keys, moments) = request_of(&vectors()[0]);
        let tight = asked.header("authorization").unwrap().replace(", ", ",");
        asked.headers.insert("authorization".to_owned(), tight);
        assert!(verify(&asked, &keys, moments).is_ok());
    }
}
