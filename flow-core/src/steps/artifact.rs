use crate::context::StepContext;
use crate::error::{ErrorKind, StepError};
use crate::name::Name;
use crate::receipt::Artifact;
use crate::stage::{Before, Build, Stage};

/// The artefact that stage 2 built under `name`.
pub(super) fn built<S: Stage>(cx: &StepContext<S>, name: &Name) -> Result<Artifact, StepError>
where
    Build: Before<S>,
{
    let receipts = cx.receipts::<Build>()?;
    let mut found = receipts.values().filter_map(|receipt| receipt.facts.artifacts.get(name));
    let missing =
        || StepError::new(ErrorKind::NotFound, "stage 2 built no such artefact").fact("artifact", name);
    let artifact = found.next().ok_or_else(missing)?;
    if found.any(|other| other != artifact) {
        return Err(StepError::new(ErrorKind::Conflict, "stage 2 built two artefacts of one name")
            .fact("artifact", name));
    }
    Ok(artifact.clone())
}
