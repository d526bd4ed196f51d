use flow_core::ErrorKind;

/// How the codes begin that refuse a request as it is.
const REFUSED: &[&str] = &[
    "Entity",
    "FailedOperation",
    "Incomplete",
    "Invalid",
    "Malformed",
    "MethodNotAllowed",
    "Missing",
    "NoSuchProduct",
    "NotImplemented",
    "OperationDenied",
    "RequestSizeLimitExceeded",
    "Unknown",
    "Unsupported",
];

/// What a failed request means for whoever sent it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The service asked for patience; nothing was carried out. Tried again here until the tries or the time ran out.
    Throttled,
    /// The service says that the subject is in a state that allows no change now. The same codes also mean a real failure: the subject's
    /// status decides, never the code alone. Nothing was carried out.
    Busy,
    /// Nobody was reached, or the service could not answer now. A request that changes nothing was tried again here until the tries or
    /// the time ran out; one that changes something was never carried out.
    Transient,
    /// A request that changes something went out, and whether it was carried out is not known: no answer, a broken one, or a failure
    /// inside the service. It was **not** sent again: read the state back first.
    InDoubt,
    /// The key is unknown, refused, expired, or lacks a right.
    Auth,
    /// This machine's clock and the service's are more than 300 seconds apart: no signature is accepted.
    ClockSkew,
    /// What the request names does not exist.
    NotFound,
    /// A limit of the account or a quota is used up.
    Quota,
    /// Something else stands where the request would put its own.
    Conflict,
    /// The request is refused as it is: sending it again changes nothing.
    Invalid,
    /// What was received is not what was sent or stored: length, MD5 or CRC differ.
    Damaged,
    /// The service answered what its documentation does not know.
    Unexpected,
    /// The call was cancelled. A request that was under way may have been carried out.
    Cancelled,
}

impl Failure {
    /// What the code of an answer means.
    ///
    /// Codes have parts, `FailedOperation.FunctionStatusError`; where a whole code is not known its first part decides. One that nobody
    /// knows is [`Unexpected`](Self::Unexpected), which refuses nothing.
    #[must_use]
    pub fn of_code(code: &str) -> Self {
        let family = code.split('.').next().unwrap_or_default();
        Self::of_whole_code(code).unwrap_or_else(|| Self::of_family(family))
    }

    fn of_whole_code(code: &str) -> Option<Self> {
        Some(match code {
            "LimitExceeded.RateLimitExceeded" | "UnauthorizedOperation.OperationTooOften" => Self::Throttled,
            "FailedOperation.UpdateFunctionCode"
            | "FailedOperation.UpdateFunctionConfiguration"
            | "FailedOperation.PublishVersion"
            | "FailedOperation.FunctionStatusError"
            | "FailedOperation.FunctionNameStatusError"
            | "FailedOperation.OperationConflict"
            | "FailedOperation.ProvisionedInProgress"
            | "FailedOperation.FunctionVersionStatusNotActive"
            | "ResourceInUse.CdnOpInProgress" => Self::Busy,
            "InvalidParameterValue.DomainNotExists" => Self::NotFound,
            "FailedOperation.NotDomainOwner" => Self::Auth,
            // The CDN means the domain's state by it, not its own.
            _ if code.starts_with("ResourceUnavailable.Cdn") => Self::Invalid,
            _ => return None,
        })
    }

    /// By the first part of an API code, or by a code of the object storage, which has one part only.
    fn of_family(family: &str) -> Self {
        match family {
            "RequestLimitExceeded" | "SlowDown" | "TooManyRequests" => Self::Throttled,
            "InternalError" | "ServiceUnavailable" | "ResourceUnavailable" | "RequestTimeout" => {
                Self::Transient
            }
            "AuthFailure"
            | "UnauthorizedOperation"
            | "AccessDenied"
            | "InvalidAccessKeyId"
            | "SignatureDoesNotMatch"
            | "ExpiredToken"
            | "InvalidToken" => Self::Auth,
            "RequestTimeTooSkewed" => Self::ClockSkew,
            "ResourceNotFound" | "NoSuchKey" | "NoSuchBucket" | "NoSuchUpload" | "NoSuchVersion" => {
                Self::NotFound
            }
            "LimitExceeded" | "ResourceInsufficient" | "TooManyBuckets" => Self::Quota,
            "ResourceInUse"
            | "FileAlreadyExists"
            | "BucketAlreadyOwnedByYou"
            | "BucketAlreadyExists"
            | "PreconditionFailed"
            | "PathConflict" => Self::Conflict,
            "BadDigest" => Self::Damaged,
            _ if REFUSED.iter().any(|begin| family.starts_with(begin)) => Self::Invalid,
            _ => Self::Unexpected,
        }
    }

