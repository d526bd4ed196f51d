//! The first moment: what a plan breaks, before anything is changed.

use std::collections::BTreeSet;

use crate::name::Digest;
use crate::plan::{Coverage, Plan, PlannedItem};
use crate::policy::{Border, Proof, Reach, Scripts, Violation, evidence};
use crate::setting::Setting;
use crate::stage::{Activity, MigrateActivity, StageName};

/// Everything in which `plan` breaks the policy of `setting`, at once.
pub(crate) async fn check(setting: &Setting, plan: &Plan) -> Vec<Violation> {
    let environment = setting.environment;
    let laxer = setting.policy.laxer(environment).into_iter();
    let mut violations: Vec<Violation> =
        laxer.map(|(field, problem)| Violation::LaxerThanStandard { field, problem, environment }).collect();
    violations.extend(left_open(setting, plan));
    violations.extend(unprotected(setting, plan));
    violations.extend(out_of_turn(setting, plan));
    violations.extend(unmeasured(setting, plan));
    violations.extend(unproved(setting, plan).await);
    violations
}

/// Everything that a plan says it deploys, its scripts among it.
pub(crate) fn deployed(plan: &Plan) -> BTreeSet<Digest> {
    scripts(plan).into_iter().chain(artefacts(plan)).collect()
}

fn artefacts(plan: &Plan) -> BTreeSet<Digest> {
    plan.items().flat_map(|(_, item)| &item.preview.deploys).chain(&plan.artifacts).copied().collect()
}

fn scripts(plan: &Plan) -> BTreeSet<Digest> {
    plan.items().flat_map(|(_, item)| &item.preview.scripts).copied().collect()
}

/// What earlier runs must have proved and have not.
async fn unproved(setting: &Setting, plan: &Plan) -> Vec<Violation> {
    let mut violations = Vec::new();
    let policy = &setting.policy;
    let asks = policy.proved_in.is_some() || policy.scripts == Scripts::RunBefore;
    if policy.proved_in.is_some() && setting.artifacts.is_empty() {
        violations.push(Violation::ArtifactsNotNamed { environment: setting.environment });
    }
    let Some(store) = &setting.evidence else {
        violations.extend(asks.then_some(Violation::NoEvidenceStore));
        return violations;
    };
    if let Some(environment) = policy.proved_in {
        for digest in artefacts(plan) {
            violations.extend(evidence::tested(setting, &**store, environment, digest).await);
        }
    }
    if policy.scripts == Scripts::RunBefore {
        for digest in scripts(plan) {
            violations.extend(evidence::ran(setting, &**store, digest).await);
        }
    }
    violations
}

/// The proofs that the policy demands and that no step of the plan gives in time.
fn left_open(setting: &Setting, plan: &Plan) -> Vec<Violation> {
    let environment = setting.environment;
    let rows = plan.rows();
    let mut violations: Vec<Violation> = Vec::new();
    for proof in setting.policy.proofs.iter().filter(|proof| is_due(plan, **proof)) {
        let activity = proof.activity();
        let left_out = |coverage: &Coverage| matches!(coverage, Coverage::NotApplicable(_));
        let violation = if rows.iter().any(|row| row.activity == activity && left_out(&row.coverage)) {
            Violation::SafeguardLeftOut { activity, environment }
        } else if Reach::of(plan, proof.border()).items().all(|(_, item)| !item.proves.contains(proof)) {
            Violation::NothingProves { proof: *proof, border: proof.border(), environment }
        } else {
            continue;
        };
        if !violations.contains(&violation) {
            violations.push(violation);
        }
    }
    violations
}

/// A migration is to be verified where there is one.
pub(super) fn is_due(plan: &Plan, proof: Proof) -> bool {
    proof != Proof::MigrationVerified || plan.items().any(|(stage, item)| applies(stage, item))
}

/// Whether `item` applies a migration.
pub(super) fn applies(stage: StageName, item: &PlannedItem) -> bool {
    stage == StageName::Migrate && item.covers.contains(&MigrateActivity::Apply.name())
}

/// Migrations of something that no proved backup covers: a second database is not saved by the first one's backup.
fn unprotected(setting: &Setting, plan: &Plan) -> Vec<Violation> {
    if !setting.policy.proofs.contains(&Proof::BackupRestored) {
        return Vec::new();
    }
    let reach = Reach::of(plan, Border::BeforeApply);
    let saved: BTreeSet<_> = reach
        .items()
        .filter(|(_, item)| item.proves.contains(&Proof::BackupRestored))
        .flat_map(|(_, item)| &item.resources)
        .collect();
    let applying = plan.items().filter(|(stage, item)| applies(*stage, item));
    let bare = applying.flat_map(|(_, item)| item.resources.iter().map(move |resource| (item, resource)));
    bare.filter(|(_, resource)| !saved.contains(resource))
        .map(|(item, resource)| Violation::Unprotected {
            step: item.name.clone(),
            resource: resource.clone(),
        })
        .collect()
}

/// Steps that say they prove something of a migration and stand where they cannot: a backup beside or behind a migration that does
/// not name what it changes, and so may need it; a verification before the last migration is applied, or beside it.
fn out_of_turn(setting: &Setting, plan: &Plan) -> Vec<Violation> {
    let applying: Vec<&PlannedItem> =
        plan.items().filter(|(stage, item)| applies(*stage, item)).map(|(_, item)| item).collect();
    let first = applying.iter().map(|item| item.group).min();
    let last = applying.iter().map(|item| item.group).max();
    let unnamed = applying.iter().filter(|item| item.resources.is_empty()).map(|item| item.group).max();
    let misplaced = |proof: Proof, stage: StageName, item: &PlannedItem| {
        let group = Some(item.group);
        match proof {
            Proof::BackupRestored => stage == StageName::Migrate && group >= first && group <= unnamed,
            Proof::MigrationVerified => {
                last.is_some() && !applies(stage, item) && (stage, group) <= (StageName::Migrate, last)
            }
            _ => false,
        }
    };
    let environment = setting.environment;
    let mut found = Vec::new();
    for proof in &setting.policy.proofs {
        let proving = plan.items().filter(|(_, item)| item.proves.contains(proof));
        let misplaced = proving.filter(|(stage, item)| misplaced(*proof, *stage, item));
        found.extend(misplaced.map(|(_, item)| Violation::ProvedOutOfTurn {
            step: item.name.clone(),
            proof: *proof,
            environment,
        }));
    }
    found
}

/// The figures that the policy demands and that no step of the plan measures.
fn unmeasured(setting: &Setting, plan: &Plan) -> Vec<Violation> {
    let measures = |gate| plan.items().any(|(_, item)| item.measures.contains(&gate));
    let missing = setting.policy.measured().filter(|gate| !measures(*gate));
    missing.map(|gate| Violation::NotMeasured { gate, environment: setting.environment }).collect()
}
