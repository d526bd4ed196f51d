use std::collections::BTreeMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::StepError;
use crate::name::Name;
use crate::permit::Permit;

/// The share of a service's traffic that each version gets, in percent. The sum is 100, or there is no traffic at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "BTreeMap<Name, u8>", into = "BTreeMap<Name, u8>")]
pub struct Weights(BTreeMap<Name, u8>);

impl Weights {
    /// Takes shares whose sum is 100. Versions with a share of 0 are left out.
    ///
    /// # Errors
    /// [`WeightProblem`] when the sum is not 100.
    pub fn new(shares: impl IntoIterator<Item = (Name, u8)>) -> Result<Self, WeightProblem> {
        let shares: BTreeMap<Name, u8> = shares.into_iter().filter(|(_, share)| *share > 0).collect();
        let sum: u32 = shares.values().map(|share| u32::from(*share)).sum();
        if sum == 100 { Ok(Self(shares)) } else { Err(WeightProblem { sum }) }
    }

    /// All traffic to one version.
    #[must_use]
    pub fn all_to(version: Name) -> Self {
        Self(BTreeMap::from([(version, 100)]))
    }

    /// No traffic at all: nothing was ever routed.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// The share of `version`, 0 if it has none.
    #[must_use]
    pub fn share(&self, version: &Name) -> u8 {
        self.0.get(version).copied().unwrap_or(0)
    }

    /// The versions with a share, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&Name, u8)> {
        self.0.iter().map(|(version, share)| (version, *share))
    }

    /// Whether nothing is routed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Display for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no traffic");
        }
        for (index, (version, share)) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}{version} {share} %")?;
        }
        Ok(())
    }
}

impl From<Weights> for BTreeMap<Name, u8> {
    fn from(weights: Weights) -> Self {
        weights.0
    }
}

impl TryFrom<BTreeMap<Name, u8>> for Weights {
    type Error = WeightProblem;

    fn try_from(shares: BTreeMap<Name, u8>) -> Result<Self, WeightProblem> {
        if shares.is_empty() { Ok(Self::none()) } else { Self::new(shares) }
    }
}

/// Weights whose sum is not 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the weights sum to {sum}, not to 100")]
pub struct WeightProblem {
    /// The sum.
    pub sum: u32,
}

/// Where one version's traffic goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The version's share in percent.
    pub weight: u8,
    /// The addresses that share it, each `host:port` or `unix:PATH`, or in the notation of a platform that has neither, such as
    /// `scf:FUNCTION/VERSION`.
    pub addresses: Vec<String>,
}

/// The whole routing of one service: every version with its share and its addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Routing(pub BTreeMap<Name, Route>);

impl Routing {
    /// The shares alone.
    ///
    /// # Errors
    /// [`WeightProblem`] when there are routes and their sum is not 100.
    pub fn weights(&self) -> Result<Weights, WeightProblem> {
        self.0
            .iter()
            .map(|(version, route)| (version.clone(), route.weight))
            .collect::<BTreeMap<_, _>>()
            .try_into()
    }
}

/// How many requests each address is answering right now, whether or not traffic still goes there.
pub type InFlight = BTreeMap<String, u64>;

/// Sends a service's traffic to versions by weight.
///
/// An implementor proves itself by `flow_testkit::router_conformance!`.
#[async_trait]
pub trait Router: Send + Sync {
    /// The smallest step of a weight, in percent: 1 for a router that can do 1 %, 100 for one that can only switch.
    fn granularity(&self) -> u8;

    /// The routing in force for `service`, as observed, not as commanded; empty where nothing is routed.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a service that this router does not serve, any kind where it cannot be
    /// observed.
    async fn routing(&self, service: &Name) -> Result<Routing, StepError>;

    /// Puts `routing` in force for `service`, all at once. Returns when it is observed in force for new requests.
    /// Requests under way are finished where they began. The same routing again changes nothing. An empty routing takes
    /// the service out.
    ///
    /// Each version gets its share whether or not it answers: what fell to a version that is down may be tried at its other
    /// addresses and never at another version, which would hide a bad release from its users' counters.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid), with every problem at once, for weights that do not sum to 100, are finer than
    /// the granularity or have no address, and for an address that is none or stands twice; [`NotFound`](crate::ErrorKind::NotFound)
    /// for a service that this router does not serve. In each of these nothing was changed.
    async fn route(&self, permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError>;

    /// The requests under way for `service`, by address. One that is not there has none: every address where a request is
    /// under way is, whether or not traffic still goes there.
    ///
    /// # Errors
    /// Any kind where they cannot be counted: an address that is not counted is not drained.
    async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError>;
}