    /// What an answer means that has a status and no code.
    pub(crate) const fn of_status(status: u16) -> Self {
        match status {
            429 => Self::Throttled,
            401 | 403 => Self::Auth,
            404 => Self::NotFound,
            409 | 412 => Self::Conflict,
            408 | 500.. => Self::Transient,
            400..=499 => Self::Invalid,
            _ => Self::Unexpected,
        }
    }

    /// What the engine may conclude.
    pub(crate) const fn kind(self) -> ErrorKind {
        match self {
            Self::Throttled => ErrorKind::Throttled,
            Self::Busy | Self::Transient => ErrorKind::Unavailable,
            Self::InDoubt => ErrorKind::TimedOut,
            Self::Auth | Self::ClockSkew => ErrorKind::Denied,
            Self::NotFound => ErrorKind::NotFound,
            Self::Quota | Self::Conflict => ErrorKind::Conflict,
            Self::Invalid => ErrorKind::Invalid,
            Self::Damaged | Self::Unexpected => ErrorKind::Unknown,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    pub(crate) const fn says(self) -> &'static str {
        match self {
            Self::Throttled => "the service asked for patience too often",
            Self::Busy => "the subject allows no change now",
            Self::Transient => "the service could not answer",
            Self::InDoubt => "the request went out and its end is not known",
            Self::Auth => "the service refused the key",
            Self::ClockSkew => "this machine's clock differs too much from the service's",
            Self::NotFound => "what the request names does not exist",
            Self::Quota => "a limit of the account is reached",
            Self::Conflict => "something else stands there",
            Self::Invalid => "the service refused the request",
            Self::Damaged => "the content is not what was sent",
            Self::Unexpected => "the answer is not understood",
            Self::Cancelled => "the call was cancelled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_sorted_by_the_whole_code_and_then_by_their_first_part() {
        for (code, failure) in [
            ("RequestLimitExceeded", Failure::Throttled),
            ("RequestLimitExceeded.UinLimitExceeded", Failure::Throttled),
            ("LimitExceeded.RateLimitExceeded", Failure::Throttled),
            ("LimitExceeded.FunctionVersions", Failure::Quota),
            ("UnauthorizedOperation.OperationTooOften", Failure::Throttled),
            ("UnauthorizedOperation.CAM", Failure::Auth),
            ("AuthFailure.SignatureFailure", Failure::Auth),
            ("FailedOperation.FunctionStatusError", Failure::Busy),
            ("FailedOperation.UpdateAlias", Failure::Invalid),
            ("ResourceInUse.CdnOpInProgress", Failure::Busy),
            ("ResourceInUse", Failure::Conflict),
            ("ResourceNotFound.FunctionName", Failure::NotFound),
            ("ResourceNotFound.Function", Failure::NotFound),
            ("InternalError.System", Failure::Transient),
            ("ResourceUnavailable", Failure::Transient),
            ("ResourceUnavailable.Namespace", Failure::Transient),
            ("ResourceUnavailable.CdnHostIsNotOffline", Failure::Invalid),
            ("RequestSizeLimitExceeded", Failure::Invalid),
            ("SlowDown", Failure::Throttled),
            ("RequestTimeTooSkewed", Failure::ClockSkew),
            ("BadDigest", Failure::Damaged),
            ("InvalidParameterValue.ZipFile", Failure::Invalid),
            ("UnsupportedOperation.AliasBind", Failure::Invalid),
            ("MissingParameter", Failure::Invalid),
            ("EntityTooSmall", Failure::Invalid),
            ("MalformedXML", Failure::Invalid),
            ("NeverHeardOf", Failure::Unexpected),
            ("", Failure::Unexpected),
        ] {
            assert_eq!(Failure::of_code(code), failure, "{code}");
        }
    }

    #[test]
    fn only_what_leaves_the_end_open_is_no_rejection() {
        for failure in [Failure::InDoubt, Failure::Damaged, Failure::Unexpected, Failure::Cancelled] {
            assert!(!failure.kind().is_rejection(), "{failure:?}");
        }
        for failure in [Failure::Throttled, Failure::Busy, Failure::Transient, Failure::Auth, Failure::Quota]
        {
            assert!(failure.kind().is_rejection(), "{failure:?}");
        }
    }

    #[test]
    fn a_status_without_a_code_is_sorted_too() {
        assert_eq!(Failure::of_status(502), Failure::Transient);
        assert_eq!(Failure::of_status(404), Failure::NotFound);
        assert_eq!(Failure::of_status(302), Failure::Unexpected);
    }
}
