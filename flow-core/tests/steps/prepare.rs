use std::sync::Arc;
use std::time::Duration;

use flow_core::plan::OnFailure;
use flow_core::port::{Health, HealthCheck, Instance, LaunchSpec, ProcessManager};
use flow_core::prelude::*;
use flow_core::stage::Prepare;
use flow_core::steps::{ConfirmOrder, ConfirmRollbackPlan, ConfirmScope, Expectation, InspectEnvironment};
use flow_core::{Digest, StepContext};
use flow_testkit::fake::FakeFleet;
use flow_testkit::{context, permit};
use serde_json::json;

use crate::contract::{obeys, run};
use crate::whole::Shop;
use crate::world::{World, script};

async fn planned() -> (Shop, StepContext<Prepare>) {
    let shop = Shop::new();
    let plan = shop.plan().await;
    (shop, context().planned(plan))
}

#[tokio::test]
async fn the_scope_names_steps_services_resources_and_what_is_left_out() {
    let (shop, cx) = planned().await;
    let receipt = obeys(&shop.world, &ConfirmScope::new(), &cx).await;
    let observed = &receipt.evidence[0].observed;
    assert_eq!(observed["services"], json!(["db", "web"]));
    assert_eq!(observed["resources"], json!(["database", "resize.function", "site"]));
    assert_eq!(observed["left_out"]["Monitoring.Apm"], json!("no tracing yet (ann)"));
    assert!(observed["steps"].as_array().unwrap().contains(&json!("Migrate/back-up")));
}

#[tokio::test]
async fn the_start_order_is_the_plans_order_of_rollouts() {
    let (shop, cx) = planned().await;
    let receipt = obeys(&shop.world, &ConfirmOrder::new(), &cx).await;
    assert_eq!(receipt.facts.start_order, [name!("db"), name!("web")]);
}

#[tokio::test]
async fn the_rollback_plan_lists_every_way_back_and_the_point_of_no_return() {
    let (shop, cx) = planned().await;
    let mut plan = (**cx.plan().unwrap()).clone();
    let receipt = obeys(&shop.world, &ConfirmRollbackPlan::new("call 555"), &cx).await;
    let observed = &receipt.evidence[0].observed;
    assert_eq!(observed["steps"].as_array().unwrap().len(), plan.items().count());
    assert_eq!(observed["contact"], json!("call 555"));
    assert_eq!(observed["point_of_no_return"], json!(null));

    plan.on_failure = OnFailure::Hold;
    plan.stages[2].items[3].reversibility =
        Reversibility::Irreversible { reason: "drops a table".to_owned() };
    let receipt = run(&ConfirmRollbackPlan::new("call 555"), &context().planned(plan)).await.unwrap();
    let observed = &receipt.evidence[0].observed;
    assert_eq!(observed["point_of_no_return"], json!("Migrate/apply-migrations"));
    assert!(observed["on_failure"].as_str().unwrap().contains("until somebody decides"));
    assert_eq!(observed["steps"][12]["way_back"], json!("irreversible: drops a table"));
}

