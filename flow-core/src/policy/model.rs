use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::environment::Environment;
use crate::gate::StandardGate;
use crate::name::Actor;
use crate::plan::Declaration;
use crate::policy::Proof;

/// What an environment demands of a run, as data.
///
/// The standard's own demands, which [`Policy::standard`] gives:
///
/// | | Development | Testing | Staging | Production |
/// |---|---|---|---|---|
/// | artefacts named by digest, tested before in | | | | Staging |
/// | of the three tests there | | | | all |
/// | scripts run before, in a lower environment | | | | yes |
/// | proofs of the run itself | | | | rollback plan, security configuration, permissions, restored backup, verified migration, all three tests |
/// | figures that must be measured | | | | all eight |
/// | figures that are measured must hold | | yes | yes | yes |
/// | approvals | 0 | 0 | 0 | 1 |
/// | evidence lasts | 14 days | 14 days | 14 days | 14 days |
///
/// Every demand can be made stricter. Those above the last two rows are the standard's prohibitions and requirements: a policy
/// that demands less of them than the standard refuses the plan
/// ([`Violation::LaxerThanStandard`](crate::policy::Violation::LaxerThanStandard)). A figure that means nothing for an application is
/// declared not applicable, with a reason and a person; approvals bind to that.
///
/// ```
/// use flow_core::Environment;
/// use flow_core::gate::StandardGate;
/// use flow_core::policy::{Policy, Proof};
///
/// let policy = Policy::standard(Environment::Staging)
///     .demanding(Proof::SecurityConfiguration)
///     .limiting(StandardGate::ApiLatency, 200.0);
/// assert_eq!(policy.limit(StandardGate::ApiLatency), 200.0);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// The environment where every artefact must have been tested before, by digest.
    pub proved_in: Option<Environment>,
    /// What that run must have proved of it.
    #[serde(default)]
    pub tests: BTreeSet<Proof>,
    /// Whether scripts must have run before.
    #[serde(default)]
    pub scripts: Scripts,
    /// What the run itself must prove.
    #[serde(default)]
    pub proofs: BTreeSet<Proof>,
    /// What is demanded of the standard's figures.
    #[serde(default)]
    pub figures: Figures,
    /// How long what a run proved can be relied on: at most this long after it was recorded.
    pub evidence_lasts: Duration,
    /// How many people must approve the plan, the initiator not among them.
    pub approvals: u32,
}

/// Whether scripts must have run before they may run here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scripts {
    /// They may run for the first time.
    #[default]
    Any,
    /// They must have run in a lower environment, with the same digest, in a run that completed.
    RunBefore,
}

/// What is demanded of the standard's figures.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Figures {
    /// The figures that must be measured.
    pub demanded: BTreeSet<StandardGate>,
    /// What becomes of a measured figure that does not hold.
    pub broken: Broken,
    /// Limits stricter than the standard's, in the gate's unit.
    pub limits: BTreeMap<StandardGate, f64>,
    /// Figures that mean nothing here, and who answers for that.
    pub not_applicable: BTreeMap<StandardGate, Declaration>,
}

/// What becomes of a measured figure that does not hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Broken {
    /// It is reported.
    #[default]
    Reported,
    /// The run fails.
    Fails,
}

impl Policy {
    /// The standard's policy for `environment`.
    #[must_use]
    pub fn standard(environment: Environment) -> Self {
        let strict = environment == Environment::Production;
        let broken = if environment == Environment::Development { Broken::Reported } else { Broken::Fails };
        let mut policy = Self {
            proved_in: None,
            tests: BTreeSet::new(),
            scripts: Scripts::Any,
            proofs: BTreeSet::new(),
            figures: Figures { broken, ..Figures::default() },
            evidence_lasts: Duration::from_hours(14 * 24),
            approvals: 0,
        };
        if strict {
            policy.proved_in = Some(Environment::Staging);
            policy.tests = Proof::TESTS.into();
            policy.scripts = Scripts::RunBefore;
            policy.proofs = Proof::ALL.into();
            policy.figures.demanded = StandardGate::ALL.into();
            policy.approvals = 1;
        }
        policy
    }

