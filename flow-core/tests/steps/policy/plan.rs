//! What is refused when the plan is made.

use flow_core::gate::StandardGate;
use flow_core::policy::{Border, Policy, Proof, Violation};
use flow_core::port::{Migrator, SecurityAspect};
use flow_core::stage::{
    Activity, Migrate, MigrateActivity, Prepare, PrepareActivity, Verify, VerifyActivity,
};
use flow_core::steps::{
    ApplyMigrations, AssessImpact, BackUp, CheckFunctions, CheckJourney, CheckScripts, ConfirmOrder,
    ConfirmScope, Expectation, HandOver, MeasurePerformance, WriteDocuments,
};
use flow_core::{Actor, Environment, Step, Work, name};
use flow_testkit::fake::{FakeMigrator, Migration, Statement};
use std::sync::Arc;

use super::claims::Claims;
use super::line::Line;
use crate::whole::Shop;

const PRODUCTION: Environment = Environment::Production;

fn ann() -> Actor {
    Actor::new("ann").unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_release_that_keeps_everything_goes_from_staging_to_production() {
    let line = Line::promoted().await;
    line.run(&line.workflow(), &line.production(), "production").await.unwrap();
    assert_eq!(line.shop.page(), "page 1.0.0");
    let evidence = line.shop.evidence.all();
    assert_eq!(evidence.last().unwrap().proved, Proof::ALL);
}

#[tokio::test(start_paused = true)]
async fn everything_that_a_plan_breaks_is_said_at_once() {
    let line = Line::new();
    let mut setting = line.production();
    setting.artifacts.truncate(1);
    let digest = setting.artifacts[0];
    let mut workflow = line.workflow();
    workflow.prepare = Work::step(ConfirmScope::new())
        .then(ConfirmOrder::new())
        .without(PrepareActivity::EnvironmentState, "we know it")
        .by(ann())
        .without(PrepareActivity::RollbackPlan, "nothing goes wrong")
        .by(ann());
    let violations = line.refused(&workflow, &setting).await;
    let left_out = |activity: PrepareActivity| Violation::SafeguardLeftOut {
        activity: activity.name(),
        environment: PRODUCTION,
    };
    assert!(violations.contains(&left_out(PrepareActivity::RollbackPlan)), "{violations:?}");
    assert!(violations.contains(&left_out(PrepareActivity::EnvironmentState)), "{violations:?}");
    let unproved = Violation::NotProved { digest, environment: Environment::Staging };
    assert!(violations.contains(&unproved), "{violations:?}");
    let scripts = violations.iter().filter(|found| matches!(found, Violation::ScriptNotRun { .. })).count();
    assert_eq!(scripts, 4, "up, down, the installation and its undo: {violations:?}");
    assert_eq!(violations.len(), 7, "{violations:?}");
}

#[tokio::test(start_paused = true)]
async fn prohibition_1_production_names_its_artefacts() {
    let line = Line::promoted().await;
    let mut setting = line.production();
    setting.artifacts.clear();
    let violations = line.refused(&line.workflow(), &setting).await;
    assert_eq!(violations, [Violation::ArtifactsNotNamed { environment: PRODUCTION }]);
}

/// Staging without one of the three tests.
fn untested(shop: &Shop, left_out: VerifyActivity) -> flow_core::Workflow {
    let world = Arc::new(shop.world.clone());
    let app = || Expectation::of(crate::whole::APP).containing("welcome");
    let mut verify = Work::step(WriteDocuments::new(world.clone(), name!("change.md")))
        .then(HandOver::new(world.clone(), "Watch the queue."));
    if left_out != VerifyActivity::Functional {
        verify = verify.then(CheckFunctions::new(world.clone(), [app()]));
    }
    if left_out != VerifyActivity::Performance {
        verify = verify.then(MeasurePerformance::new(world.clone(), app()));
    }
    if left_out != VerifyActivity::UserJourney {
        verify = verify.then(CheckJourney::new(world, [app()]));
    }
    let mut workflow = shop.workflow(&name!("1.0.0"));
    workflow.verify = verify.without(left_out, "no time").by(ann());
    workflow
}

#[tokio::test(start_paused = true)]
async fn prohibition_1_each_test_that_staging_left_out_is_named_for_each_artefact() {
    for (left_out, missing) in [
        (VerifyActivity::Functional, Proof::FunctionalTest),
        (VerifyActivity::Performance, Proof::PerformanceTest),
        (VerifyActivity::UserJourney, Proof::UserJourney),
    ] {
        let line = Line::new();
        let staging = line.setting(Environment::Staging);
        line.run(&untested(&line.staging, left_out), &staging, "staging").await.unwrap();
        let setting = line.production();
        let violations = line.refused(&line.workflow(), &setting).await;
        let run = flow_core::RunId::new("staging").unwrap();
        let mut digests = setting.artifacts.clone();
        digests.sort_unstable();
        let expected: Vec<Violation> = digests
            .into_iter()
            .map(|digest| Violation::TestsIncomplete {
                digest,
                environment: Environment::Staging,
                run: run.clone(),
                missing,
            })
            .collect();
        assert_eq!(violations, expected);
    }
}

fn migrating(migrator: &Arc<FakeMigrator>, backup: Option<BackUp>) -> Work<Migrate> {
    let migrator: Arc<dyn Migrator> = migrator.clone();
    let checked = Work::step(CheckScripts::new(migrator.clone())).then(AssessImpact::new(migrator.clone()));
    match backup {
        Some(backup) => checked.then(backup).then(ApplyMigrations::new(migrator)),
        None => checked.then(ApplyMigrations::new(migrator)),
    }
}

#[tokio::test(start_paused = true)]
async fn prohibition_2_a_backup_left_out_is_refused() {
    let line = Line::promoted().await;
    let mut workflow = line.workflow();
    let database = Arc::new(line.shop.world.database.clone());
    workflow.migrate = migrating(&database, None).without(MigrateActivity::Backup, "it is large").by(ann());
    let activity = MigrateActivity::Backup.name();
    let violations = line.refused(&workflow, &line.production()).await;
    assert_eq!(
        violations,
        [
            Violation::SafeguardLeftOut { activity, environment: PRODUCTION },
            Violation::Unprotected { step: name!("apply-migrations"), resource: name!("database") },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn prohibition_2_a_backup_that_comes_too_late_or_is_never_restored_is_refused() {
    let line = Line::promoted().await;
    let database = Arc::new(line.shop.world.database.clone());
    let missing = Violation::NothingProves {
        proof: Proof::BackupRestored,
        border: Border::BeforeApply,
        environment: PRODUCTION,
    };
    let unprotected = Violation::Unprotected { step: name!("apply-migrations"), resource: name!("database") };
    let mut workflow = line.workflow();
    workflow.migrate = migrating(&database, None).then(BackUp::new(database.clone()));
    assert_eq!(line.refused(&workflow, &line.production()).await, [missing.clone(), unprotected.clone()]);
    let written = Claims::<Migrate>::new(name!("dump"), &[MigrateActivity::Backup]);
    workflow.migrate = Work::step(written).then_work(migrating(&database, None));
    assert_eq!(line.refused(&workflow, &line.production()).await, [missing, unprotected]);
}

#[tokio::test(start_paused = true)]
async fn prohibition_2_a_second_database_is_not_saved_by_the_first_ones_backup() {
    let line = Line::promoted().await;
    let database = Arc::new(line.shop.world.database.clone());
    let mut workflow = line.workflow();
    let second = Claims::<Migrate> {
        says: vec![Proof::MigrationVerified],
        resources: vec![name!("ledger")],
        ..Claims::new(name!("migrate-ledger"), &[MigrateActivity::Apply])
    };
    workflow.migrate = migrating(&database, Some(BackUp::new(database.clone()))).then(second);
    let violations = line.refused(&workflow, &line.production()).await;
    assert_eq!(
        violations,
        [Violation::Unprotected { step: name!("migrate-ledger"), resource: name!("ledger") }]
    );
}

#[tokio::test(start_paused = true)]
async fn prohibition_2_a_migration_that_nobody_verifies_is_refused() {
    let line = Line::promoted().await;
    let database = Arc::new(line.shop.world.database.clone());
    let mut workflow = line.workflow();
    let blind = Claims::<Migrate>::new(name!("psql"), &[MigrateActivity::Apply]);
    workflow.migrate = Work::step(CheckScripts::new(database.clone()))
        .then(AssessImpact::new(database.clone()))
        .then(BackUp::new(database))
        .then(blind);
    let (proof, border) = (Proof::MigrationVerified, Border::Migrated);
    let violations = line.refused(&workflow, &line.production()).await;
    assert_eq!(violations, [Violation::NothingProves { proof, border, environment: PRODUCTION }]);
}

#[tokio::test(start_paused = true)]
async fn prohibition_2_a_backup_beside_the_migration_that_depends_on_it_is_refused() {
    let line = Line::promoted().await;
    let database = Arc::new(line.shop.world.database.clone());
    let mut workflow = line.workflow();
    let checked =
        || Work::step(CheckScripts::new(database.clone())).then(AssessImpact::new(database.clone()));
    workflow.migrate = checked().then_work(Work::together([
        Arc::new(BackUp::new(database.clone())) as Arc<dyn Step<Migrate>>,
        Arc::new(ApplyMigrations::new(database.clone())),
    ]));
    let (proof, border) = (Proof::BackupRestored, Border::BeforeApply);
    let unprotected = |step, resource| Violation::Unprotected { step, resource };
    assert_eq!(
        line.refused(&workflow, &line.production()).await,
        [
            Violation::NothingProves { proof, border, environment: PRODUCTION },
            unprotected(name!("apply-migrations"), name!("database")),
        ]
    );
    // Behind another backup, with what it changes named and not.
    let (dump, psql) = (name!("dump"), name!("psql"));
    let out_of_turn = Violation::ProvedOutOfTurn { step: dump.clone(), proof, environment: PRODUCTION };
    for (changes, violation) in
        [(vec![name!("ledger")], unprotected(psql.clone(), name!("ledger"))), (vec![], out_of_turn)]
    {
        let saves = Claims::<Migrate> {
            says: vec![proof],
            resources: vec![name!("ledger")],
            ..Claims::new(dump.clone(), &[MigrateActivity::Backup])
        };
        let applies = Claims::<Migrate> {
            says: vec![Proof::MigrationVerified],
            resources: changes,
            ..Claims::new(psql.clone(), &[MigrateActivity::Apply])
        };
        workflow.migrate = checked()
            .then(BackUp::new(database.clone()))
            .then_work(Work::together([Arc::new(saves) as Arc<dyn Step<Migrate>>, Arc::new(applies)]));
        assert_eq!(line.refused(&workflow, &line.production()).await, [violation]);
    }
}

#[tokio::test(start_paused = true)]
async fn prohibition_2_a_verification_beside_the_migration_or_before_it_is_refused() {
    let line = Line::promoted().await;
    let database = Arc::new(line.shop.world.database.clone());
    let mut workflow = line.workflow();
    let proof = Proof::MigrationVerified;
    let looks = || Claims::<Migrate> {
        says: vec![proof],
        ..Claims::new(name!("count-rows"), &[MigrateActivity::Impact])
    };
    let psql = || Claims::<Migrate>::new(name!("psql"), &[MigrateActivity::Apply]);
    let saved = || Work::step(CheckScripts::new(database.clone())).then(BackUp::new(database.clone()));
    let refused = [Violation::ProvedOutOfTurn { step: name!("count-rows"), proof, environment: PRODUCTION }];
    let beside = Work::together([Arc::new(looks()) as Arc<dyn Step<Migrate>>, Arc::new(psql())]);
    for misplaced in [beside, Work::step(looks()).then(psql())] {
        workflow.migrate = saved().then_work(misplaced);
        assert_eq!(line.refused(&workflow, &line.production()).await, refused);
    }
    workflow.migrate = saved().then(psql()).then(looks());
    workflow.plan(&line.production()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn prohibition_3_a_script_that_never_ran_below_is_refused_and_one_that_did_runs() {
    let line = Line::promoted().await;
    let script =
        Migration::new("1", [Statement::create("t1"), Statement::add("t1", 1, "edited after staging")])
            .undone_by([Statement::drop("t1")]);
    let edited = script.script().up;
    line.shop.world.database.write(script.clone());
    let violations = line.refused(&line.workflow(), &line.production()).await;
    assert_eq!(violations, [Violation::ScriptNotRun { digest: edited, environment: PRODUCTION }]);
    // The testing environment is a lower one too.
    let testing = line.shop.beside();
    testing.world.database.write(script);
    let setting = line.setting(Environment::Testing);
    line.run(&testing.workflow(&name!("1.0.0")), &setting, "testing").await.unwrap();
    line.run(&line.workflow(), &line.production(), "production").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn prohibition_4_security_and_permissions_left_out_are_refused_each() {
    let line = Line::promoted().await;
    for (aspect, proof) in [
        (SecurityAspect::Configuration, Proof::Permissions),
        (SecurityAspect::Permissions, Proof::SecurityConfiguration),
    ] {
        let mut workflow = line.workflow();
        workflow.prepare = line.shop.prepared(&[aspect]);
        let violations = line.refused(&workflow, &line.production()).await;
        let border = Border::Prepared;
        assert_eq!(violations, [Violation::NothingProves { proof, border, environment: PRODUCTION }]);
    }
}

#[tokio::test(start_paused = true)]
async fn prohibition_4_an_open_door_refuses_the_plan_and_names_all_that_is_open() {
    let line = Line::promoted().await;
    line.shop.world.state().open = [
        (SecurityAspect::Configuration, "ajar".to_owned()),
        (SecurityAspect::Permissions, "open".to_owned()),
    ]
    .into();
    let before = line.seen();
    let refused = line.workflow().plan(&line.production()).await.unwrap_err().to_string();
    assert_eq!(line.seen(), before);
    let told = ["firewall: the door: `ajar, must be closed`", "accounts: the door: `open, must be closed`"];
    assert!(told.iter().all(|told| refused.contains(told)), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn prohibition_5_a_plan_without_a_rollback_plan_is_refused() {
    let line = Line::promoted().await;
    let mut workflow = line.workflow();
    let checks = line.shop.checks(&[SecurityAspect::Configuration, SecurityAspect::Permissions]);
    workflow.prepare = Work::step(ConfirmScope::new())
        .then(checks)
        .then(ConfirmOrder::new())
        .without(PrepareActivity::RollbackPlan, "nothing goes wrong")
        .by(ann());
    let activity = PrepareActivity::RollbackPlan.name();
    let violations = line.refused(&workflow, &line.production()).await;
    assert_eq!(violations, [Violation::SafeguardLeftOut { activity, environment: PRODUCTION }]);
    let silent = Claims::<Prepare>::new(name!("wiki"), &[PrepareActivity::RollbackPlan]);
    let checks = line.shop.checks(&[SecurityAspect::Configuration, SecurityAspect::Permissions]);
    workflow.prepare = Work::step(ConfirmScope::new()).then(checks).then(ConfirmOrder::new()).then(silent);
    let (proof, border) = (Proof::RollbackPlan, Border::Prepared);
    let violations = line.refused(&workflow, &line.production()).await;
    assert_eq!(violations, [Violation::NothingProves { proof, border, environment: PRODUCTION }]);
}

/// Stage 8 by steps that test everything and measure every figure but one.
fn measuring_all_but(left_out: StandardGate) -> Work<Verify> {
    let measures: Vec<StandardGate> =
        StandardGate::ALL.into_iter().filter(|gate| *gate != left_out).collect();
    let claims = Claims::<Verify> {
        says: Proof::TESTS.to_vec(),
        measures,
        ..Claims::new(name!("smoke"), VerifyActivity::ALL)
    };
    Work::step(claims)
}

#[tokio::test(start_paused = true)]
async fn each_demanded_figure_that_nothing_measures_is_refused_unless_somebody_answers_for_it() {
    let line = Line::promoted().await;
    for gate in StandardGate::ALL {
        let mut workflow = line.workflow();
        workflow.verify = measuring_all_but(gate);
        let violations = line.refused(&workflow, &line.production()).await;
        assert_eq!(violations, [Violation::NotMeasured { gate, environment: PRODUCTION }]);
        let mut setting = line.production();
        setting.policy = Policy::standard(PRODUCTION).without(gate, "there is none", ann());
        let bare = workflow.plan(&setting).await.unwrap();
        assert!(bare.to_text().contains(&format!("{gate}: not applicable: there is none (ann)")));
    }
}
