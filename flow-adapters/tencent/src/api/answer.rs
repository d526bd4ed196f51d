use flow_core::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ending::skewed;
use crate::patience::Subject;
use crate::transport::Incoming;
use crate::{ApiError, Failure, Nature};

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Response")]
    response: Value,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(rename = "Code", default)]
    code: String,
    #[serde(rename = "Message", default)]
    message: String,
}

/// What is in `Response`, or why it is none. Errors come with status 200.
pub(crate) fn response(
    answer: &Incoming,
    subject: Subject<'_>,
    nature: Nature,
    now: Timestamp,
) -> Result<Value, ApiError> {
    let status = answer.status;
    let envelope = serde_json::from_slice::<Envelope>(&answer.body).ok().map(|envelope| envelope.response);
    let Some(response) = envelope.filter(Value::is_object) else {
        // A gateway's page, or an answer that was cut.
        let failure = if status == 200 { Failure::Transient } else { Failure::of_status(status) };
        let error =
            subject.error(failure.seen_by(nature), format!("status {status} with a body that is no answer"));
        return Err(error.answered(status, None));
    };
    let id = response.get("RequestId").and_then(Value::as_str).map(str::to_owned);
    let Some(refusal) = response.get("Error").filter(|error| !error.is_null()) else {
        if (200..300).contains(&status) {
            return Ok(response);
        }
        let error = subject.error(Failure::of_status(status).seen_by(nature), format!("status {status}"));
        return Err(error.answered(status, id));
    };
    let Ok(refusal) = Refusal::deserialize(refusal) else {
        let failure = Failure::Unexpected;
        return Err(subject.error(failure, "an error of a form that nobody documented").answered(status, id));
    };
    let failure = match &*refusal.code {
        // Of the API itself, by which nothing can be found; the object storage means an object's by it.
        "NoSuchVersion" => Failure::Invalid,
        code => Failure::of_code(code),
    };
    let error = match skewed(failure, answer, now) {
        Some(message) => subject.error(Failure::ClockSkew, format!("{message}: {}", refusal.message)),
        None => subject.error(failure.seen_by(nature), refusal.message),
    };
    Err(error.code_is(refusal.code).answered(status, id))
}

/// The answer to an action that was carried out.
pub(crate) fn carried_out<T: DeserializeOwned>(subject: Subject<'_>, answer: Value) -> Result<T, ApiError> {
    let id = answer.get("RequestId").and_then(Value::as_str).map(str::to_owned);
    serde_json::from_value(answer).map_err(|error| {
        let found = unquoted(&error.to_string());
        let message = format!("it was carried out, but its answer is not as documented: {found}");
        subject.error(Failure::Unexpected, message).answered(200, id)
    })
}