    /// Demands one more proof of the run itself.
    #[must_use]
    pub fn demanding(mut self, proof: Proof) -> Self {
        self.proofs.insert(proof);
        self
    }

    /// Demands that one more figure is measured, and that it holds.
    #[must_use]
    pub fn measuring(mut self, gate: StandardGate) -> Self {
        self.figures.demanded.insert(gate);
        self.figures.broken = Broken::Fails;
        self
    }

    /// Replaces the standard's limit of `gate` by a stricter one, in the gate's unit.
    #[must_use]
    pub fn limiting(mut self, gate: StandardGate, limit: f64) -> Self {
        self.figures.limits.insert(gate, limit);
        self
    }

    /// Declares that a figure means nothing for this application, such as database queries without a database.
    #[must_use]
    pub fn without(mut self, gate: StandardGate, reason: impl Into<String>, by: Actor) -> Self {
        self.figures.not_applicable.insert(gate, Declaration { reason: reason.into(), by });
        self
    }

    /// The limit of `gate`, which itself no longer holds.
    #[must_use]
    pub fn limit(&self, gate: StandardGate) -> f64 {
        self.figures.limits.get(&gate).copied().unwrap_or(gate.limit())
    }

    /// Whether `value` keeps `gate` under this policy. A value that is not a number never does.
    #[must_use]
    pub fn holds(&self, gate: StandardGate, value: f64) -> bool {
        gate.holds_against(value, self.limit(gate))
    }

    /// The figures that a run must measure.
    pub(crate) fn measured(&self) -> impl Iterator<Item = StandardGate> + '_ {
        let declared = |gate: &StandardGate| self.figures.not_applicable.contains_key(gate);
        self.figures.demanded.iter().copied().filter(move |gate| !declared(gate))
    }

    /// In what it demands less of `environment` than the standard does: the fields, and how.
    pub(crate) fn laxer(&self, environment: Environment) -> Vec<(&'static str, String)> {
        let standard = Self::standard(environment);
        let mut found = Vec::new();
        if self.proved_in.is_some_and(|place| place >= environment) {
            found.push(("proved_in", format!("must be an environment below {environment}")));
        } else if self.proved_in < standard.proved_in {
            let least = standard.proved_in.map_or("any", Environment::as_str);
            found.push(("proved_in", format!("must be {least} at least")));
        }
        let missing = |name, ours: &BTreeSet<Proof>, theirs: &BTreeSet<Proof>| {
            let words: Vec<&str> = theirs.difference(ours).map(|proof| proof.as_str()).collect();
            (!words.is_empty()).then(|| (name, format!("must have {}", words.join(", "))))
        };
        found.extend(missing("tests", &self.tests, &standard.tests));
        if self.scripts < standard.scripts {
            found.push(("scripts", "must be `run_before`".to_owned()));
        }
        found.extend(missing("proofs", &self.proofs, &standard.proofs));
        let gates = standard.figures.demanded.difference(&self.figures.demanded);
        let gates: Vec<String> = gates.map(ToString::to_string).collect();
        if !gates.is_empty() {
            found.push(("figures.demanded", format!("must have {}", gates.join(", "))));
        }
        if self.figures.broken < standard.figures.broken {
            found.push(("figures.broken", "must be `fails`".to_owned()));
        }
        for (gate, limit) in &self.figures.limits {
            // The standard's limit is the outermost value that does not hold any more.
            let stricter = *limit == gate.limit() || gate.holds(*limit);
            if !limit.is_finite() || !stricter {
                let (standard, unit) = (gate.limit(), gate.unit());
                found.push((
                    "figures.limits",
                    format!("{gate}: {limit} {unit} is not stricter than {standard} {unit}"),
                ));
            }
        }
        for (gate, declared) in &self.figures.not_applicable {
            if declared.reason.trim().is_empty() {
                found.push(("figures.not_applicable", format!("{gate}: the reason must say why")));
            }
        }
        found
    }
}
