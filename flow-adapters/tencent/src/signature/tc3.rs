//! TC3-HMAC-SHA256, the signature of API 3.0.
//!
//! Protocol: <https://www.tencentcloud.com/document/product/213/31576>. Signed are the method, the query, `content-type`, `host`
//! and the body; everything else (`X-TC-Action`, `X-TC-Token`, ..) is not.

use flow_core::Timestamp;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::{Authorization, hex};
use crate::Credential;

const ALGORITHM: &str = "TC3-HMAC-SHA256";
const SIGNED_HEADERS: &str = "content-type;host";

/// What of a request is signed.
#[derive(Debug, Clone, Copy)]
pub struct Request<'a> {
    /// `POST` or `GET`.
    pub method: &'a str,
    /// The query as it stands in the request line, without the question mark.
    pub query: &'a str,
    /// The `Host` header as it is sent.
    pub host: &'a str,
    /// The `Content-Type` header as it is sent.
    pub content_type: &'a str,
    /// The service, such as `scf`.
    pub service: &'a str,
    /// The body.
    pub payload: Payload<'a>,
}

/// The body of a request, as far as it is signed.
#[derive(Debug, Clone, Copy)]
pub enum Payload<'a> {
    /// These bytes are signed.
    Signed(&'a [u8]),
    /// The body is not signed; the request says so with `X-TC-Content-SHA256: UNSIGNED-PAYLOAD`.
    Unsigned,
}

impl Payload<'_> {
    fn sha256(self) -> String {
        match self {
            Self::Signed(bytes) => sha256(bytes),
            Self::Unsigned => sha256(b"UNSIGNED-PAYLOAD"),
        }
    }
}

/// Signs `request` for the moment `at`, which must also be its `X-TC-Timestamp`. The service accepts it for 300 seconds around.
#[must_use]
pub fn sign(request: &Request<'_>, credential: &Credential, at: Timestamp) -> Authorization {
    let date = at.strftime("%Y-%m-%d").to_string();
    let scope = format!("{date}/{}/tc3_request", request.service);
    let Request { method, query, .. } = request;
    let content_type = request.content_type.trim().to_lowercase();
    let host = request.host.trim().to_lowercase();
    let payload = request.payload.sha256();
    let canonical = format!(
        "{method}\n/\n{query}\ncontent-type:{content_type}\nhost:{host}\n\n{SIGNED_HEADERS}\n{payload}"
    );
    let signed = format!("{ALGORITHM}\n{}\n{scope}\n{}", at.as_second(), sha256(canonical.as_bytes()));

    let secret = Zeroizing::new(format!("TC3{}", credential.key().expose()));
    let by_date = hmac(secret.as_bytes(), &date);
    let by_service = hmac(by_date.as_slice(), request.service);
    let key = hmac(by_service.as_slice(), "tc3_request");
    let signature = hex(hmac(key.as_slice(), &signed).as_slice());
    let id = credential.id();
    Authorization::new(format!(
        "{ALGORITHM} Credential={id}/{scope}, SignedHeaders={SIGNED_HEADERS}, Signature={signature}"
    ))
}

fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hmac(key: &[u8], message: &str) -> Zeroizing<[u8; 32]> {
    // A key of any length is accepted: the error belongs to other codes.
    let code = Hmac::<Sha256>::new_from_slice(key).map(|code| code.chain_update(message).finalize());
    Zeroizing::new(code.map(|code| code.into_bytes().into()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vectors {
        #[serde(alias = "tc3")]
        vectors: Vec<Vector>,
    }

    #[derive(Deserialize)]
    struct Vector {
        name: String,
        method: String,
        uri: String,
        query: String,
        host: String,
        content_type: String,
        service: String,
        timestamp: i64,
        secret_id: String,
        secret_key: String,
        payload_hex: String,
        unsigned_payload: bool,
        expected_authorization: String,
    }

    fn bytes(hex: &str) -> Vec<u8> {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
            .collect()
    }

    #[test]
    fn the_official_sdk_signs_the_same() {
        let files =
            [include_str!("../../tests/vectors/tc3.json"), include_str!("../../tests/vectors/computed.json")];
        let read = |text| serde_json::from_str::<Vectors>(text).unwrap().vectors;
        let vectors: Vec<_> = files.into_iter().flat_map(read).collect();
        assert_eq!(vectors.len(), 65);
        for vector in vectors {
            let payload = bytes(&vector.payload_hex);
            let request = Request {
                method: &vector.method,
                query: &vector.query,
                host: &vector.host,
                content_type: &vector.content_type,
                service: &vector.service,
                payload: if vector.unsigned_payload { Payload::Unsigned } else { Payload::Signed(&payload) },
            };
            assert_eq!(vector.uri, "/");
            let credential = Credential::new(vector.secret_id, vector.secret_key, None).unwrap();
            let signed = sign(&request, &credential, Timestamp::from_second(vector.timestamp).unwrap());
            assert_eq!(signed.as_str(), vector.expected_authorization, "{}", vector.name);
        }
    }

    /// The example of the protocol's own page.
    #[test]
    fn the_documented_example_is_signed_as_documented() {
        let request = Request {
            method: "POST",
            query: "",
            host: "cvm.tencentcloudapi.com",
            content_type: "application/json; charset=utf-8",
            service: "cvm",
            payload: Payload::Signed(
                br#"{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}"#,
            ),
        };
        let credential =
            Credential::new("AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", None)
                .unwrap();
        let signed = sign(&request, &credential, Timestamp::from_second(1_551_113_065).unwrap());
        let expected = "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168";
        assert!(signed.as_str().ends_with(expected), "{}", signed.as_str());
    }

    #[test]
    fn host_and_content_type_are_signed_in_lower_case() {
        let credential = Credential::new("id", "key", None).unwrap();
        let of = |host, content_type| {
            let payload = Payload::Signed(b"{}");
            let request = Request { method: "POST", query: "", host, content_type, service: "scf", payload };
            sign(&request, &credential, Timestamp::UNIX_EPOCH)
        };
        assert_eq!(
            of("scf.example", "application/json; charset=utf-8"),
            of("SCF.example", " Application/JSON; charset=UTF-8")
        );
        assert_ne!(of("scf.example", "application/json"), of("cdn.example", "application/json"));
    }

    #[test]
    fn a_signature_is_not_shown() {
        assert_eq!(format!("{:?}", Authorization::new("Signature=abc".into())), "Authorization(***)");
    }
}
