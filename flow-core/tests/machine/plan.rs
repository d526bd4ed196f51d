//! A plan with every kind of item: single steps, a group of two, a rollout, one with nothing to undo, and maybe one
//! without a way back.

use std::time::Duration;

use flow_core::plan::{
    Declaration, ItemKind, OnFailure, Plan, PlannedItem, PlannedStage, fingerprint, plan_hash,
};
use flow_core::stage::StageName;
use flow_core::{Actor, Digest, Environment, Name, Preview, Reversibility, name};

fn item(
    name: &str,
    group: u32,
    kind: ItemKind,
    reversibility: Reversibility,
    stage: StageName,
) -> PlannedItem {
    PlannedItem {
        name: Name::new(name).unwrap(),
        kind,
        group,
        covers: stage.activities(),
        reversibility,
        deadline: Duration::from_secs(60),
        resources: Vec::new(),
        proves: Vec::new(),
        measures: Vec::new(),
        definition: serde_json::Value::Null,
        preview: Preview::new(),
    }
}

pub(crate) fn plan(irreversible: bool) -> Plan {
    let step = |name: &str, group, stage| item(name, group, ItemKind::Step, Reversibility::Reversible, stage);
    let stages = StageName::ALL.map(|stage| {
        let migration = if irreversible {
            Reversibility::Irreversible { reason: "no down".to_owned() }
        } else {
            Reversibility::Reversible
        };
        let rollout = ItemKind::Rollout { strategy: name!("blue-green") };
        let items = match stage {
            StageName::Build => vec![item("build", 0, ItemKind::Step, Reversibility::NothingToUndo, stage)],
            StageName::Migrate => {
                vec![step("backup", 0, stage), item("migrate", 1, ItemKind::Step, migration, stage)]
            }
            StageName::Assets => {
                vec![step("upload", 0, stage), step("purge", 0, stage), step("check", 1, stage)]
            }
            StageName::Services => vec![item("web", 0, rollout, Reversibility::Reversible, stage)],
            StageName::Functions => Vec::new(),
            _ => vec![step(&stage.to_string().to_lowercase(), 0, stage)],
        };
        let by = Actor::new("ann").unwrap();
        let left_out = items.is_empty().then(|| Declaration { reason: "none".to_owned(), by });
        PlannedStage { stage, not_applicable: left_out, without: Vec::new(), items }
    });
    let mut plan = Plan {
        application: name!("shop"),
        environment: Environment::Staging,
        release: name!("1.1.0"),
        artifacts: Vec::new(),
        initiator: Actor::new("ann").unwrap(),
        on_failure: OnFailure::RollBack,
        keep_warm: Duration::ZERO,
        approvals: 0,
        policy: None,
        stages: stages.to_vec(),
        fingerprint: Digest::of(b""),
        hash: Digest::of(b""),
    };
    plan.fingerprint = fingerprint(&plan);
    plan.hash = plan_hash(&plan);
    plan
}
