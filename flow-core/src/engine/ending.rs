//! What becomes of a run that fails, is given up, or is taken up again.

use std::sync::Arc;

use crate::durable::{Durable, Milestone, PerformError};
use crate::engine::{Items, Run, RunEnd, cause_of, running};
use crate::error::{Cause, ErrorKind};
use crate::journal::Standing;
use crate::machine::Mode;
use crate::plan::OnFailure;
use crate::report::Report;
use crate::stage::StageName;
use crate::stopped::{Parked, Problem, StageError, Stopped, Undone};

/// What becomes of a run whose stage failed.
pub(crate) enum Ending {
    Held,
    RolledBack(Report),
    Parked(Parked),
}

impl Run {
    /// Whether `groups` are the planned work of `stage`, and no other of the same names.
    pub(crate) fn owns(&self, stage: StageName, groups: &Items) -> bool {
        let planned = self.stages.get(&stage).into_iter().flatten().flatten();
        let given: Vec<_> = groups.iter().flatten().collect();
        let mut count = 0;
        let all =
            planned.inspect(|_| count += 1).all(|item| given.iter().any(|other| Arc::ptr_eq(item, other)));
        all && count == given.len()
    }

    /// Lets a held run go on.
    pub(crate) async fn release(&self, durable: &dyn Durable) -> Result<(), PerformError> {
        let state = durable.state().await?;
        if running(&state)?.mode == Mode::Held {
            durable.publish(Milestone::Released(self.setting.initiator.clone())).await?;
        }
        Ok(())
    }

    /// Does what the plan says of a failure. A run that must be handed over is given back, so that another owner need not wait.
    pub(crate) async fn fail(
        &self,
        durable: &dyn Durable,
        failure: &PerformError,
    ) -> Result<Ending, PerformError> {
        let ending = self.decide(durable, failure).await;
        if ending.is_err() {
            durable.close().await;
        }
        ending
    }

    async fn decide(&self, durable: &dyn Durable, failure: &PerformError) -> Result<Ending, PerformError> {
        if failure.hands_over() {
            return Err(failure.clone());
        }
        let cause = cause_of(failure);
        let cancelled = *failure == PerformError::Cancelled;
        let state = durable.state().await?;
        if running(&state)?.stage.is_none() && !cancelled {
            return self.park_verified(durable, cause).await;
        }
        if self.plan.on_failure == OnFailure::Hold && !cancelled {
            durable.publish(Milestone::Held(cause)).await?;
            return Ok(Ending::Held);
        }
        Ok(match self.turn_back(durable, cause).await? {
            Undone::RolledBack(report) => Ending::RolledBack(report),
            Undone::Parked(parked) => Ending::Parked(parked),
        })
    }

    /// The release is verified, but what was kept warm cannot be retired: nothing is undone for that.
    async fn park_verified(&self, durable: &dyn Durable, cause: Cause) -> Result<Ending, PerformError> {
        let state = durable.state().await?;
        let rollouts = running(&state)?.concluded.keys();
        let reason = format!("replaced instances are still kept: {cause}");
        let standing: Vec<Standing> = rollouts
            .map(|(stage, step)| Standing { stage: *stage, step: step.clone(), reason: reason.clone() })
            .collect();
        durable.publish(Milestone::Parked { standing: standing.clone(), cause }).await?;
        let report = self.over(durable).await?;
        Ok(Ending::Parked(Parked { standing, report }))
    }

    /// Undoes everything and gives the run back, also where the undo cannot go on from here.
    pub(crate) async fn turn_back(
        &self,
        durable: &dyn Durable,
        cause: Cause,
    ) -> Result<Undone, PerformError> {
        let ended = match self.roll_back(durable, cause).await {
            Ok(ended) => ended,
            Err(error) => {
                durable.close().await;
                return Err(error);
            }
        };
        let report = self.over(durable).await?;
        Ok(match ended {
            RunEnd::RolledBack => Undone::RolledBack(report),
            RunEnd::Parked(standing) => Undone::Parked(Parked { standing, report }),
        })
    }

    /// The report of a run that nobody works on any more.
    pub(crate) async fn over(&self, durable: &dyn Durable) -> Result<Report, PerformError> {
        let report = durable.history().await.map(Report::of);
        durable.close().await;
        report
    }

    pub(crate) async fn report(&self, durable: &dyn Durable) -> Option<Report> {
        self.over(durable).await.ok()
    }

    /// Carries out what is left of the run, forward or back, says how it ended, and gives it back however it ended: nobody
    /// works on it any more, and whoever takes it up next need not wait for its lease.
    pub(crate) async fn to_the_end(&self, durable: &dyn Durable) -> Result<Report, Stopped> {
        let ended = self.drive(durable).await;
        if matches!(ended, Err(Stopped::HandedOver(_) | Stopped::Held(_))) {
            durable.close().await;
        }
        ended
    }

    async fn drive(&self, durable: &dyn Durable) -> Result<Report, Stopped> {
        let now = durable.state().await.map_err(Stopped::HandedOver)?;
        let now = running(&now).map_err(Stopped::HandedOver)?.clone();
        match now.mode {
            Mode::Completed => return self.over(durable).await.map_err(Stopped::HandedOver),
            Mode::Closed => {
                let report = self.over(durable).await.map_err(Stopped::HandedOver)?;
                return Err(Stopped::Closed(report));
            }
            Mode::RolledBack | Mode::Undoing | Mode::Parked => {
                let cause = Cause::new(ErrorKind::Unknown, "the undo goes on");
                let undone = self.turn_back(durable, cause).await.map_err(Stopped::HandedOver)?;
                return Err(stopped(None, undone));
            }
            Mode::Forward | Mode::Held => {}
        }
        self.release(durable).await.map_err(Stopped::HandedOver)?;
        let from = now.stage.unwrap_or(StageName::Verify);
        for stage in StageName::ALL.into_iter().filter(|stage| *stage >= from) {
            if let Err(failure) = self.stage(durable, stage).await {
                let ending = self.fail(durable, &failure).await.map_err(Stopped::HandedOver)?;
                let error = StageError { stage, problem: Problem::Call(failure) };
                return Err(match ending {
                    Ending::Held => Stopped::Held(error),
                    Ending::RolledBack(report) => stopped(Some(error), Undone::RolledBack(report)),
                    Ending::Parked(parked) => stopped(Some(error), Undone::Parked(parked)),
                });
            }
        }
        self.over(durable).await.map_err(Stopped::HandedOver)
    }
}

fn stopped(error: Option<StageError>, undone: Undone) -> Stopped {
    match undone {
        Undone::RolledBack(report) => Stopped::RolledBack { error, report },
        Undone::Parked(parked) => Stopped::Parked { error, parked },
    }
}
