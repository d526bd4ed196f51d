//! A plan of a web shop: steps in every stage but one, one service by canary.

use std::time::Duration;

use flow_core::plan::{
    Declaration, ItemKind, OnFailure, Plan, PlannedItem, PlannedStage, fingerprint, plan_hash,
};
use flow_core::stage::{
    Activity, ActivityName, AssetsActivity, BuildActivity, MigrateActivity, MonitoringActivity,
    PrepareActivity, ServicesActivity, StageName, VerifyActivity,
};
use flow_core::{Actor, Digest, Environment, Name, Preview, Reversibility, name};

pub(crate) fn actor(text: &str) -> Actor {
    Actor::new(text).unwrap()
}

pub(crate) fn item(
    name: Name,
    group: u32,
    covers: Vec<ActivityName>,
    reversibility: Reversibility,
) -> PlannedItem {
    PlannedItem {
        name,
        kind: ItemKind::Step,
        group,
        covers,
        reversibility,
        deadline: Duration::from_mins(10),
        resources: Vec::new(),
        proves: Vec::new(),
        measures: Vec::new(),
        definition: serde_json::Value::Null,
        preview: Preview::new(),
    }
}

fn names<A: Activity>(activities: &[A]) -> Vec<ActivityName> {
    activities.iter().map(|activity| activity.name()).collect()
}

fn stage(stage: StageName, items: Vec<PlannedItem>) -> PlannedStage {
    PlannedStage { stage, not_applicable: None, without: Vec::new(), items }
}

/// The same plan with its digests worked out again.
pub(crate) fn sealed(mut plan: Plan) -> Plan {
    plan.fingerprint = fingerprint(&plan);
    plan.hash = plan_hash(&plan);
    plan
}

fn first_half(say: &dyn Fn(&str) -> String) -> Vec<PlannedStage> {
    use Reversibility::{NothingToUndo, Reversible};
    let prepared = [PrepareActivity::Scope, PrepareActivity::EnvironmentState];
    let ordered = [PrepareActivity::DependencyOrder, PrepareActivity::RollbackPlan];
    let built = [BuildActivity::CodeVersion, BuildActivity::BuildScripts, BuildActivity::Configuration];
    let saved = [MigrateActivity::Scripts, MigrateActivity::Backup];
    let applied = [MigrateActivity::Apply, MigrateActivity::Impact];
    let no_image = Declaration { reason: say("one static program, no container"), by: actor(&say("ann")) };
    vec![
        stage(
            StageName::Prepare,
            vec![
                item(name!("scope"), 0, names(&prepared), NothingToUndo),
                item(name!("order"), 1, names(&ordered), NothingToUndo),
            ],
        ),
        PlannedStage {
            without: vec![(BuildActivity::Image.name(), no_image)],
            ..stage(StageName::Build, vec![item(name!("compile"), 0, names(&built), NothingToUndo)])
        },
        stage(
            StageName::Migrate,
            vec![
                item(name!("backup"), 0, names(&saved), NothingToUndo),
                item(name!("schema"), 1, names(&applied), Reversible),
            ],
        ),
        stage(StageName::Assets, vec![item(name!("upload"), 0, names(AssetsActivity::ALL), Reversible)]),
    ]
}

fn second_half(say: &dyn Fn(&str) -> String) -> Vec<PlannedStage> {
    use Reversibility::{Compensate, NothingToUndo, Reversible};
    let rolled =
        [ServicesActivity::Stop, ServicesActivity::Update, ServicesActivity::Start, ServicesActivity::Health];
    let alerts =
        [MonitoringActivity::Alerts, MonitoringActivity::NotificationTest, MonitoringActivity::Dashboards];
    let logs = [MonitoringActivity::Logs, MonitoringActivity::Apm];
    let smoke = [VerifyActivity::Functional, VerifyActivity::UserJourney, VerifyActivity::Performance];
    let told = [VerifyActivity::Documentation, VerifyActivity::Handover];
    let web = PlannedItem {
        kind: ItemKind::Rollout { strategy: name!("canary") },
        ..item(name!("web"), 0, names(&rolled), Reversible)
    };
    let declared = |reason: &str| Declaration { reason: say(reason), by: actor(&say("ann")) };
    let how = say("the rules of the earlier release are put back");
    vec![
        PlannedStage {
            without: vec![(ServicesActivity::InstallDependencies.name(), declared("nothing to install"))],
            ..stage(StageName::Services, vec![web])
        },
        PlannedStage {
            not_applicable: Some(declared("no cloud functions in this release")),
            ..stage(StageName::Functions, Vec::new())
        },
        stage(
            StageName::Monitoring,
            vec![
                item(name!("alerts"), 0, names(&alerts), Compensate { how }),
                item(name!("logs"), 0, names(&logs), Reversible),
            ],
        ),
        stage(
            StageName::Verify,
            vec![
                item(name!("smoke"), 0, names(&smoke), NothingToUndo),
                item(name!("handover"), 1, names(&told), NothingToUndo),
            ],
        ),
    ]
}

/// The plan of release 1.1.0 to production. Every free text of it goes through `say`.
pub(crate) fn shop(say: &dyn Fn(&str) -> String) -> Plan {
    let mut stages = first_half(say);
    stages.extend(second_half(say));
    let unknown = Digest::from_bytes([0; 32]);
    sealed(Plan {
        application: name!("shop"),
        environment: Environment::Production,
        release: name!("1.1.0"),
        artifacts: vec![Digest::of(b"web 1.1.0")],
        initiator: actor(&say("ann")),
        on_failure: OnFailure::RollBack,
        keep_warm: Duration::from_mins(10),
        approvals: 1,
        policy: None,
        stages,
        fingerprint: unknown,
        hash: unknown,
    })
}

/// A plan for a developer's machine: four stages are left out, and a whole stage is one step.
pub(crate) fn sparse(say: &dyn Fn(&str) -> String) -> Plan {
    let mut plan = shop(say);
    plan.environment = Environment::Development;
    plan.artifacts.clear();
    plan.approvals = 0;
    plan.keep_warm = Duration::ZERO;
    for planned in &mut plan.stages {
        let left_out = matches!(
            planned.stage,
            StageName::Migrate | StageName::Assets | StageName::Services | StageName::Monitoring
        );
        if left_out {
            planned.items.clear();
            planned.without.clear();
            let reason = say("a change of the command line alone");
            planned.not_applicable = Some(Declaration { reason, by: actor(&say("carl")) });
        }
    }
    sealed(plan)
}
