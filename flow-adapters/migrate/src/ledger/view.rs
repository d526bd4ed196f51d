//! Which of the scripts a run is about.

use flow_core::{ErrorKind, StepError};
use flow_sql::{Phase, Script};

use super::applied::{Applied, Divergence, Progress, list};

/// All scripts of a folder, and the phase that is meant; none for both.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) scripts: &'a [Script],
    pub(crate) phase: Option<Phase>,
}

impl<'a> View<'a> {
    /// The scripts in view that are not applied yet, in order; one that is applied in part among them.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] with every edited, missing and out-of-order migration, of either phase.
    pub(crate) fn pending(self, applied: &[Applied]) -> Result<Vec<&'a Script>, StepError> {
        Divergence::of(self.scripts, applied).into_result()?;
        let stands = |script: &&Script| {
            applied
                .iter()
                .any(|row| row.version == script.version && !matches!(row.progress, Progress::Applying(_)))
        };
        Ok(self.scripts.iter().filter(|script| self.shows(script) && !stands(script)).collect())
    }

    /// Whether `script` is in view.
    pub(crate) fn shows(self, script: &Script) -> bool {
        self.phase.is_none_or(|phase| phase == script.phase)
    }

    /// Whether the script of `version` is in view.
    pub(crate) fn shows_version(self, version: &str) -> bool {
        self.scripts.iter().any(|script| script.version.as_str() == version && self.shows(script))
    }

    /// What will have been applied once everything in view is: before contract comes all of expand.
    ///
    /// # Errors
    /// As [`pending`](Self::pending).
    pub(crate) fn course(self, applied: &[Applied]) -> Result<Vec<&'a Script>, StepError> {
        let mut before = match self.phase {
            Some(Phase::Contract) => self.of(Phase::Expand).pending(applied)?,
            Some(Phase::Expand) | None => Vec::new(),
        };
        before.extend(self.pending(applied)?);
        Ok(before)
    }

    /// Refuses to apply `contract` while a migration of the other phase that comes before it is not.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] with the list.
    pub(crate) fn check_expanded(self, applied: &[Applied], contract: &[&Script]) -> Result<(), StepError> {
        let (Some(Phase::Contract), Some(last)) = (self.phase, contract.last()) else { return Ok(()) };
        let mut waiting = self.of(Phase::Expand).pending(applied)?;
        waiting.retain(|script| script.version < last.version);
        if waiting.is_empty() {
            return Ok(());
        }
        let message = "migrations that expand come first, and are not applied";
        let waiting = list(waiting.iter().map(|script| &script.version));
        Err(StepError::new(ErrorKind::Conflict, message).fact("expand", waiting))
    }

    const fn of(self, phase: Phase) -> Self {
        Self { phase: Some(phase), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::super::applied::tests::{applied, scripts};
    use super::*;

    fn versions(scripts: &[&Script]) -> Vec<String> {
        scripts.iter().map(|script| script.version.to_string()).collect()
    }

    #[test]
    fn a_contract_migration_waits_below_expand_ones_and_not_the_other_way_round() {
        let contract = "-- flow: contract\nSELECT 1";
        let all = scripts(&[
            ("1_a.up.sql", "SELECT 1"),
            ("2_b.up.sql", contract),
            ("3_c.up.sql", "SELECT 3"),
            ("4_d.up.sql", contract),
        ]);
        let view = |phase| View { scripts: &all, phase };
        let (expand, contract) = (view(Some(Phase::Expand)), view(Some(Phase::Contract)));
        let rows: Vec<_> = all.iter().map(applied).collect();
        let [one, two, three, four] = &rows[..] else { panic!() };

        assert_eq!(versions(&view(None).pending(&[]).unwrap()), ["1", "2", "3", "4"]);
        assert_eq!(versions(&expand.course(&[]).unwrap()), ["1", "3"]);
        assert_eq!(versions(&contract.course(&[]).unwrap()), ["1", "3", "2", "4"]);
        let targets = contract.pending(&[]).unwrap();
        let refused = contract.check_expanded(std::slice::from_ref(one), &targets).unwrap_err();
        assert_eq!(refused.facts().collect::<Vec<_>>(), [("expand", "3")]);
        contract.check_expanded(std::slice::from_ref(one), &targets[..1]).unwrap();

        let expanded = [one.clone(), three.clone()];
        assert_eq!(versions(&contract.pending(&expanded).unwrap()), ["2", "4"]);
        contract.check_expanded(&expanded, &targets).unwrap();
        for (rows, late) in [(vec![one, two, four], "3"), (vec![one, three, four], "2")] {
            let rows: Vec<_> = rows.into_iter().cloned().collect();
            let refused = view(None).pending(&rows).unwrap_err();
            assert_eq!(refused.facts().collect::<Vec<_>>(), [("out of order", late)]);
        }
    }
}
