use flow_core::{Name, Permit, StepError};

use super::code::Kept;
use super::functions::ScfFunctions;
use crate::client::named;

impl ScfFunctions {
    /// Removes old versions: all but the newest [`kept_versions`](crate::ScfConfig::kept_versions) and those that an alias leads to or a
    /// trigger calls. Gives the numbers of those that are gone, the oldest first. Safe to repeat.
    ///
    /// Not a part of a release, whose way back may need them: call it when a release is finished for good.
    ///
    /// # Errors
    /// [`NotFound`](flow_core::ErrorKind::NotFound) without the function. After an error some may be gone, none of them in use.
    pub async fn prune(&self, permit: &Permit, function: &Name) -> Result<Vec<String>, StepError> {
        let (platform, function) = (self.platform.under(permit), named(function)?);
        Self::standing(&platform, function).await?;
        let rows = platform.versions(function).await?;
        let kept = usize::try_from(platform.config.kept_versions).unwrap_or(usize::MAX);
        let ready = platform.provisioned(function).await?;
        let triggers = platform.triggers(function).await?;
        let mut gone = Vec::new();
        for row in rows.iter().skip(kept).rev() {
            let tells = if gone.is_empty() { Kept::Nothing } else { Kept::Something };
            // Asked again each time: an alias may have been moved meanwhile. The platform refuses what one leads to, too.
            let aliases = platform.aliases(function).await.map_err(tells.tells())?;
            let called = triggers.iter().any(|trigger| trigger.bound_to() == row.version);
            if called || aliases.iter().any(|alias| alias.leads_to(&row.version)) {
                continue;
            }
            let stood_ready = ready.iter().any(|ready| ready.qualifier == row.version);
            if stood_ready {
                platform.withdraw(function, &row.version).await.map_err(tells.tells())?;
            }
            let tells = if stood_ready { Kept::Something } else { tells };
            platform.delete_version(function, &row.version).await.map_err(tells.tells())?;
            gone.push(row.version.clone());
        }
        Ok(gone)
    }
}
