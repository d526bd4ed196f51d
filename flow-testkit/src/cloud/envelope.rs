//! The API's envelope: every answer is a 200 with a request id, errors too.

use serde_json::{Map, Value, json};

use super::params::Params;
use super::request::Request;
use super::signature::{Moments, verify_tc3};
use super::spec::Service;
use super::world::{Cloud, World};
use super::{cdn, dnspod, query, scf};

/// The largest body of a signed request, and the largest query.
const LARGEST: (usize, usize) = (10 * 1024 * 1024, 32 * 1024);

/// What an action answers: the fields beside the request id.
pub(super) type Answer = Result<Value, ApiError>;

/// A refusal, by its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApiError {
    pub(super) code: String,
    pub(super) message: String,
}

impl ApiError {
    pub(super) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// What is called: by the request's own account.
pub(super) fn action_of(request: &Request) -> (String, String) {
    let scope = request.header("authorization").and_then(|header| header.split_once("Credential="));
    let service = scope.and_then(|(_, scope)| scope.split('/').nth(2)).unwrap_or_default();
    (service.to_owned(), request.header("x-tc-action").unwrap_or_default().to_owned())
}

/// Carries a call out.
pub(super) fn call(cloud: &Cloud, request: &Request) -> Answer {
    if request.body.len() > LARGEST.0 || request.query.len() > LARGEST.1 {
        let message =
            format!("the body has more than {} bytes or the query more than {}", LARGEST.0, LARGEST.1);
        return Err(ApiError::new("RequestSizeLimitExceeded", message));
    }
    let service = verify_tc3(request, &cloud.keys, Moments::of(&cloud.clock))?;
    let action = request.header("x-tc-action").unwrap_or_default();
    let spec = Service::find(&service, request.header("x-tc-version").unwrap_or_default())?;
    if service == "scf" && request.header("x-tc-region") != Some(cloud.region.as_str()) {
        let message = format!("the account has nothing in the region; it uses `{}`", cloud.region);
        return Err(ApiError::new("UnsupportedRegion", message));
    }
    let given = parameters(request, spec, action)?;
    spec.check(action, &given)?;
    let params = Params::new(&given);
    let answer = if service == "scf" && matches!(action, "Invoke" | "InvokeFunction") {
        scf::invoke(cloud, action, &params)
    } else {
        cloud.with(|world| dispatch(world, &service, action, &params))
    }?;
    match spec.odd_in_answer(action, &answer).as_slice() {
        [] => Ok(answer),
        // A mistake of this fake, which no test may take for the cloud.
        odd => {
            Err(ApiError::new("InternalError", format!("the answer is not as the API describes it: {odd:?}")))
        }
    }
}

fn dispatch(world: &mut World, service: &str, action: &str, params: &Params<'_>) -> Answer {
    match service {
        "scf" => scf::call(world, action, params),
        "cdn" => cdn::call(world, action, params),
        _ => dnspod::call(world, action, params),
    }
}

fn parameters(request: &Request, spec: &Service, action: &str) -> Result<Map<String, Value>, ApiError> {
    let kind = request.header("content-type").unwrap_or_default();
    let get = request.method == "GET";
    let wanted = if get { "application/x-www-form-urlencoded" } else { "application/json" };
    if !kind.trim_start().to_ascii_lowercase().starts_with(wanted) {
        return Err(ApiError::new("InvalidRequest", format!("the content type is `{kind}`, not `{wanted}`")));
    }
    if get {
        return Ok(query::parameters(spec, action, &request.parameters()));
    }
    match serde_json::from_slice(&request.body) {
        Ok(Value::Object(given)) => Ok(given),
        _ => Err(ApiError::new("InvalidParameter", "the body is not a JSON object")),
    }
}

/// The answer's body.
pub(super) fn body(answer: &Answer, id: &str) -> Vec<u8> {
    let mut inner = match answer {
        Ok(Value::Object(fields)) => fields.clone(),
        Ok(_) => Map::new(),
        Err(error) => {
            let told = json!({ "Code": error.code, "Message": error.message });
            Map::from_iter([("Error".to_owned(), told)])
        }
    };
    inner.insert("RequestId".to_owned(), Value::from(id));
    json!({ "Response": inner }).to_string().into_bytes()
}

/// What a call is about, for the log.
pub(super) fn subject(request: &Request) -> String {
    let given: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let named = ["FunctionName", "Domain", "TaskId"].iter().find_map(|name| given.get(name)?.as_str());
    let first = ["Urls", "Paths"].iter().find_map(|name| given.get(name)?.get(0)?.as_str());
    let told = named.or(first).map(str::to_owned);
    let asked = || {
        ["FunctionName", "Domain", "TaskId", "Urls.0", "Paths.0"]
            .iter()
            .find_map(|name| request.parameter(name))
    };
    told.or_else(asked).unwrap_or_default()
}
