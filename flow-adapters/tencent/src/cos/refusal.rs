use flow_core::Timestamp;

use super::xml::error_in;
use crate::ending::skewed;
use crate::patience::Subject;
use crate::transport::{Incoming, header};
use crate::{ApiError, Failure, Nature};

/// The answer, unless it is a refusal: by its status, or by an error inside of status 200.
pub(super) fn accepted(
    answer: Incoming,
    subject: Subject<'_>,
    nature: Nature,
    now: Timestamp,
) -> Result<Incoming, ApiError> {
    let error = error_in(&answer.body);
    if (200..300).contains(&answer.status) && error.is_none() {
        return Ok(answer);
    }
    let error = error.unwrap_or_default();
    let failure = match Failure::of_code(&error.code) {
        // A code that is not known says less than its status.
        Failure::Unexpected if !(200..300).contains(&answer.status) => Failure::of_status(answer.status),
        // An error that was cut.
        Failure::Unexpected if error.code.is_empty() => Failure::Transient,
        failure => failure,
    };
    let id = if error.request_id.is_empty() {
        header(&answer.headers, "x-cos-request-id")
    } else {
        Some(&*error.request_id)
    };
    let told = if error.message.is_empty() { format!("status {}", answer.status) } else { error.message };
    let refused = match skewed(failure, &answer, now) {
        Some(message) => subject.error(Failure::ClockSkew, format!("{message}: {told}")),
        None => subject.error(failure.seen_by(nature), told),
    };
    Err(refused.code_is(error.code).answered(answer.status, id.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::header_map;

    fn refused(status: u16, body: &'static str, nature: Nature) -> ApiError {
        let headers =
            header_map([("x-cos-request-id", "h-1"), ("date", "Mon, 30 Nov 2026 12:10:00 GMT")]).unwrap();
        let answer = Incoming { status, headers, body: body.into() };
        let subject = Subject { service: "cos", action: "PUT object" };
        accepted(answer, subject, nature, "2026-11-30T12:00:00Z".parse().unwrap()).unwrap_err()
    }

    #[test]
    fn an_error_inside_of_status_200_is_an_error() {
        let body = "<Error><Code>InternalError</Code><Message>m</Message><RequestId>b-1</RequestId></Error>";
        let error = refused(200, body, Nature::Writes);
        assert_eq!((error.failure(), error.request_id()), (Failure::InDoubt, Some("b-1")));
        assert_eq!(refused(200, body, Nature::Reads).failure(), Failure::Transient);
    }

    #[test]
    fn an_error_that_was_cut_leaves_a_write_in_doubt() {
        assert_eq!(refused(200, "<Error><Code>Inter", Nature::Writes).failure(), Failure::InDoubt);
    }

    #[test]
    fn an_answer_without_a_body_is_told_by_its_status_and_its_request_id() {
        let error = refused(404, "", Nature::Reads);
        assert_eq!(
            (error.failure(), error.code(), error.request_id()),
            (Failure::NotFound, None, Some("h-1"))
        );
        assert_eq!(refused(503, "", Nature::Writes).failure(), Failure::InDoubt);
        assert_eq!(refused(412, "", Nature::Writes).failure(), Failure::Conflict);
        assert_eq!(refused(301, "", Nature::Reads).failure(), Failure::Unexpected);
    }

    #[test]
    fn a_code_goes_before_the_status_unless_nobody_knows_it() {
        let slow = "<Error><Code>SlowDown</Code></Error>";
        assert_eq!(refused(503, slow, Nature::Writes).failure(), Failure::Throttled);
        let unheard = "<Error><Code>Unheard</Code></Error>";
        assert_eq!(refused(409, unheard, Nature::Writes).failure(), Failure::Conflict);
        assert_eq!(refused(400, unheard, Nature::Writes).failure(), Failure::Invalid);
    }

    #[test]
    fn clocks_that_differ_are_told() {
        let body = "<Error><Code>RequestTimeTooSkewed</Code><Message>m</Message></Error>";
        let error = refused(403, body, Nature::Reads);
        assert_eq!(error.failure(), Failure::ClockSkew);
        assert!(error.message().starts_with("this machine's clock is 600 s behind the service's"), "{error}");
    }
}
