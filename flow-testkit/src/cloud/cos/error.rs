/// A refusal, by its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct CosError {
    pub(in super::super) code: String,
    pub(in super::super) message: String,
}

impl CosError {
    pub(in super::super) fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }

    /// The HTTP status that comes with the code.
    pub(super) fn status(&self) -> u16 {
        match self.code.as_str() {
            "NotModified" => 304,
            "AccessDenied" | "InvalidAccessKeyId" | "RequestTimeTooSkewed" | "SignatureDoesNotMatch" => 403,
            "NoSuchBucket" | "NoSuchKey" | "NoSuchUpload" | "NoSuchVersion" => 404,
            "MethodNotAllowed" => 405,
            "BucketAlreadyOwnedByYou" | "BucketNotEmpty" | "FileAlreadyExists" => 409,
            "MissingContentLength" => 411,
            "PreconditionFailed" => 412,
            "InvalidRange" => 416,
            "InternalError" => 500,
            "ServiceUnavailable" | "SlowDown" => 503,
            _ => 400,
        }
    }
}
