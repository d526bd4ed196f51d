//! Captured state on its way into the journal and back: its sealed part goes to the vault.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ErrorKind, StepError};
use crate::journal::Recorded;
use crate::permit::Permit;
use crate::port::{Sealed, Vault};
use crate::rollback::Captured;

/// The journal's form of captured state.
#[derive(Serialize, Deserialize)]
struct Kept {
    open: Value,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealed: Option<Sealed>,
}

/// Puts the sealed part into the vault, durably, and the rest into what is recorded.
pub(super) async fn seal(
    vault: Option<&Arc<dyn Vault>>,
    permit: &Permit,
    captured: Captured,
) -> Result<Recorded, StepError> {
    let sealed = match captured.sealed {
        None => None,
        Some(state) => {
            let vault = vault.ok_or_else(no_vault)?;
            Some(vault.seal(permit, state.to_string().as_bytes()).await?)
        }
    };
    let kept = serde_json::to_value(Kept { open: captured.open, sealed });
    kept.map(Recorded)
        .map_err(|error| StepError::new(ErrorKind::Invalid, "the capture has no JSON form").because(error))
}

/// Reads captured state back.
pub(super) async fn unseal(
    vault: Option<&Arc<dyn Vault>>,
    recorded: &Recorded,
) -> Result<Captured, StepError> {
    let unreadable = |error| StepError::new(ErrorKind::Conflict, "the capture cannot be read").because(error);
    let kept: Kept = serde_json::from_value(recorded.0.clone()).map_err(unreadable)?;
    let sealed = match kept.sealed {
        None => None,
        Some(reference) => {
            let content = vault.ok_or_else(no_vault)?.open(&reference).await?;
            Some(serde_json::from_slice(&content).map_err(unreadable)?)
        }
    };
    Ok(Captured { open: kept.open, sealed })
}

fn no_vault() -> StepError {
    StepError::new(ErrorKind::Invalid, "the setting has no vault for sealed state")
}
