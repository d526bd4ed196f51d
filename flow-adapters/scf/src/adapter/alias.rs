use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{InFlight, Route, Router, Routing};
use flow_core::{Name, Permit, Problems, StepError};

use super::live::check_callable;
use super::triggers::Bypass;
use crate::address::{address, parse};
use crate::client::{Alias, LATEST, Platform, Shares, named};
use crate::config::DEFAULT_ALIAS;
use crate::names::Names;

/// The longest that one call of any function may take.
const CALL_MAX: Duration = Duration::from_secs(900);

/// Divides the calls of functions among versions, by an alias of each. A service is a function; an address is `scf:FUNCTION/VERSION`.
///
/// An alias leads to one version or to two, by whole percents. What the versions are called stands in the alias's description.
///
/// Any function can be routed: one that does not exist has no alias and so an empty routing.
///
/// - **Empty routing**: without its alias nobody reaches a function, so an empty routing removes it. An alias that triggers are bound to
///   cannot be removed; nor can `$DEFAULT`, for which an empty routing is refused. An alias that leads to what is not published counts as empty.
/// - **Requests under way** are not counted by the platform. [`in_flight`](Router::in_flight) tells 1 for every version where one cannot
///   be excluded: those that have traffic, and all others until the alias's last change is longer ago than their longest call, by the
///   platform's clock. This outlives a crash. Once the alias is removed nothing tells, and nothing is counted.
#[derive(Debug, Clone)]
pub struct ScfAlias {
    platform: Platform,
}

impl ScfAlias {
    pub(super) const fn over(platform: Platform) -> Self {
        Self { platform }
    }

    fn alias_name(&self) -> &str {
        &self.platform.config.alias
    }

    /// The alias, if it leads to a version.
    async fn leading(&self, function: &str) -> Result<Option<Alias>, StepError> {
        let alias = self.platform.alias(function, self.alias_name()).await?;
        Ok(alias.filter(|alias| alias.function_version != LATEST || !alias.additional().is_empty()))
    }

    async fn empty(platform: &Platform, function: &str) -> Result<(), StepError> {
        let mut problems = Problems::default();
        let alias = &platform.config.alias;
        problems.check(
            alias != DEFAULT_ALIAS,
            "routing",
            "must not be empty: `$DEFAULT` always leads somewhere",
        );
        let rows = platform.triggers(function).await?;
        let bound: Vec<&str> =
            rows.iter().filter(|row| row.bound_to() == alias).map(|row| &*row.trigger_name).collect();
        if !bound.is_empty() {
            let problem =
                format!("must not be empty while triggers are bound to the alias: {}", bound.join(", "));
            problems.add("routing", problem);
        }
        problems.into_result()?;
        platform.clear_alias(function, alias).await
    }
}

#[async_trait]
impl Router for ScfAlias {
    fn granularity(&self) -> u8 {
        1
    }

    async fn routing(&self, service: &Name) -> Result<Routing, StepError> {
        let function = named(service)?;
        let Some(alias) = self.leading(function).await? else { return Ok(Routing::default()) };
        let names = Names::parse(alias.description());
        let mut routing = Routing::default();
        let mut left = 100;
        let mut add = |version: &str, weight: u8| -> Result<(), StepError> {
            let unnamed =
                |error| StepError::in_doubt("the alias leads to an unpublished version").because(error);
            let name = names.of(version).map_err(unnamed)?;
            let route = routing.0.entry(name).or_insert_with(|| Route { weight: 0, addresses: Vec::new() });
            route.weight += weight;
            route.addresses.push(address(function, version));
            Ok(())
        };
        for one in alias.additional() {
            // Whole percents are what is put here; others are told to the nearest.
            let percent = (one.weight.clamp(0.0, 1.0) * 100.0).round() as u8;
            let percent = percent.min(left);
            left -= percent;
            add(&one.version, percent)?;
        }
        add(&alias.function_version, left)?;
        Ok(routing)
    }