/// What is wrong with an answer, without the value: it may be a secret, such as a function's variables.
fn unquoted(error: &str) -> String {
    match error.rsplit_once("expected ") {
        Some((_, expected)) => format!("expected {expected}"),
        None if error.starts_with("missing field") => error.to_owned(),
        None => "it does not fit".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::header_map;

    const SUBJECT: Subject<'_> = Subject { service: "scf", action: "UpdateAlias" };

    fn answered(status: u16, date: &str, body: &'static str, nature: Nature) -> Result<Value, ApiError> {
        let headers = header_map([("date", date)]).unwrap();
        let answer = Incoming { status, headers, body: body.into() };
        response(&answer, SUBJECT, nature, "2026-11-30T12:00:00Z".parse().unwrap())
    }

    fn failed(status: u16, body: &'static str, nature: Nature) -> Failure {
        answered(status, "Mon, 30 Nov 2026 12:00:00 GMT", body, nature).unwrap_err().failure()
    }

    #[test]
    fn an_error_inside_of_status_200_is_an_error_with_code_and_request_id() {
        let body =
            r#"{"Response":{"Error":{"Code":"ResourceNotFound.Alias","Message":"no"},"RequestId":"r-1"}}"#;
        let error = answered(200, "", body, Nature::Writes).unwrap_err();
        assert_eq!(error.failure(), Failure::NotFound);
        assert_eq!((error.code(), error.message()), (Some("ResourceNotFound.Alias"), "no"));
        assert_eq!((error.request_id(), error.status()), (Some("r-1"), Some(200)));
    }

    #[test]
    fn an_answer_without_an_error_is_the_response() {
        let body = r#"{"Response":{"FunctionVersion":"3","RequestId":"r-1"}}"#;
        let response = answered(200, "", body, Nature::Reads).unwrap();
        assert_eq!(response["FunctionVersion"], "3");
        assert!(answered(200, "", r#"{"Response":{"Error":null}}"#, Nature::Reads).is_ok());
    }

    #[test]
    fn a_write_whose_answer_is_cut_or_a_gateways_is_in_doubt_and_a_read_is_not() {
        for (status, body) in [(200, r#"{"Response":{"Function"#), (200, ""), (502, "<html>"), (500, "{}")] {
            assert_eq!(failed(status, body, Nature::Writes), Failure::InDoubt, "{status} {body}");
            assert_eq!(failed(status, body, Nature::Reads), Failure::Transient, "{status} {body}");
        }
        let body = r#"{"Response":{"RequestId":"r"}}"#;
        assert_eq!(failed(502, body, Nature::Writes), Failure::InDoubt);
        assert_eq!(failed(302, body, Nature::Writes), Failure::Unexpected);
        assert_eq!(failed(429, "", Nature::Writes), Failure::Throttled);
        assert_eq!(failed(404, "", Nature::Writes), Failure::NotFound);
    }

    #[test]
    fn what_does_not_fit_in_an_answer_is_told_without_its_value() {
        let answer = |response: &str| serde_json::from_str::<Value>(response).unwrap();
        let error = carried_out::<u64>(SUBJECT, answer(r#""s3cret, expected s3cret""#)).unwrap_err();
        assert!(error.message().ends_with("documented: expected u64"), "{error}");
        assert!(!format!("{error:?}").contains("s3cret"));
    }

    #[test]
    fn an_error_that_nobody_documented_refuses_nothing() {
        for error in [r#""no""#, "{}", r#"{"Code":"NeverHeardOf"}"#, r#"{"Code":7}"#] {
            let body = format!(r#"{{"Response":{{"Error":{error},"RequestId":"r-1"}}}}"#);
            let answer = Incoming { status: 200, headers: header_map([]).unwrap(), body: body.into() };
            let error = response(&answer, SUBJECT, Nature::Writes, Timestamp::UNIX_EPOCH).unwrap_err();
            assert_eq!((error.failure(), error.request_id()), (Failure::Unexpected, Some("r-1")));
        }
    }

    #[test]
    fn an_error_inside_the_service_leaves_a_write_in_doubt() {
        let body = r#"{"Response":{"Error":{"Code":"InternalError","Message":"x"},"RequestId":"r"}}"#;
        assert_eq!(failed(200, body, Nature::Writes), Failure::InDoubt);
        assert_eq!(failed(200, body, Nature::Reads), Failure::Transient);
        let body = r#"{"Response":{"Error":{"Code":"RequestLimitExceeded","Message":"x"},"RequestId":"r"}}"#;
        assert_eq!(failed(200, body, Nature::Writes), Failure::Throttled);
    }

    #[test]
    fn a_refused_signature_is_told_by_the_clocks_where_they_differ() {
        let body = r#"{"Response":{"Error":{"Code":"AuthFailure.SignatureExpire","Message":"old"},"RequestId":"r"}}"#;
        let of = |date| answered(200, date, body, Nature::Reads).unwrap_err();
        let error = of("Mon, 30 Nov 2026 11:54:59 GMT");
        assert_eq!(error.failure(), Failure::ClockSkew);
        assert!(
            error.message().starts_with("this machine's clock is 301 s ahead of the service's"),
            "{error}"
        );
        let error = of("Mon, 30 Nov 2026 13:00:00 GMT");
        assert!(
            error.message().starts_with("this machine's clock is 3600 s behind the service's"),
            "{error}"
        );
        assert_eq!(of("Mon, 30 Nov 2026 11:55:00 GMT").failure(), Failure::Auth);
        assert_eq!(of("").failure(), Failure::Auth);
        let other = r#"{"Response":{"Error":{"Code":"ResourceNotFound","Message":"no"},"RequestId":"r"}}"#;
        let error = answered(200, "Mon, 30 Nov 2026 11:00:00 GMT", other, Nature::Reads).unwrap_err();
        assert_eq!(error.failure(), Failure::NotFound);
    }
}
