//! A run that was taken up again.

use std::fmt;

use crate::deployment::{Begun, Deployment};
use crate::durable::{Milestone, PerformError};
use crate::engine::running;
use crate::error::{Cause, ErrorKind};
use crate::journal::{RunOutcome, Standing};
use crate::machine::{Mode, State};
use crate::name::{Actor, Name};
use crate::report::Report;
use crate::stage::{Assets, Build, Functions, Migrate, Monitoring, Prepare, Services, StageName, Verify};
use crate::stopped::{Stopped, Undone};
use crate::workflow::Works;

/// A run that was taken up again: where it stands.
#[derive(Debug)]
pub enum Resumed {
    /// At stage 1.
    Prepare(Deployment<Prepare>, Works),
    /// At stage 2.
    Build(Deployment<Build>, Works),
    /// At stage 3.
    Migrate(Deployment<Migrate>, Works),
    /// At stage 4.
    Assets(Deployment<Assets>, Works),
    /// At stage 5.
    Services(Deployment<Services>, Works),
    /// At stage 6.
    Functions(Deployment<Functions>, Works),
    /// At stage 7.
    Monitoring(Deployment<Monitoring>, Works),
    /// At stage 8.
    Verify(Deployment<Verify>, Works),
    /// On its way back.
    RollingBack(RollingBack),
    /// It could not undo everything.
    Parked(ParkedRun),
    /// Over: everything is undone.
    RolledBack(Report),
    /// Over: all eight stages are done.
    Complete(Report),
    /// Over: somebody answers for what still stands.
    Closed(Report),
}

impl Resumed {
    pub(crate) async fn of(begun: Begun, state: &State, works: Works) -> Result<Self, PerformError> {
        let now = running(state)?;
        let durable = &*begun.durable;
        match now.mode {
            Mode::Undoing => return Ok(Self::RollingBack(RollingBack { begun })),
            Mode::Parked => {
                let standing = now.standing.clone();
                return Ok(Self::Parked(ParkedRun { begun, standing }));
            }
            Mode::Completed => return Ok(Self::Complete(begun.run.over(durable).await?)),
            Mode::RolledBack => return Ok(Self::RolledBack(begun.run.over(durable).await?)),
            Mode::Closed => return Ok(Self::Closed(begun.run.over(durable).await?)),
            Mode::Forward | Mode::Held => {}
        }
        Ok(match now.stage {
            Some(StageName::Prepare) => Self::Prepare(Deployment::at(begun), works),
            Some(StageName::Build) => Self::Build(Deployment::at(begun), works),
            Some(StageName::Migrate) => Self::Migrate(Deployment::at(begun), works),
            Some(StageName::Assets) => Self::Assets(Deployment::at(begun), works),
            Some(StageName::Services) => Self::Services(Deployment::at(begun), works),
            Some(StageName::Functions) => Self::Functions(Deployment::at(begun), works),
            Some(StageName::Monitoring) => Self::Monitoring(Deployment::at(begun), works),
            // Verified, but what was kept warm is not retired yet: running the last stage again does only that.
            Some(StageName::Verify) | None => Self::Verify(Deployment::at(begun), works),
        })
    }
}

/// A run on its way back.
#[derive(Clone)]
#[must_use = "the undo goes on only when it is finished"]
pub struct RollingBack {
    begun: Begun,
}

impl fmt::Debug for RollingBack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RollingBack").field("run", self.begun.durable.run()).finish_non_exhaustive()
    }
}

impl RollingBack {
    /// Goes on undoing to the end.
    ///
    /// # Errors
    /// [`PerformError`] when the engine had to hand over.
    pub async fn finish(self) -> Result<Undone, PerformError> {
        let cause = Cause::new(ErrorKind::Unknown, "the undo goes on");
        self.begun.run.turn_back(&*self.begun.durable, cause).await
    }
}

/// A parked run: resume it, answer for what stands, or close it.
#[must_use = "a parked run stays parked until somebody decides"]
pub struct ParkedRun {
    begun: Begun,
    standing: Vec<Standing>,
}

impl fmt::Debug for ParkedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParkedRun").field("standing", &self.standing).finish_non_exhaustive()
    }
}

impl ParkedRun {
    /// What still stands.
    #[must_use]
    pub fn standing(&self) -> &[Standing] {
        &self.standing
    }

    /// Answers for one thing that stands: it is in order, and this shows it.
    ///
    /// # Errors
    /// [`PerformError::Incompatible`] when nothing of that name stands.
    pub async fn resolve(
        &mut self,
        stage: StageName,
        step: &Name,
        by: Actor,
        evidence: &str,
    ) -> Result<(), PerformError> {
        let (step, evidence) = (step.clone(), evidence.to_owned());
        let resolved = Milestone::Resolved { stage, step: step.clone(), by, evidence };
        self.begun.durable.publish(resolved).await?;
        self.standing.retain(|standing| standing.stage != stage || standing.step != step);
        Ok(())
    }

    /// Tries again what could not be done: the rest of the undo, or of a verified run's end.
    ///
    /// # Errors
    /// [`Stopped`] says how the run ended, unless it completed.
    pub async fn resume(self, by: Actor) -> Result<Report, Stopped> {
        let durable = &*self.begun.durable;
        self.begun.record(Milestone::Resumed(by)).await.map_err(Stopped::HandedOver)?;
        self.begun.run.to_the_end(durable).await
    }

    /// Closes the run with whatever still stands.
    ///
    /// # Errors
    /// [`PerformError`] when it cannot be recorded.
    pub async fn close(self, by: Actor, reason: &str) -> Result<Report, PerformError> {
        let outcome = RunOutcome::Closed { by, reason: reason.to_owned() };
        self.begun.record(Milestone::Finished(outcome)).await?;
        self.begun.run.over(&*self.begun.durable).await
    }
}
