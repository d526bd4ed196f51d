//! What earlier runs proved of what a plan deploys.

use jiff::{SignedDuration, Timestamp};

use crate::environment::Environment;
use crate::error::Cause;
use crate::name::Digest;
use crate::policy::{Policy, Proof, Violation};
use crate::port::{EvidenceStore, RunEvidence};
use crate::setting::Setting;

/// How far the clocks of two controllers may be apart.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// What the store has for one digest in one environment.
struct Found {
    /// What can be relied on now, oldest first.
    live: Vec<RunEvidence>,
    /// When the latest of the others expired.
    expired: Option<Timestamp>,
    /// What is no evidence of this.
    foreign: Vec<Violation>,
}

async fn find(
    setting: &Setting,
    store: &dyn EvidenceStore,
    environment: Environment,
    digest: Digest,
) -> Result<Found, Violation> {
    let all = store.find(&setting.application, environment, &digest).await.map_err(|error| {
        Violation::EvidenceUnreadable { digest, problem: Cause::from(&error).to_string() }
    })?;
    let now = setting.clock.now();
    let mut found = Found { live: Vec::new(), expired: None, foreign: Vec::new() };
    for evidence in all {
        if let Some(of) = foreign(setting, environment, &digest, &evidence, now) {
            found.foreign.push(Violation::EvidenceForeign { digest, run: evidence.run, found: of });
            continue;
        }
        let until = until(&setting.policy, &evidence);
        if until <= now {
            found.expired = found.expired.max(Some(until));
        } else {
            found.live.push(evidence);
        }
    }
    Ok(found)
}

/// Of what else `evidence` is than what was asked for, if it is. A store's answer is not believed blindly.
fn foreign(
    setting: &Setting,
    environment: Environment,
    digest: &Digest,
    evidence: &RunEvidence,
    now: Timestamp,
) -> Option<String> {
    if evidence.application != setting.application {
        return Some(format!("of the application `{}`", evidence.application));
    }
    if evidence.environment != environment {
        return Some(format!("of {}", evidence.environment));
    }
    if !evidence.digests.contains(digest) {
        return Some("for other digests".to_owned());
    }
    let latest = now.checked_add(SKEW).unwrap_or(Timestamp::MAX);
    (evidence.recorded > latest).then(|| format!("recorded at {}, which is yet to come", evidence.recorded))
}

/// Until when evidence counts: as long as the run that recorded it said, and no longer than this policy lets it.
fn until(policy: &Policy, evidence: &RunEvidence) -> Timestamp {
    let lasts = evidence.recorded.checked_add(policy.evidence_lasts).unwrap_or(Timestamp::MAX);
    lasts.min(evidence.expires)
}

/// What is missing of the complete tests of `digest` in `environment`: one run must have had all of them.
pub(super) async fn tested(
    setting: &Setting,
    store: &dyn EvidenceStore,
    environment: Environment,
    digest: Digest,
) -> Vec<Violation> {
    let Found { live, expired, foreign } = match find(setting, store, environment, digest).await {
        Ok(found) => found,
        Err(unreadable) => return vec![unreadable],
    };
    let missing = |evidence: &RunEvidence| -> Vec<Proof> {
        setting.policy.tests.iter().filter(|test| !evidence.proved.contains(test)).copied().collect()
    };
    if live.iter().any(|evidence| missing(evidence).is_empty()) {
        return Vec::new();
    }
    // A foreign record is named only where nothing else serves: it may hide the reason.
    let mut violations = foreign;
    match (live.last(), expired) {
        (Some(latest), _) => {
            violations.extend(missing(latest).into_iter().map(|missing| Violation::TestsIncomplete {
                digest,
                environment,
                run: latest.run.clone(),
                missing,
            }));
        }
        (None, Some(expired)) => {
            violations.push(Violation::ProofExpired { digest, environment, expired });
        }
        (None, None) => violations.push(Violation::NotProved { digest, environment }),
    }
    violations
}

/// What is missing for the script `digest` to run: a completed run of it in any lower environment.
pub(super) async fn ran(setting: &Setting, store: &dyn EvidenceStore, digest: Digest) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut expired = None;
    for environment in Environment::ALL.into_iter().filter(|lower| *lower < setting.environment) {
        match find(setting, store, environment, digest).await {
            Ok(found) if !found.live.is_empty() => return Vec::new(),
            Ok(found) => {
                violations.extend(found.foreign);
                expired = expired.max(found.expired.map(|expired| (expired, environment)));
            }
            Err(unreadable) => violations.push(unreadable),
        }
    }
    match expired {
        Some((expired, environment)) => {
            violations.push(Violation::ProofExpired { digest, environment, expired });
        }
        None => violations.push(Violation::ScriptNotRun { digest, environment: setting.environment }),
    }
    violations
}
