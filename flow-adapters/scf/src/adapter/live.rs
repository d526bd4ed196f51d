//! Which version callers reach.

use flow_core::{ErrorKind, StepError};

use super::functions::{ScfFunctions, no_version};
use crate::client::{LATEST, Platform, Shares, number};
use crate::names::is_alias_made_here;

impl ScfFunctions {
    /// Leads all callers to `version`: instances stand ready before, if they are to, and those of others go after.
    pub(super) async fn lead_to(platform: &Platform, function: &str, version: &str) -> Result<(), StepError> {
        Self::standing(platform, function).await?;
        check_callable(platform, function, version).await?;
        let Some(wanted) = platform.config.provisioned else {
            return Self::switch(platform, function, version).await;
        };
        platform.provide(function, version, wanted).await?;
        Self::switch(platform, function, version).await.map_err(StepError::after_effect)?;
        Self::withdraw_others(platform, function).await.map_err(StepError::after_effect)
    }

    /// Leads all callers back to `version`, at once: they wait neither for instances that stand ready nor for the quota of those.
    pub(super) async fn lead_back(
        platform: &Platform,
        function: &str,
        version: &str,
    ) -> Result<(), StepError> {
        check_callable(platform, function, version).await?;
        Self::switch(platform, function, version).await
    }

    async fn switch(platform: &Platform, function: &str, version: &str) -> Result<(), StepError> {
        platform.put_alias(function, &platform.config.alias, &Shares::all_to(version), None).await
    }

    /// What follows callers that were led back: instances of other versions go, which frees their quota, and those of the live one stand
    /// ready again.
    pub(super) async fn ready_again(
        platform: &Platform,
        function: &str,
        live: Option<&str>,
    ) -> Result<(), StepError> {
        let Some(wanted) = platform.config.provisioned else { return Ok(()) };
        Self::withdraw_others(platform, function).await?;
        match live {
            Some(live) => platform.provide(function, live, wanted).await,
            None => Ok(()),
        }
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

    /// Lets no version be live: without its alias nobody reaches the function. An alias that others made or that a trigger is bound to
    /// stays, and leads to what is not published, as it did before.
    pub(super) async fn lead_nowhere(platform: &Platform, function: &str) -> Result<(), StepError> {
        let name = &platform.config.alias;
        let Some(alias) = platform.alias(function, name).await? else { return Ok(()) };
        let bound = platform.triggers(function).await?.iter().any(|row| row.bound_to() == name);
        if bound || !is_alias_made_here(alias.description()) {
            return platform.put_alias(function, name, &Shares::all_to(LATEST), None).await;
        }
        platform.clear_alias(function, name).await
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
