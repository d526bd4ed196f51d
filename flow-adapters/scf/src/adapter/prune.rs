use flow_core::{Name, Permit, StepError};

use super::functions::ScfFunctions;
use crate::client::named;

impl ScfFunctions {
    /// Removes old versions: all but the newest [`kept_versions`](crate::ScfConfig::kept_versions) and those that an alias leads to. Gives
    /// the numbers of those that are gone, the oldest first. Safe to repeat.
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
        let mut gone = Vec::new();
        for row in rows.iter().skip(kept).rev() {
            // Asked again each time: an alias may have been moved meanwhile. The platform refuses what one leads to, too.
            if platform.aliases(function).await?.iter().any(|alias| alias.leads_to(&row.version)) {
                continue;
            }
            if ready.iter().any(|ready| ready.qualifier == row.version) {
                platform.withdraw(function, &row.version).await?;
            }
            platform.delete_version(function, &row.version).await?;
            gone.push(row.version.clone());
        }
        Ok(gone)
    }
}
