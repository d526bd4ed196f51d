//! What a step hands over when it is done: evidence, facts for later stages, figures.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{ErrorKind, StepError};
use crate::gate::Figure;
use crate::name::{Digest, Name};
use crate::policy::Proof;
use crate::stage::{Activity, Stage};

/// What a step of stage `S` hands over.
///
/// It holds one [`Evidence`] for each activity that the step covers; without it the step ends in doubt, because a step
/// that cannot say what it observed has not shown that it is done.
///
/// ```
/// use flow_core::receipt::Receipt;
/// use flow_core::stage::{Build, BuildActivity};
///
/// let receipt = Receipt::<Build>::new().evidence(BuildActivity::BuildScripts, "`make all` ended with 0");
/// assert!(receipt.covers(BuildActivity::BuildScripts));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct Receipt<S: Stage> {
    /// What was observed, by activity.
    pub evidence: Vec<Evidence<S::Activity>>,
    /// What the standard lets later stages rely on.
    #[serde(default)]
    pub facts: S::Facts,
    /// Measured values for the standard's quality gates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub figures: Vec<Figure>,
    /// What the step has proved, beyond what lies in the evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proofs: Vec<Proof>,
    /// Named values of custom steps.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub extra: BTreeMap<String, Value>,
}

impl<S: Stage> Default for Receipt<S> {
    fn default() -> Self {
        let (evidence, figures, proofs) = (Vec::new(), Vec::new(), Vec::new());
        Self { evidence, facts: S::Facts::default(), figures, proofs, extra: BTreeMap::new() }
    }
}

impl<S: Stage> Receipt<S> {
    /// An empty receipt.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds what was observed for `activity`.
    #[must_use]
    pub fn evidence(self, activity: S::Activity, summary: impl Into<String>) -> Self {
        self.observed(Evidence { activity, summary: summary.into(), observed: BTreeMap::new() })
    }

    /// Adds an evidence with its observed values.
    #[must_use]
    pub fn observed(mut self, evidence: Evidence<S::Activity>) -> Self {
        self.evidence.push(evidence);
        self
    }

    /// Sets the facts that later stages rely on.
    #[must_use]
    pub fn facts(mut self, facts: S::Facts) -> Self {
        self.facts = facts;
        self
    }

    /// Adds a measured value for a quality gate.
    #[must_use]
    pub fn figure(mut self, figure: Figure) -> Self {
        self.figures.push(figure);
        self
    }

    /// Says that the step has proved `proof`: what it observed for that stands in its evidence.
    #[must_use]
    pub fn proved(mut self, proof: Proof) -> Self {
        self.proofs.push(proof);
        self
    }

    /// Adds a named value of a custom step.
    ///
    /// # Errors
    /// [`ErrorKind::Unknown`] when `value` has no JSON form: the step has run by now.
    pub fn extra(mut self, name: impl Into<String>, value: &impl Serialize) -> Result<Self, StepError> {
        self.extra.insert(name.into(), to_json(value)?);
        Ok(self)
    }

    /// Reads a named value that an earlier custom step left.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] without such a value, [`ErrorKind::Invalid`] where it is of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, StepError> {
        let missing =
            || StepError::new(ErrorKind::NotFound, "the receipt has no such value").fact("name", name);
        let value = self.extra.get(name).ok_or_else(missing)?;
        T::deserialize(value).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the receipt's value is of another type")
                .fact("name", name)
                .because(error)
        })
    }

    /// Whether there is evidence for `activity`.
    #[must_use]
    pub fn covers(&self, activity: S::Activity) -> bool {
        self.evidence.iter().any(|evidence| evidence.activity == activity)
    }
}

fn to_json(value: &impl Serialize) -> Result<Value, StepError> {
    serde_json::to_value(value)
        .map_err(|error| StepError::in_doubt("the value has no JSON form").because(error))
}

/// What was observed that shows an activity done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(bound = "", deny_unknown_fields)]
pub struct Evidence<A: Activity> {
    /// The activity that it is evidence for.
    pub activity: A,
    /// One sentence for people.
    pub summary: String,
    /// The observed values by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub observed: BTreeMap<String, Value>,
}

impl<A: Activity> Evidence<A> {
    /// Evidence without observed values.
    pub fn new(activity: A, summary: impl Into<String>) -> Self {
        Self { activity, summary: summary.into(), observed: BTreeMap::new() }
    }

    /// Adds an observed value.
    #[must_use]
    pub fn value(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.observed.insert(name.into(), value.into());
        self
    }
}

/// A built thing, pinned by its digest: a file or a directory under `releases/<sha256>/`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Artifact {
    /// The digest of its content.
    pub digest: Digest,
    /// Where it stands.
    pub path: PathBuf,
}

/// What stage 1 lets later stages rely on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PrepareFacts {
    /// The services in the order they start.
    pub start_order: Vec<Name>,
}

/// What stage 2 lets later stages rely on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BuildFacts {
    /// The commit that was built, as Git prints it.
    pub commit: Option<String>,
    /// The artefacts by name.
    pub artifacts: BTreeMap<Name, Artifact>,
    /// The images by the reference that the registry has them under.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, Digest>,
}

/// What stage 3 lets later stages rely on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MigrateFacts {
    /// The proved backup, if one was made.
    pub backup: Option<Artifact>,
    /// The versions that were applied, in order, as their files name them.
    pub applied: Vec<String>,
    /// The digest of the schema afterwards.
    pub schema: Option<Digest>,
}

/// What stage 4 lets later stages rely on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AssetsFacts {
    /// The paths that changed, as the site serves them.
    pub changed: Vec<String>,
}

/// What stage 5 lets later stages rely on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ServicesFacts {
    /// The version that each service serves now.
    pub serving: BTreeMap<Name, Name>,
}

/// What stage 6 lets later stages rely on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionsFacts {
    /// The published version of each function, as its platform names it.
    pub versions: BTreeMap<Name, String>,
}

/// What stage 7 lets later stages rely on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MonitoringFacts {}

/// What stage 8 leaves behind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifyFacts {
    /// Where the deployment's documents stand.
    pub documents: Vec<PathBuf>,
}
