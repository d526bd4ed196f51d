use std::collections::BTreeMap;

use flow_core::{ErrorKind, Name, Problems, StepError};

use super::functions::ScfFunctions;
use crate::client::{LATEST, Platform, Shares, TriggerChange, TriggerRow, named};
use crate::trigger::{Trigger, can_be_made, parse_all};

/// A trigger that calls something else than the alias: what it starts takes no part in a canary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bypass {
    /// The trigger's name.
    pub trigger: String,
    /// What it calls: `$LATEST`, a version, or another alias.
    pub qualifier: String,
}

impl Bypass {
    pub(super) fn all_of(platform: &Platform, rows: &[TriggerRow]) -> Vec<Self> {
        let others = rows.iter().filter(|row| row.bound_to() != platform.config.alias);
        others
            .map(|row| Self { trigger: row.trigger_name.clone(), qualifier: row.bound_to().to_owned() })
            .collect()
    }
}

impl ScfFunctions {
    /// The triggers of `function` that call past its alias. Those bound to `$LATEST` call code that nobody published: they reach new code as
    /// soon as it is put in place, before any canary.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without the function, any kind where the platform cannot be asked.
    pub async fn bypasses(&self, function: &Name) -> Result<Vec<Bypass>, StepError> {
        let rows = self.platform.triggers(named(function)?).await?;
        Ok(Bypass::all_of(&self.platform, &rows))
    }

    pub(super) async fn triggers_as_they_are(
        &self,
        function: &str,
    ) -> Result<BTreeMap<Name, String>, StepError> {
        let mut triggers = BTreeMap::new();
        for row in self.platform.triggers(function).await? {
            let odd = |problem| {
                let error = StepError::new(ErrorKind::Conflict, problem).fact("function", function);
                error.fact("trigger", &row.trigger_name)
            };
            let name = Name::new(&*row.trigger_name);
            let name =
                name.map_err(|error| odd("a trigger has a name that cannot be kept").because(error))?;
            if triggers.insert(name, self.platform.trigger_of(&row).to_string()).is_some() {
                return Err(odd("two triggers have one name"));
            }
        }
        Ok(triggers)
    }

    /// Gives the function these triggers and no others; where that fails, those that it had.
    pub(super) async fn replace_triggers(
        platform: &Platform,
        function: &str,
        triggers: &BTreeMap<Name, String>,
    ) -> Result<(), StepError> {
        let wanted = parse_all(triggers, &platform.config.alias)?;
        let rows = platform.triggers(function).await?;
        let old: BTreeMap<String, Trigger> =
            rows.iter().map(|row| (row.trigger_name.clone(), platform.trigger_of(row))).collect();
        check_types(&old, &wanted)?;
        if old == wanted {
            return Ok(());
        }
        for (name, trigger) in wanted.iter().filter(|(_, trigger)| trigger.qualifier.is_some()) {
            let qualifier = trigger.qualifier.as_deref().unwrap_or_default();
            tracing::warn!(
                function,
                trigger = name,
                qualifier,
                "the trigger calls past the alias: no canary holds it"
            );
        }
        let converged = Self::converge(platform, function, rows, &wanted).await;
        if let Err(error) = converged {
            // The first error is what is told; whether the way back held is read by whoever looks next.
            if let Ok(rows) = platform.triggers(function).await {
                let _ = Self::converge(platform, function, rows, &old).await;
            }
            return Err(error.after_effect());
        }
        Ok(())
    }

    async fn converge(
        platform: &Platform,
        function: &str,
        rows: Vec<TriggerRow>,
        wanted: &BTreeMap<String, Trigger>,
    ) -> Result<(), StepError> {
        let alias = &platform.config.alias;
        let binds = wanted.values().any(|trigger| trigger.qualifier.is_none());
        if binds && platform.alias(function, alias).await?.is_none() {
            // A trigger can only be bound to an alias that exists. It leads nowhere new: no version is live.
            platform.put_alias(function, alias, &Shares::all_to(LATEST), None).await?;
        }
        let mut rows: BTreeMap<&str, &TriggerRow> =
            rows.iter().map(|row| (&*row.trigger_name, row)).collect();
        for (name, trigger) in wanted {
            let found = rows.remove(name.as_str());
            let now = found.map(|row| platform.trigger_of(row));
            if now.as_ref() == Some(trigger) {
                continue;
            }
            if now.is_some_and(|now| now.can_change_to(trigger)) {
                platform.change_trigger(function, name, TriggerChange::Update(trigger)).await?;
                continue;
            }
            if let Some(row) = found {
                platform.change_trigger(function, name, TriggerChange::Delete(row)).await?;
            }
            platform.change_trigger(function, name, TriggerChange::Create(trigger)).await?;
        }
        for (name, row) in rows {
            platform.change_trigger(function, name, TriggerChange::Delete(row)).await?;
        }
        Ok(())
    }
}

/// Refuses what the platform would not make, now or on the way back.
fn check_types(old: &BTreeMap<String, Trigger>, wanted: &BTreeMap<String, Trigger>) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for (name, trigger) in wanted {
        if old.get(name) != Some(trigger) && !can_be_made(&trigger.kind) {
            problems.add(
                format!("triggers.{name}"),
                format!("a trigger of type `{}` cannot be made", trigger.kind),
            );
        }
    }
    for (name, trigger) in old {
        if wanted.get(name) != Some(trigger) && !can_be_made(&trigger.kind) {
            let problem = format!(
                "a trigger of type `{}` could not be put back: remove it outside of a release",
                trigger.kind
            );
            problems.add(format!("triggers.{name}"), problem);
        }
    }
    problems.into_result()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trigger::TriggerDesc;

    #[test]
    fn what_could_not_be_put_back_is_neither_made_nor_removed() {
        let gateway = Trigger::new("apigw", TriggerDesc::Text(String::new()));
        let with = |trigger: &Trigger| BTreeMap::from([("api".to_owned(), trigger.clone())]);
        let (none, timer) = (BTreeMap::new(), Trigger::timer("0 0 3 * * * *"));
        assert_eq!(check_types(&with(&gateway), &with(&gateway)), Ok(()), "it may stay");
        assert_eq!(check_types(&with(&timer), &none), Ok(()));
        for (old, wanted) in
            [(&none, &with(&gateway)), (&with(&gateway), &none), (&with(&gateway), &with(&timer))]
        {
            let problems = check_types(old, wanted).unwrap_err();
            assert_eq!(problems.as_slice()[0].field, "triggers.api");
        }
    }
}