    async fn route(&self, permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError> {
        let (platform, function) = (self.platform.under(permit), named(service)?);
        let versions = check(routing, function)?;
        if versions.is_empty() {
            return match self.leading(function).await? {
                Some(_) => Self::empty(&platform, function).await,
                None => Ok(()),
            };
        }
        let now = platform.alias(function, self.alias_name()).await?;
        for version in versions.keys() {
            if !now.as_ref().is_some_and(|alias| alias.leads_to(version)) {
                check_callable(&platform, function, version).await?;
            }
        }
        let main = now.map(|alias| alias.function_version).filter(|main| versions.contains_key(main));
        let shares = divide(&versions, main);
        if shares.additional.is_some() {
            for Bypass { trigger, qualifier } in
                Bypass::all_of(&platform, &platform.triggers(function).await?)
            {
                tracing::warn!(
                    function,
                    trigger,
                    qualifier,
                    "the trigger calls past the alias: no canary holds it"
                );
            }
        }
        let names = Names::of_versions(versions.iter().map(|(version, (name, _))| (version.as_str(), *name)));
        platform.put_alias(function, self.alias_name(), &shares, Some(&names.to_string())).await
    }

    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError> {
        let function = named(service)?;
        let alias = self.platform.alias(function, self.alias_name()).await?;
        let Some(alias) = alias else { return Ok(InFlight::new()) };
        let mut busy = InFlight::new();
        let since = alias.changed();
        let age = since
            .map(|since| Duration::try_from(self.platform.now().duration_since(since)).unwrap_or_default());
        for row in self.platform.versions(function).await? {
            if alias.leads_to(&row.version) || self.may_be_answering(function, &row.version, age).await? {
                busy.insert(address(function, &row.version), 1);
            }
        }
        Ok(busy)
    }
}

impl ScfAlias {
    /// Whether a version that lost its traffic so long ago may still be answering.
    async fn may_be_answering(
        &self,
        function: &str,
        version: &str,
        age: Option<Duration>,
    ) -> Result<bool, StepError> {
        // The platform tells whole seconds.
        // An alias that tells no time excludes nothing.
        let Some(age) = age.map(|age| age.saturating_sub(Duration::from_secs(1))) else { return Ok(true) };
        if age > CALL_MAX {
            return Ok(false);
        }
        let found = self.platform.function(function, Some(version)).await?;
        Ok(found.is_some_and(|found| age <= Duration::from_secs(found.timeout)))
    }
}

/// The versions of a routing that have a share, by number, each with its name and share.
///
/// # Errors
/// Everything that is wrong with it.
fn check<'a>(routing: &'a Routing, function: &str) -> Result<BTreeMap<String, (&'a Name, u8)>, Problems> {
    let mut problems = Problems::default();
    let (mut versions, mut taken) = (BTreeMap::new(), BTreeSet::new());
    if let Err(problem) = routing.weights() {
        problems.add("routing", problem.to_string());
    }
    for (name, route) in &routing.0 {
        let field = format!("routing.{name}.addresses");
        if route.weight > 0 && route.addresses.is_empty() {
            problems.add(&*field, "must hold an address");
        }
        if route.addresses.len() > 1 {
            problems.add(&*field, "must hold one address: an alias divides calls among versions only");
        }
        for (index, text) in route.addresses.iter().enumerate() {
            let field = format!("{field}.{index}");
            match parse(text, function) {
                Err(problem) => problems.add(field, format!("`{}` {problem}", text.escape_debug())),
                Ok(version) => {
                    if !taken.insert(version) {
                        problems.add(field, format!("`{text}` is routed twice"));
                    } else if route.weight > 0 {
                        versions.insert(version.to_owned(), (name, route.weight));
                    }
                }
            }
        }
    }
    problems.check(versions.len() <= 2, "routing", "must have at most two versions with a share");
    problems.into_result().map(|()| versions)
}

/// The version that is first now stays first; otherwise the one with the greater share is.
fn divide(versions: &BTreeMap<String, (&Name, u8)>, first: Option<String>) -> Shares {
    let greatest =
        || versions.iter().max_by_key(|(_, (_, share))| *share).map(|(version, _)| version.clone());
    let main = first.or_else(greatest).unwrap_or_default();
    let additional = versions.iter().find(|(version, _)| **version != main);
    Shares { additional: additional.map(|(version, (_, share))| (version.clone(), *share)), main }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routing(routes: &[(&str, u8, &[&str])]) -> Routing {
        let route = |(name, weight, addresses): &(&str, u8, &[&str])| {
            let addresses = addresses.iter().map(|address| (*address).to_owned()).collect();
            (Name::new(*name).unwrap(), Route { weight: *weight, addresses })
        };
        Routing(routes.iter().map(route).collect())
    }

    fn shares(routes: &[(&str, u8, &[&str])], first: Option<&str>) -> Shares {
        divide(&check(&routing(routes), "shop").unwrap(), first.map(str::to_owned))
    }

    #[test]
    fn the_additional_version_has_the_weight_whichever_is_first() {
        let canary: [(&str, u8, &[&str]); 2] = [("a", 90, &["scf:shop/1"]), ("b", 10, &["scf:shop/2"])];
        let additional = |version: &str, share| Some((version.to_owned(), share));
        assert_eq!(shares(&canary, None), Shares { main: "1".into(), additional: additional("2", 10) });
        assert_eq!(shares(&canary, Some("2")), Shares { main: "2".into(), additional: additional("1", 90) });
        let promoted: [(&str, u8, &[&str]); 2] = [("a", 0, &["scf:shop/1"]), ("b", 100, &["scf:shop/2"])];
        assert_eq!(shares(&promoted, None), Shares::all_to("2"));
    }

    #[test]
    fn every_problem_of_a_routing_is_told() {
        let bad = routing(&[
            ("a", 50, &["scf:shop/1", "scf:shop/2"]),
            ("b", 40, &["scf:shop/1"]),
            ("c", 20, &["127.0.0.1:80"]),
            ("d", 20, &["scf:other/3"]),
            ("e", 20, &[]),
        ]);
        let problems = check(&bad, "shop").unwrap_err();
        let expected = "routing routing.a.addresses routing.b.addresses.0 routing.c.addresses.0 \
                        routing.d.addresses.0 routing.e.addresses";
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields.join(" "), expected);
        let three: [(&str, u8, &[&str]); 3] =
            [("a", 50, &["scf:shop/1"]), ("b", 30, &["scf:shop/2"]), ("c", 20, &["scf:shop/3"])];
        assert!(check(&routing(&three), "shop").unwrap_err().to_string().contains("at most two versions"));
    }
}
