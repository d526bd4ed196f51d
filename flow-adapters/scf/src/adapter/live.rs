//! Which version callers reach.

use flow_core::{ErrorKind, StepError};

use super::functions::{ScfFunctions, no_version};
use crate::client::{LATEST, Platform, Shares, number};

impl ScfFunctions {
    /// Leads all callers to `version`: instances stand ready before, if they are to, and those of others go after.
    pub(super) async fn lead_to(platform: &Platform, function: &str, version: &str) -> Result<(), StepError> {
        Self::standing(platform, function).await?;
        check_callable(platform, function, version).await?;
        if let Some(wanted) = platform.config.provisioned {
            platform.provide(function, version, wanted).await?;
        }
        let kept = platform.config.provisioned.is_some();
        let open = |error: StepError| if kept { error.after_effect() } else { error };
        platform
            .put_alias(function, &platform.config.alias, &Shares::all_to(version), None)
            .await
            .map_err(open)?;
        if kept {
            Self::withdraw_others(platform, function).await.map_err(StepError::after_effect)?;
        }
        Ok(())
    }

    /// Lets no instances stand ready of versions that no alias leads to.
    async fn withdraw_others(platform: &Platform, function: &str) -> Result<(), StepError> {
        let aliases = platform.aliases(function).await?;
        for ready in platform.provisioned(function).await? {
            if !aliases.iter().any(|alias| alias.leads_to(&ready.qualifier)) {
                platform.withdraw(function, &ready.qualifier).await?;
            }
        }
        Ok(())
    }

    /// Lets no version be live: without its alias nobody reaches the function. Where a trigger is bound to the alias it stays, and leads to
    /// what is not published, as it did before.
    pub(super) async fn lead_nowhere(platform: &Platform, function: &str) -> Result<(), StepError> {
        let alias = &platform.config.alias;
        if platform.triggers(function).await?.iter().any(|row| row.bound_to() == alias) {
            return platform.put_alias(function, alias, &Shares::all_to(LATEST), None).await;
        }
        platform.clear_alias(function, alias).await
    }
}

/// Finds out whether a version can take callers.
///
/// # Errors
/// [`ErrorKind::NotFound`] where it does not exist, [`ErrorKind::Conflict`] where its publication has not succeeded.
pub(super) async fn check_callable(
    platform: &Platform,
    function: &str,
    version: &str,
) -> Result<(), StepError> {
    // Under any other name the platform would take an alias, or what is not published.
    let found = match number(version) {
        Some(_) => platform.function(function, Some(version)).await?,
        None => None,
    };
    let found = found.ok_or_else(|| no_version(function, version))?;
    if found.is_active() {
        return Ok(());
    }
    Err(StepError::new(ErrorKind::Conflict, "the version cannot be called")
        .fact("function", function)
        .fact("version", version)
        .fact("status", found.status))
}
