//! Makes a plan: checks every item, previews it, and reports everything that is wrong at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::context::ContextParts;
use crate::engine::{Item, Items};
use crate::error::Cause;
use crate::name::{Digest, Name};
use crate::plan::{
    Coverage, Declaration, Plan, PlanError, PlanProblem, PlannedItem, PlannedStage, fingerprint, plan_hash,
};
use crate::policy;
use crate::setting::Setting;
use crate::stage::{ActivityName, StageName};

/// One stage's work without its type.
pub(crate) struct StageWork {
    pub(crate) stage: StageName,
    pub(crate) groups: Items,
    pub(crate) not_applicable: Option<Declaration>,
    pub(crate) without: Vec<(ActivityName, Declaration)>,
}

/// Plans all eight stages under `setting`. Changes nothing.
pub(crate) async fn plan(setting: &Setting, stages: &[StageWork]) -> Result<Plan, PlanError> {
    let mut problems: Vec<PlanProblem> =
        setting.check().as_slice().iter().cloned().map(PlanProblem::Setting).collect();
    problems.extend(duplicates(stages));
    problems.extend(stages.iter().flat_map(without_reason));
    let parts = Arc::new(parts(setting));
    let mut planned = Vec::with_capacity(stages.len());
    for work in stages {
        if work.groups.iter().all(Vec::is_empty) && work.not_applicable.is_none() {
            problems.push(PlanProblem::EmptyStage(work.stage));
        }
        let mut items = Vec::new();
        for (group, together) in (0..).zip(&work.groups) {
            for item in together {
                match plan_item(setting, &parts, &**item).await {
                    Ok(item) => items.push(PlannedItem { group, ..item }),
                    Err(found) => problems.extend(found),
                }
            }
        }
        let (not_applicable, without) = (work.not_applicable.clone(), work.without.clone());
        planned.push(PlannedStage { stage: work.stage, not_applicable, without, items });
    }
    let plan = assemble(setting, planned);
    // Coverage and policy are judged on a plan that has all its items; before that they would only echo what is missing.
    if problems.is_empty() {
        problems.extend(coverage(&plan));
        problems.extend(policy::check(setting, &plan).await.into_iter().map(PlanProblem::Violation));
    }
    if problems.is_empty() { Ok(plan) } else { Err(PlanError { problems }) }
}

fn parts(setting: &Setting) -> ContextParts {
    ContextParts {
        run: None,
        application: setting.application.clone(),
        environment: setting.environment,
        release: setting.release.clone(),
        artifacts: setting.artifacts.clone(),
        initiator: setting.initiator.clone(),
        clock: setting.clock.clone(),
        plan: None,
        receipts: Arc::default(),
        earlier: Arc::default(),
    }
}

