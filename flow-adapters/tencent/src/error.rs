use std::error::Error;
use std::fmt;

use flow_core::StepError;

use crate::Failure;

/// Texts of the other side are cut here.
const TEXT_MAX: usize = 2048;

/// Why a request to Tencent Cloud ended badly.
///
/// Everything that support asks for is in it: service, action, code and request id. Nothing of it is taken from a
/// credential or from what was sent; the service's own message is passed on as it came, and may repeat what it was told.
#[derive(Debug)]
pub struct ApiError(Box<Told>);

/// All that is known; most results are no errors and need not carry its size.
#[derive(Debug)]
struct Told {
    failure: Failure,
    service: String,
    action: String,
    code: Option<String>,
    message: String,
    request_id: Option<String>,
    status: Option<u16>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl ApiError {
    pub(crate) fn new(failure: Failure, service: &str, action: &str, message: impl Into<String>) -> Self {
        Self(Box::new(Told {
            failure,
            service: service.to_owned(),
            action: action.to_owned(),
            code: None,
            message: cut(message.into()),
            request_id: None,
            status: None,
            source: None,
        }))
    }

    pub(crate) fn code_is(mut self, code: impl Into<String>) -> Self {
        self.0.code = Some(cut(code.into())).filter(|code| !code.is_empty());
        self
    }

    pub(crate) fn answered(mut self, status: u16, request_id: Option<String>) -> Self {
        self.0.status = Some(status);
        self.0.request_id = request_id.map(cut).filter(|id| !id.is_empty());
        self
    }

    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The same where something was changed before: that nothing was left behind can no longer be said.
    pub(crate) fn after_effect(mut self) -> Self {
        if self.0.failure.kind().is_rejection() {
            self.0.failure = Failure::InDoubt;
        }
        self
    }

    /// What the failure means.
    #[must_use]
    pub const fn failure(&self) -> Failure {
        self.0.failure
    }

    /// The service, such as `scf` or `cos`.
    #[must_use]
    pub fn service(&self) -> &str {
        &self.0.service
    }

    /// The action, such as `UpdateAlias` or `PUT object`.
    #[must_use]
    pub fn action(&self) -> &str {
        &self.0.action
    }

    /// The service's code, where it gave one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.code.as_deref()
    }

    /// The service's text, or ours where there was no answer.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The id of the request in the service's own logs, where it was answered.
    #[must_use]
    pub fn request_id(&self) -> Option<&str> {
        self.0.request_id.as_deref()
    }

    /// The answer's HTTP status, where there was an answer. API errors have 200.
    #[must_use]
    pub const fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// Whether the request may have been carried out: read the state back before it is sent again.
    #[must_use]
    pub fn is_in_doubt(&self) -> bool {
        matches!(self.0.failure, Failure::InDoubt)
    }
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_MAX {
        let end = (0..=TEXT_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
        text.truncate(end);
    }
    text
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { failure, service, action, code, message, request_id, .. } = &*self.0;
        write!(f, "`{service} {action}`: {}: {message}", failure.says())?;
        if let Some(code) = code {
            write!(f, " (code: `{code}`)")?;
        }
        request_id.as_ref().map_or(Ok(()), |id| write!(f, " (request id: `{id}`)"))
    }
}

impl Error for ApiError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn Error + 'static))
    }
}

impl From<ApiError> for StepError {
    /// An error of the kind that the failure stands for, with the facts `service`, `action`, `code`, `request id`, `status` and
    /// `message`, as far as they are known.
    fn from(error: ApiError) -> Self {
        let error = *error.0;
        let mut step = Self::new(error.failure.kind(), error.failure.says())
            .fact("service", &error.service)
            .fact("action", &error.action);
        if let Some(code) = &error.code {
            step = step.fact("code", code);
        }
        if let Some(id) = &error.request_id {
            step = step.fact("request id", id);
        }
        if let Some(status) = error.status.filter(|status| *status != 200) {
            step = step.fact("status", status);
        }
        step = step.fact("message", &error.message);
        match error.source {
            Some(source) => step.because(source),
            None => step,
        }
    }
}

#[cfg(test)]
mod tests {
    use flow_core::ErrorKind;

    use super::*;

    #[test]
    fn a_step_error_has_all_that_support_asks_for() {
        let error = ApiError::new(Failure::Quota, "scf", "PublishVersion", "too many versions")
            .code_is("LimitExceeded.FunctionVersions")
            .answered(200, Some("id-1".into()));
        let expected = "`scf PublishVersion`: a limit of the account is reached: too many versions \
                        (code: `LimitExceeded.FunctionVersions`) (request id: `id-1`)";
        assert_eq!(error.to_string(), expected);
        let step = StepError::from(error);
        assert_eq!(step.kind(), ErrorKind::Conflict);
        let facts: Vec<_> = step.facts().collect();
        assert_eq!(
            facts,
            [
                ("service", "scf"),
                ("action", "PublishVersion"),
                ("code", "LimitExceeded.FunctionVersions"),
                ("request id", "id-1"),
                ("message", "too many versions"),
            ]
        );
    }

    #[test]
    fn a_long_text_of_the_other_side_is_cut_between_characters() {
        let error = ApiError::new(Failure::Invalid, "scf", "Invoke", "é".repeat(4000));
        assert_eq!(error.message().len(), TEXT_MAX);
        let error = ApiError::new(Failure::Invalid, "scf", "Invoke", format!("a{}", "é".repeat(4000)));
        assert_eq!(error.message().len(), TEXT_MAX - 1);
    }
}