#[tokio::test]
async fn a_rollback_plan_without_a_contact_is_refused_by_the_plan() {
    let error = ConfirmRollbackPlan::new(" ").preview(&context()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}

#[tokio::test]
async fn without_a_plan_the_prepare_steps_say_so() {
    for error in [
        run(&ConfirmScope::new(), &context()).await.unwrap_err(),
        run(&ConfirmOrder::new(), &context()).await.unwrap_err(),
        run(&ConfirmRollbackPlan::new("call 555"), &context()).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

async fn old_version(fleet: &FakeFleet) {
    let spec = LaunchSpec {
        service: name!("web"),
        instance: name!("web-1"),
        version: name!("0.9.0"),
        digest: Digest::of(b"old"),
        program: "/releases/old/web".into(),
        args: Vec::new(),
        env: Default::default(),
        directory: "/releases/old".into(),
        health: HealthCheck { path: "/health".to_owned(), timeout: Duration::from_secs(1) },
    };
    fleet.launch(&permit(), &spec).await.unwrap();
}

#[tokio::test]
async fn a_broken_old_version_is_reported_and_blocks_nothing() {
    let (world, fleet) = (World::new(), FakeFleet::new());
    world.state().scripts = vec![script("1"), script("2")];
    world.page("https://app.test/", 500, "", 5);
    old_version(&fleet).await;
    fleet.sicken(&name!("0.9.0"));
    let (app, gone) = (Expectation::of("https://app.test/"), Expectation::of("https://gone.test/"));
    let step = InspectEnvironment::new()
        .processes(name!("web"), Arc::new(fleet.clone()))
        .traffic(name!("web"), Arc::new(fleet.clone()))
        .database(Arc::new(world.clone()))
        .probe(name!("app"), Arc::new(world.clone()), app)
        .probe(name!("gone"), Arc::new(world.clone()), gone);
    let changes = fleet.changes();
    let receipt = obeys(&world, &step, &context()).await;
    assert_eq!(fleet.changes(), changes);
    let observed = &receipt.evidence[0].observed;
    assert_eq!(
        observed["processes of web"][0]["health"],
        json!({ "health": "unhealthy", "reason": "status 500" })
    );
    assert_eq!(observed["traffic of web"], json!({}));
    assert_eq!(observed["database database"]["pending"], json!(["1", "2"]));
    assert_eq!(observed["probe app"], json!("status 500, expected 200"));
    assert!(observed["probe gone"].as_str().unwrap().starts_with("no answer"));
}

/// A platform that lists one instance and cannot be asked for its health; or cannot be asked at all.
struct Mute {
    lists: Vec<Instance>,
}

fn unreachable() -> StepError {
    StepError::new(ErrorKind::Unavailable, "nobody answers")
}

#[async_trait]
impl ProcessManager for Mute {
    async fn launch(&self, _: &Permit, _: &LaunchSpec) -> Result<Instance, StepError> {
        Err(unreachable())
    }

    async fn instances(&self, _: &Name) -> Result<Vec<Instance>, StepError> {
        if self.lists.is_empty() { Err(unreachable()) } else { Ok(self.lists.clone()) }
    }

    async fn launched(&self, _: &Name, _: &Name) -> Result<LaunchSpec, StepError> {
        Err(unreachable())
    }

    async fn health(&self, _: &Name, _: &Name) -> Result<Health, StepError> {
        Err(unreachable())
    }

    async fn stop(&self, _: &Permit, _: &Name, _: &Name, _: Duration) -> Result<(), StepError> {
        Err(unreachable())
    }
}

#[tokio::test]
async fn an_unknown_health_is_reported_and_an_unreadable_platform_fails_the_step() {
    let (id, version) = (name!("web-1"), name!("0.9.0"));
    let instance = Instance { id, version, digest: Digest::of(b"old"), address: "a:1".to_owned(), pid: None };
    let inspect = |lists| InspectEnvironment::new().processes(name!("web"), Arc::new(Mute { lists }));
    let receipt = run(&inspect(vec![instance]), &context()).await.unwrap();
    let seen = &receipt.evidence[0].observed["processes of web"][0];
    assert_eq!(seen["health"], json!("unknown: nobody answers"));
    assert_eq!(run(&inspect(Vec::new()), &context()).await.unwrap_err().kind(), ErrorKind::Unavailable);
}

#[tokio::test]
async fn an_inspection_of_nothing_or_of_one_thing_twice_is_refused_by_the_plan() {
    let nothing = InspectEnvironment::new().preview(&context()).await.unwrap_err();
    assert_eq!(nothing.kind(), ErrorKind::Invalid);
    let world = Arc::new(World::new());
    let twice = InspectEnvironment::new().database(world.clone()).database(world);
    assert_eq!(twice.preview(&context()).await.unwrap_err().kind(), ErrorKind::Invalid);
}