async fn plan_item(
    setting: &Setting,
    parts: &Arc<ContextParts>,
    item: &dyn Item,
) -> Result<PlannedItem, Vec<PlanProblem>> {
    let (stage, step) = (item.stage(), item.name());
    let checked = item.check();
    let invalid = |problem: &crate::Problem| PlanProblem::Invalid {
        stage,
        step: step.clone(),
        problem: problem.clone(),
    };
    let mut problems: Vec<PlanProblem> = checked.as_slice().iter().map(invalid).collect();
    if item.seals() && setting.vault.is_none() {
        problems.push(PlanProblem::NoVault { stage, step: step.clone() });
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    match item.preview(setting, parts.clone()).await {
        Ok(preview) => Ok(PlannedItem { preview, ..item.outline() }),
        Err(error) => Err(vec![PlanProblem::Preview { stage, step, cause: Cause::from(&error) }]),
    }
}

/// The fingerprint of the definition alone: what a resume compares, without looking at the world.
pub(crate) fn definition(setting: &Setting, stages: &[StageWork]) -> Digest {
    let outline = |work: &StageWork| {
        let items =
            (0..).zip(&work.groups).flat_map(|(group, items)| items.iter().map(move |item| (group, item)));
        let items = items.map(|(group, item)| PlannedItem { group, ..item.outline() }).collect();
        let (not_applicable, without) = (work.not_applicable.clone(), work.without.clone());
        PlannedStage { stage: work.stage, not_applicable, without, items }
    };
    assemble(setting, stages.iter().map(outline).collect()).fingerprint
}

fn assemble(setting: &Setting, stages: Vec<PlannedStage>) -> Plan {
    let unknown = Digest::from_bytes([0; 32]);
    let mut plan = Plan {
        application: setting.application.clone(),
        environment: setting.environment,
        release: setting.release.clone(),
        artifacts: setting.artifacts.clone(),
        initiator: setting.initiator.clone(),
        on_failure: setting.on_failure,
        keep_warm: setting.keep_warm,
        approvals: setting.policy.approvals,
        policy: Some(Box::new(setting.policy.clone())),
        stages,
        fingerprint: unknown,
        hash: unknown,
    };
    plan.fingerprint = fingerprint(&plan);
    plan.hash = plan_hash(&plan);
    plan
}

/// What a stage leaves out without saying why.
fn without_reason(work: &StageWork) -> Vec<PlanProblem> {
    let whole = work.not_applicable.iter().map(|declared| (work.stage.to_string(), declared));
    let parts = work.without.iter().map(|(activity, declared)| (activity.to_string(), declared));
    let silent = whole.chain(parts).filter(|(_, declared)| declared.reason.trim().is_empty());
    silent.map(|(place, _)| PlanProblem::NoReason(place)).collect()
}

fn duplicates(stages: &[StageWork]) -> Vec<PlanProblem> {
    let mut seen: BTreeMap<Name, StageName> = BTreeMap::new();
    let items = stages.iter().flat_map(|work| work.groups.iter().flatten());
    let duplicate = |item: &Arc<dyn Item>| {
        let (step, second) = (item.name(), item.stage());
        let first = seen.insert(step.clone(), second)?;
        Some(PlanProblem::DuplicateName { step, first, second })
    };
    items.filter_map(duplicate).collect()
}

fn coverage(plan: &Plan) -> Vec<PlanProblem> {
    let missing = plan.rows().into_iter().filter(|row| row.coverage == Coverage::Missing);
    let missing = missing.map(|row| PlanProblem::NotCovered(row.activity));
    let contradictions = plan.stages.iter().flat_map(|stage| {
        stage.items.iter().flat_map(|item| {
            let declared = |activity: &&ActivityName| {
                stage.not_applicable.is_some()
                    || stage.without.iter().any(|(left_out, _)| left_out == *activity)
            };
            let contradiction = |activity: &ActivityName| PlanProblem::Contradiction {
                activity: activity.clone(),
                step: item.name.clone(),
            };
            item.covers.iter().filter(declared).map(contradiction)
        })
    });
    missing.chain(contradictions).collect()
}

/// Puts rollouts in the order of what they need, and leaves everything else where it stands.
///
/// A rollout keeps the place of a rollout: the places are filled in dependency order, each service after those that it
/// needs, otherwise as written.
pub(crate) fn in_order(groups: Items) -> Result<Items, Vec<PlanProblem>> {
    let rollouts: Vec<&Arc<dyn Item>> =
        groups.iter().flatten().filter(|item| item.order().is_some()).collect();
    let names: Vec<Name> = rollouts.iter().map(|item| item.name()).collect();
    let mut problems = Vec::new();
    let mut waiting: Vec<(&Arc<dyn Item>, Vec<Name>)> = Vec::new();
    for item in rollouts {
        let needs = item.order().map(|(_, needs)| needs.to_vec()).unwrap_or_default();
        for needed in needs.iter().filter(|needed| !names.contains(needed)) {
            problems.push(PlanProblem::UnknownService { service: item.name(), needs: needed.clone() });
        }
        waiting.push((item, needs));
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let mut ordered: Vec<Arc<dyn Item>> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let started: Vec<Name> = ordered.iter().map(|item| item.name()).collect();
        let free = waiting.iter().position(|(_, needs)| needs.iter().all(|needed| started.contains(needed)));
        let Some(free) = free else { return Err(vec![PlanProblem::Cycle(cycle(&waiting))]) };
        ordered.push(waiting.remove(free).0.clone());
    }
    let mut ordered = ordered.into_iter();
    let place =
        |item: Arc<dyn Item>| if item.order().is_some() { ordered.next().unwrap_or(item) } else { item };
    let mut place = place;
    Ok(groups.into_iter().map(|group| group.into_iter().map(&mut place).collect()).collect())
}

/// One circle among services that all wait: follow what each one needs until a name comes again.
fn cycle(waiting: &[(&Arc<dyn Item>, Vec<Name>)]) -> Vec<Name> {
    let mut path: Vec<Name> = Vec::new();
    let mut at = waiting.first().map(|(item, _)| item.name());
    while let Some(name) = at {
        if let Some(start) = path.iter().position(|passed| *passed == name) {
            path.drain(..start);
            path.push(name);
            break;
        }
        let blocked = |needed: &&Name| waiting.iter().any(|(item, _)| item.name() == **needed);
        let needs = waiting.iter().find(|(item, _)| item.name() == name).map(|(_, needs)| needs);
        at = needs.and_then(|needs| needs.iter().find(blocked).cloned());
        path.push(name);
    }
    path
}
