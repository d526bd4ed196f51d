//! What every [`AlertRules`] promises, as checks.

use std::collections::BTreeMap;

use async_trait::async_trait;
use flow_core::port::{AlertRules, RuleSet};
use flow_core::{ErrorKind, Name, name};

use super::{Checked, Outside};
use crate::conformance::refusal::{refusal, whole};
use crate::permit;

/// Makes one `#[tokio::test]` for every promise of [`AlertRules`](flow_core::port::AlertRules).
///
/// It takes an async function without arguments that gives a fresh [`RulesFixture`](crate::conformance::rules::RulesFixture).
///
/// ```
/// use std::collections::BTreeMap;
///
/// use async_trait::async_trait;
/// use flow_core::{ErrorKind, Name};
/// use flow_core::port::AlertRules;
/// use flow_testkit::conformance::{Checked, Outside};
/// use flow_testkit::conformance::rules::RulesFixture;
/// use flow_testkit::fake::FakeRules;
/// use flow_testkit::fault::{At, Fault};
///
/// struct InMemory(FakeRules);
///
/// #[async_trait]
/// impl RulesFixture for InMemory {
///     fn rules(&self) -> &dyn AlertRules {
///         &self.0
///     }
///     async fn in_force(&self) -> Outside<BTreeMap<String, String>> {
///         let set = |name: Name| Some((name.to_string(), self.0.in_force(&name)?));
///         Ok(self.0.names().into_iter().filter_map(set).collect())
///     }
///     async fn obstruct(&self) -> Checked {
///         let fault = Fault::Refused(ErrorKind::Unavailable);
///         self.0.ledger().faults().inject(At::call("rules.apply").onwards(), fault);
///         Ok(())
///     }
/// }
///
/// async fn fresh() -> InMemory {
///     InMemory(FakeRules::new())
/// }
///
/// flow_testkit::rules_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! rules_conformance {
    ($fresh:expr) => {
        $crate::rules_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { rules $with
            rules_come_into_force_as_they_were_given
            rules_replace_the_ones_before_whole
            rules_that_are_not_there_are_none_and_their_removal_is_done
            removed_rules_are_gone
            applying_twice_is_applying_once
            sets_do_not_disturb_each_other
            malformed_rules_are_refused_with_their_position_and_the_old_ones_stand
            an_apply_that_fails_leaves_the_old_rules_in_force
            reading_changes_nothing
        }
    };
}

/// A monitoring system without rules of ours, and ways to look at it and to disturb it from outside.
#[async_trait]
pub trait RulesFixture: Send + Sync {
    /// The rules under test.
    fn rules(&self) -> &dyn AlertRules;

    /// The rules that the system uses, asked of the system itself: by name, and whatever else was left lying about.
    async fn in_force(&self) -> Outside<BTreeMap<String, String>>;

    /// Makes every later apply impossible: the system is down, or there is no room.
    async fn obstruct(&self) -> Checked;
}

const SHOP: Name = name!("shop");

const ERRORS: &str = r#"# kept as it is
groups:
  - name: shop
    rules:
      - alert: Errors
        expr: sum(rate(errors_total{code=~"5.."}[5m])) > 0.001
        for: 5m
        labels: {severity: page}
"#;

const LATENCY: &str = "groups:\n- name: latency\n  rules:\n  - alert: Slow\n    expr: latency_seconds > 1\n";

fn set(name: Name, rules: &str) -> RuleSet {
    RuleSet { name, rules: rules.to_owned() }
}

fn holds(sets: &[(&str, &str)]) -> BTreeMap<String, String> {
    sets.iter().map(|(name, rules)| ((*name).to_owned(), (*rules).to_owned())).collect()
}

/// Rules are in use when `apply` answers, to the byte: comments and order are people's work.
pub async fn rules_come_into_force_as_they_were_given(fixture: &impl RulesFixture) -> Checked {
    fixture.rules().apply(&permit(), &set(SHOP, ERRORS)).await?;
    assert_eq!(fixture.in_force().await?, holds(&[("shop", ERRORS)]));
    assert_eq!(fixture.rules().read(&SHOP).await?, Some(set(SHOP, ERRORS)));
    Ok(())
}

/// A set replaces the one under its name; nothing of that one stays.
pub async fn rules_replace_the_ones_before_whole(fixture: &impl RulesFixture) -> Checked {
    fixture.rules().apply(&permit(), &set(SHOP, ERRORS)).await?;
    fixture.rules().apply(&permit(), &set(SHOP, LATENCY)).await?;
    assert_eq!(fixture.in_force().await?, holds(&[("shop", LATENCY)]));
    assert_eq!(fixture.rules().read(&SHOP).await?, Some(set(SHOP, LATENCY)));
    Ok(())
}

