//! What is refused at a border: the run is taken back, and all violations of that border are in the error and the journal.

use std::sync::Arc;
use std::time::Duration;

use flow_core::gate::{Figure, StandardGate};
use flow_core::policy::{Policy, Proof, Violation};
use flow_core::stage::{
    Activity as _, Migrate, MigrateActivity, Prepare, PrepareActivity, Verify, VerifyActivity,
};
use flow_core::steps::{ApplyMigrations, AssessImpact, BackUp, CheckScripts, ConfirmOrder, ConfirmScope};
use flow_core::{Environment, Work, name};

use super::claims::Claims;
use super::line::Line;

const PRODUCTION: Environment = Environment::Production;

fn unproved(step: flow_core::Name, proof: Proof) -> Violation {
    Violation::Unproved { step, proof, border: proof.border(), environment: PRODUCTION }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_built_where_security_and_permissions_were_not_proved() {
    let line = Line::promoted().await;
    let mut workflow = line.workflow();
    let claims = Claims::<Prepare> {
        says: vec![Proof::SecurityConfiguration, Proof::Permissions, Proof::RollbackPlan],
        ..Claims::new(name!("look"), &[PrepareActivity::EnvironmentState, PrepareActivity::RollbackPlan])
    };
    workflow.prepare = Work::step(ConfirmScope::new()).then(ConfirmOrder::new()).then(claims);
    let violations = line.taken_back(&workflow, &line.production()).await;
    // The rollback plan lies in the evidence for its activity, which the step has.
    let expected =
        [Proof::SecurityConfiguration, Proof::Permissions].map(|proof| unproved(name!("look"), proof));
    assert_eq!(violations, expected);
    assert!(line.shop.world.changes().is_empty(), "{:?}", line.shop.world.changes());
}

#[tokio::test(start_paused = true)]
async fn no_migration_is_applied_before_the_backup_was_restored() {
    let line = Line::promoted().await;
    let world = Arc::new(line.shop.world.clone());
    let mut workflow = line.workflow();
    let dump = Claims::<Migrate> {
        says: vec![Proof::BackupRestored],
        resources: vec![name!("ledger")],
        ..Claims::new(name!("dump"), &[MigrateActivity::Backup])
    };
    workflow.migrate = Work::step(CheckScripts::new(world.clone()))
        .then(AssessImpact::new(world.clone()))
        .then(BackUp::new(world.clone()))
        .then(dump)
        .then(ApplyMigrations::new(world));
    let violations = line.taken_back(&workflow, &line.production()).await;
    assert_eq!(violations, [unproved(name!("dump"), Proof::BackupRestored)], "one of two is not enough");
    assert!(!line.shop.world.changes().iter().any(|change| change.starts_with("apply")));
}

#[tokio::test(start_paused = true)]
async fn nothing_relies_on_a_migration_that_was_not_verified() {
    let line = Line::promoted().await;
    let world = Arc::new(line.shop.world.clone());
    let mut workflow = line.workflow();
    let blind = Claims::<Migrate> {
        says: vec![Proof::MigrationVerified],
        ..Claims::new(name!("psql"), &[MigrateActivity::Apply])
    };
    workflow.migrate = Work::step(CheckScripts::new(world.clone()))
        .then(AssessImpact::new(world.clone()))
        .then(BackUp::new(world))
        .then(blind);
    let violations = line.taken_back(&workflow, &line.production()).await;
    assert_eq!(violations, [unproved(name!("psql"), Proof::MigrationVerified)]);
    assert!(line.shop.fleet.changes().is_empty(), "no service was touched");
}

#[tokio::test(start_paused = true)]
async fn every_broken_figure_takes_the_release_back_and_all_are_named() {
    let line = Line::promoted().await;
    let dials = [
        (StandardGate::Downtime, 300.0),
        (StandardGate::PageLoad, 3000.0),
        (StandardGate::DatabaseQuery, 100.0),
        (StandardGate::ResourceUse, 80.0),
    ];
    line.shop.world.state().figures = dials.into();
    let violations = line.taken_back(&line.workflow(), &line.production()).await;
    let broken = dials.map(|(gate, value)| Violation::GateBroken {
        gate,
        step: name!("measure-figures"),
        value: Some(value),
        limit: gate.limit(),
    });
    assert_eq!(violations, broken, "the limit itself does not hold");
}

/// Stage 8 by one step with these figures.
fn figures(figures: Vec<Figure>) -> Work<Verify> {
    Work::step(Claims::<Verify> {
        says: Proof::TESTS.to_vec(),
        measures: StandardGate::ALL.to_vec(),
        figures,
        deadline: Duration::from_secs(5),
        ..Claims::new(name!("smoke"), VerifyActivity::ALL)
    })
}

fn good(gate: StandardGate) -> Figure {
    let value = if gate == StandardGate::Availability { 99.95 } else { gate.limit() * 0.5 };
    Figure { gate, value, measured: "by hand".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn each_figure_alone_is_judged_against_the_standards_limit() {
    for gate in StandardGate::ALL {
        let line = Line::promoted().await;
        let mut workflow = line.workflow();
        let all = |broken: f64| {
            let figure =
                |other| if other == gate { Figure { value: broken, ..good(other) } } else { good(other) };
            StandardGate::ALL.map(figure).to_vec()
        };
        workflow.verify = figures(all(gate.limit()));
        let violations = line.taken_back(&workflow, &line.production()).await;
        let (value, limit) = (Some(gate.limit()), gate.limit());
        assert_eq!(violations, [Violation::GateBroken { gate, step: name!("smoke"), value, limit }]);
        workflow.verify = figures(all(good(gate).value));
        line.run(&workflow, &line.production(), "again").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_figure_that_was_promised_and_not_measured_or_is_no_number_is_no_pass() {
    let line = Line::promoted().await;
    let mut workflow = line.workflow();
    let mut measured: Vec<Figure> = StandardGate::ALL.map(good).to_vec();
    measured.retain(|figure| figure.gate != StandardGate::Downtime);
    for figure in &mut measured {
        if figure.gate == StandardGate::PageLoad {
            figure.value = f64::NAN;
        }
    }
    workflow.verify = figures(measured);
    let violations = line.taken_back(&workflow, &line.production()).await;
    let (gate, limit) = (StandardGate::PageLoad, 3000.0);
    assert_eq!(
        violations,
        [
            Violation::NotMeasured { gate: StandardGate::Downtime, environment: PRODUCTION },
            Violation::GateBroken { gate, step: name!("smoke"), value: None, limit },
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn staging_asks_for_no_figure_but_lets_no_broken_one_pass_and_development_reports_it() {
    for (environment, passes) in
        [(Environment::Development, true), (Environment::Testing, false), (Environment::Staging, false)]
    {
        let line = Line::new();
        let mut workflow = line.workflow();
        workflow.verify = figures(vec![Figure { value: 3500.0, ..good(StandardGate::PageLoad) }]);
        let ended = line.run(&workflow, &line.setting(environment), "one").await;
        assert_eq!(ended.is_ok(), passes, "{environment}: {ended:?}");
        workflow.verify = figures(Vec::new());
        line.run(&workflow, &line.setting(environment), "two").await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_stricter_limit_of_the_teams_own_is_kept_to() {
    let line = Line::promoted().await;
    let mut setting = line.production();
    setting.policy = Policy::standard(PRODUCTION).limiting(StandardGate::PageLoad, 500.0);
    let violations = line.taken_back(&line.workflow(), &setting).await;
    let step = name!("measure-figures");
    let broken =
        Violation::GateBroken { gate: StandardGate::PageLoad, step, value: Some(800.0), limit: 500.0 };
    assert_eq!(violations, [broken]);
}
