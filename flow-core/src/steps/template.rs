use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::stage::Stage;

/// Fills `{application}`, `{environment}` and `{release}` in. Any other brace is refused: it is a mistake.
pub(super) fn fill<S: Stage>(template: &str, cx: &StepContext<S>) -> Result<String, StepError> {
    let refuse =
        |problem: &'static str| StepError::new(ErrorKind::Invalid, problem).fact("template", template);
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((text, after)) = rest.split_once('{') {
        let (place, tail) = after.split_once('}').ok_or_else(|| refuse("a brace is not closed"))?;
        filled.push_str(text);
        match place {
            "application" => filled.push_str(cx.application().as_str()),
            "environment" => filled.push_str(cx.environment().as_str()),
            "release" => filled.push_str(cx.release().as_str()),
            _ => {
                return Err(refuse("only `{application}`, `{environment}` and `{release}` are filled in"));
            }
        }
        rest = tail;
    }
    filled.push_str(rest);
    Ok(filled)
}
