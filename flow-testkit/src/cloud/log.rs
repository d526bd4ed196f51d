use serde::Serialize;

/// One request that the cloud got, in the order of their ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Logged {
    /// The service: `scf`, `cdn`, `dnspod`, `cos`, `edge`, or what the request said.
    #[serde(rename = "s")]
    pub service: String,
    /// The action: the API's own name, and for COS the method and its object, like `PUT object`.
    #[serde(rename = "a")]
    pub action: String,
    /// `ok`, the error's code, `http STATUS` for a bare status, or `drop` for a request that was dropped before it was carried out.
    #[serde(rename = "r")]
    pub result: String,
    /// What it was about: a function, `bucket/key`, the first URL; empty for none.
    pub subject: String,
    /// The kind of the fault that struck it; empty for none.
    pub fault: String,
    /// The request id that was answered.
    pub id: String,
}
