use std::path::PathBuf;

use flow_core::prelude::*;
use flow_core::receipt::BuildFacts;
use flow_core::stage::{Activity, Build, BuildActivity};
use flow_core::{Artifact, Digest};

/// Takes an artefact that a build server left in a file, by the digest of its content.
#[derive(Debug)]
pub struct TakeArtifact {
    /// What services call it.
    pub name: Name,
    /// Where it stands.
    pub path: PathBuf,
}

#[async_trait]
impl Rollback<Build> for TakeArtifact {
    fn reversibility(&self) -> Reversibility {
        Reversibility::NothingToUndo
    }

    async fn capture(&self, _: &StepContext<Build>) -> Result<Captured, StepError> {
        Ok(Captured::nothing())
    }

    async fn roll_back(
        &self,
        _: &StepContext<Build>,
        _: &Permit,
        _: &Captured,
        _: &Outcome<Build>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

#[async_trait]
impl Step<Build> for TakeArtifact {
    fn name(&self) -> Name {
        name!("take-artifact")
    }

    fn covers(&self) -> Vec<BuildActivity> {
        BuildActivity::ALL.to_vec()
    }

    async fn preview(&self, _: &StepContext<Build>) -> Result<Preview, StepError> {
        Ok(Preview::new().deploys(self.digest()?))
    }

    async fn run(
        &self,
        _: &StepContext<Build>,
        _: &Permit,
        _: &Captured,
    ) -> Result<Receipt<Build>, StepError> {
        let artifact = Artifact { digest: self.digest()?, path: self.path.clone() };
        let seen = format!("`{}` has the digest {}", self.path.display(), artifact.digest);
        let facts = BuildFacts { artifacts: [(self.name.clone(), artifact)].into(), ..BuildFacts::default() };
        let evidence = |receipt: Receipt<Build>, activity| receipt.evidence(activity, seen.clone());
        Ok(self.covers().into_iter().fold(Receipt::new().facts(facts), evidence))
    }
}

impl TakeArtifact {
    fn digest(&self) -> Result<Digest, StepError> {
        let refused = |error| {
            StepError::new(ErrorKind::NotFound, "the artefact cannot be read")
                .fact("path", self.path.display())
                .because(error)
        };
        Ok(Digest::of(&std::fs::read(&self.path).map_err(refused)?))
    }
}