/// No rules are none, not empty ones and not an error; removing them is done.
pub async fn rules_that_are_not_there_are_none_and_their_removal_is_done(
    fixture: &impl RulesFixture,
) -> Checked {
    assert_eq!(fixture.rules().read(&SHOP).await?, None);
    fixture.rules().remove(&permit(), &SHOP).await?;
    assert_eq!(fixture.rules().read(&SHOP).await?, None);
    assert_eq!(fixture.in_force().await?, BTreeMap::new());
    Ok(())
}

/// What was removed is no longer in use when `remove` answers.
pub async fn removed_rules_are_gone(fixture: &impl RulesFixture) -> Checked {
    fixture.rules().apply(&permit(), &set(SHOP, ERRORS)).await?;
    fixture.rules().remove(&permit(), &SHOP).await?;
    assert_eq!(fixture.in_force().await?, BTreeMap::new());
    assert_eq!(fixture.rules().read(&SHOP).await?, None);
    Ok(())
}

/// A later attempt under the same permit leaves what the first one left.
pub async fn applying_twice_is_applying_once(fixture: &impl RulesFixture) -> Checked {
    let permit = permit();
    for _ in 0..2 {
        fixture.rules().apply(&permit, &set(SHOP, ERRORS)).await?;
        assert_eq!(fixture.in_force().await?, holds(&[("shop", ERRORS)]));
    }
    for _ in 0..2 {
        fixture.rules().remove(&permit, &SHOP).await?;
        assert_eq!(fixture.in_force().await?, BTreeMap::new());
    }
    Ok(())
}

/// Changing one set leaves every other one as it is.
pub async fn sets_do_not_disturb_each_other(fixture: &impl RulesFixture) -> Checked {
    let web = name!("web");
    fixture.rules().apply(&permit(), &set(SHOP, ERRORS)).await?;
    fixture.rules().apply(&permit(), &set(web.clone(), LATENCY)).await?;
    assert_eq!(fixture.in_force().await?, holds(&[("shop", ERRORS), ("web", LATENCY)]));
    fixture.rules().remove(&permit(), &web).await?;
    assert_eq!(fixture.in_force().await?, holds(&[("shop", ERRORS)]));
    Ok(())
}

/// Rules that are not well-formed are invalid, and the error says where; nothing is changed by them.
pub async fn malformed_rules_are_refused_with_their_position_and_the_old_ones_stand(
    fixture: &impl RulesFixture,
) -> Checked {
    fixture.rules().apply(&permit(), &set(SHOP, ERRORS)).await?;
    for (bad, line) in [
        ("groups:\n- name: shop\n  rules: [\n", "line 3"),
        ("groups:\n- name: shop\n  rules: ]\n", "line 3"),
        ("rules: []\n", "line 1"),
    ] {
        let error = refusal(fixture.rules().apply(&permit(), &set(SHOP, bad)).await, bad)?;
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
        assert!(whole(&error).contains(line), "{line} in {}", whole(&error));
        assert_eq!(fixture.in_force().await?, holds(&[("shop", ERRORS)]));
    }
    Ok(())
}

/// An error leaves the old rules in use, whole.
pub async fn an_apply_that_fails_leaves_the_old_rules_in_force(fixture: &impl RulesFixture) -> Checked {
    fixture.rules().apply(&permit(), &set(SHOP, ERRORS)).await?;
    fixture.obstruct().await?;
    let answer = fixture.rules().apply(&permit(), &set(SHOP, LATENCY)).await;
    drop(refusal(answer, "an apply that is impossible")?);
    assert_eq!(fixture.in_force().await?, holds(&[("shop", ERRORS)]));
    Ok(())
}

/// Reading leaves everything as it is, also where there is nothing to read.
pub async fn reading_changes_nothing(fixture: &impl RulesFixture) -> Checked {
    fixture.rules().read(&SHOP).await?;
    assert_eq!(fixture.in_force().await?, BTreeMap::new());
    fixture.rules().apply(&permit(), &set(SHOP, ERRORS)).await?;
    for _ in 0..3 {
        fixture.rules().read(&SHOP).await?;
        assert_eq!(fixture.in_force().await?, holds(&[("shop", ERRORS)]));
    }
    Ok(())
}
