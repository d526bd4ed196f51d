//! The alert rules' suite: the fake keeps its promises, and each broken system breaks the one that it is paired with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use flow_core::port::{AlertRules, RuleSet};
use flow_core::{ErrorKind, Name, Permit, StepError, name};
use flow_testkit::conformance::rules::RulesFixture;
use flow_testkit::conformance::{Checked, Outside};
use flow_testkit::fake::FakeRules;
use flow_testkit::fault::{At, Fault};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    DropsComments,
    AddsToTheOldOnes,
    TakesMissingForEmpty,
    EmptiesInsteadOfRemoving,
    CountsEachApply,
    KeepsOneSetForAll,
    SaysNoPosition,
    RemovesTheOldOnesFirst,
    MakesWhatItReads,
}

struct Bench {
    rules: FakeRules,
    breaks: Break,
    obstructed: Arc<AtomicBool>,
}

fn bench(breaks: Break) -> Bench {
    Bench { rules: FakeRules::new(), breaks, obstructed: Arc::default() }
}

#[async_trait]
impl AlertRules for Bench {
    async fn read(&self, name: &Name) -> Result<Option<RuleSet>, StepError> {
        let found = self.rules.read(name).await?;
        let empty = || RuleSet { name: name.clone(), rules: String::new() };
        match self.breaks {
            Break::TakesMissingForEmpty => Ok(Some(found.unwrap_or_else(empty))),
            Break::MakesWhatItReads if found.is_none() => {
                self.rules.put(empty());
                Ok(None)
            }
            _ => Ok(found),
        }
    }

    async fn apply(&self, permit: &Permit, rules: &RuleSet) -> Result<(), StepError> {
        let old = self.rules.in_force(&rules.name);
        let mut rules = rules.clone();
        match (self.breaks, old) {
            (Break::DropsComments, _) => {
                let kept: Vec<&str> = rules.rules.lines().filter(|line| !line.starts_with('#')).collect();
                rules.rules = kept.join("\n");
            }
            (Break::AddsToTheOldOnes, Some(old)) => rules.rules = old + &rules.rules,
            (Break::CountsEachApply, Some(_)) => rules.rules.push_str("# applied again\n"),
            (Break::KeepsOneSetForAll, _) => rules.name = name!("shop"),
            (Break::RemovesTheOldOnesFirst, Some(_)) if self.obstructed.load(Ordering::Relaxed) => {
                self.rules.put(RuleSet { rules: String::new(), ..rules.clone() });
            }
            _ => {}
        }
        let applied = self.rules.apply(permit, &rules).await;
        match applied {
            Err(error) if self.breaks == Break::SaysNoPosition => {
                Err(StepError::new(error.kind(), "the rules are not well-formed"))
            }
            applied => applied,
        }
    }

    async fn remove(&self, permit: &Permit, name: &Name) -> Result<(), StepError> {
        if self.breaks == Break::EmptiesInsteadOfRemoving {
            self.rules.put(RuleSet { name: name.clone(), rules: String::new() });
            return Ok(());
        }
        self.rules.remove(permit, name).await
    }
}

#[async_trait]
impl RulesFixture for Bench {
    fn rules(&self) -> &dyn AlertRules {
        self
    }

    async fn in_force(&self) -> Outside<BTreeMap<String, String>> {
        let names = self.rules.names().into_iter();
        Ok(names.map(|name| (name.to_string(), self.rules.in_force(&name).unwrap())).collect())
    }

    async fn obstruct(&self) -> Checked {
        self.obstructed.store(true, Ordering::Relaxed);
        let fault = Fault::Refused(ErrorKind::Unavailable);
        self.rules.ledger().faults().inject(At::call("rules.apply").onwards(), fault);
        Ok(())
    }
}

mod fake {
    use super::{Bench, Break, bench};

    async fn fresh() -> Bench {
        bench(Break::Nothing)
    }

    flow_testkit::rules_conformance!(fresh);
}

mod broken {
    use super::{Break, bench};

    flow_testkit::broken_implementations! { rules_conformance, rules:
        rules_come_into_force_as_they_were_given => async || bench(Break::DropsComments),
        rules_replace_the_ones_before_whole => async || bench(Break::AddsToTheOldOnes),
        rules_that_are_not_there_are_none_and_their_removal_is_done =>
            async || bench(Break::TakesMissingForEmpty),
        removed_rules_are_gone => async || bench(Break::EmptiesInsteadOfRemoving),
        applying_twice_is_applying_once => async || bench(Break::CountsEachApply),
        sets_do_not_disturb_each_other => async || bench(Break::KeepsOneSetForAll),
        malformed_rules_are_refused_with_their_position_and_the_old_ones_stand =>
            async || bench(Break::SaysNoPosition),
        an_apply_that_fails_leaves_the_old_rules_in_force => async || bench(Break::RemovesTheOldOnesFirst),
        reading_changes_nothing => async || bench(Break::MakesWhatItReads),
    }
}
