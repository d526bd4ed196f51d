//! Signatures as clients make them.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha1::Sha1;
use sha2::{Digest, Sha256};

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hmac256(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn hmac1(key: &str, text: &str) -> String {
    let mut mac = Hmac::<Sha1>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    hex(&mac.finalize().into_bytes())
}

/// The `Authorization` of a call of the API, for this host and content type.
pub(super) fn tc3(
    key: (&str, &str),
    service: &str,
    host: &str,
    kind: &str,
    second: i64,
    body: &[u8],
) -> String {
    authorization(key, service, second, &format!("POST\n/\n\ncontent-type:{kind}\nhost:{host}\n"), body)
}

/// The same of a call whose parameters are in the query.
pub(super) fn tc3_of_query(key: (&str, &str), service: &str, host: &str, second: i64, query: &str) -> String {
    let head = format!("GET\n/\n{query}\ncontent-type:application/x-www-form-urlencoded\nhost:{host}\n");
    authorization(key, service, second, &head, b"")
}

fn authorization((id, secret): (&str, &str), service: &str, second: i64, head: &str, body: &[u8]) -> String {
    let day = Timestamp::from_second(second).unwrap().strftime("%Y-%m-%d").to_string();
    let hash = |bytes: &[u8]| hex(&Sha256::digest(bytes));
    let request = format!("{head}\ncontent-type;host\n{}", hash(body));
    let scope = format!("{day}/{service}/tc3_request");
    let text = format!("TC3-HMAC-SHA256\n{second}\n{scope}\n{}", hash(request.as_bytes()));
    let key = hmac256(&hmac256(&hmac256(format!("TC3{secret}").as_bytes(), &day), service), "tc3_request");
    let signature = hex(&hmac256(&key, &text));
    format!("TC3-HMAC-SHA256 Credential={id}/{scope}, SignedHeaders=content-type;host, Signature={signature}")
}

/// The `Authorization` of a request to object storage that signs the host alone.
pub(super) fn cos((id, secret): (&str, &str), method: &str, path: &str, host: &str, second: i64) -> String {
    let span = format!("{};{}", second - 60, second + 600);
    let request = format!("{}\n{path}\n\nhost={}\n", method.to_lowercase(), host.replace(':', "%3A"));
    let text = format!("sha1\n{span}\n{}\n", hex(&Sha1::digest(request.as_bytes())));
    let signature = hmac1(&hmac1(secret, &span), &text);
    format!(
        "q-sign-algorithm=sha1&q-ak={id}&q-sign-time={span}&q-key-time={span}&q-header-list=host&q-url-param-list=\
         &q-signature={signature}"
    )
}
