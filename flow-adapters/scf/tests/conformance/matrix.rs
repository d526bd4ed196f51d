//! Every change that the adapter asks for, under every fault: the right end, and nothing carried out twice. The cloud's log tells how often.

use std::collections::BTreeMap;

use flow_core::port::{FunctionPlatform, FunctionState, Router, Routing};
use flow_core::{ErrorKind, StepError, name};
use flow_scf::Trigger;
use flow_testkit::cloud::{Fault, Outcome};
use serde_json::{Value, json};

use crate::world::{GREETING, GetProvisionedConcurrencyConfig, SHOP, World, call, refuses, target};

/// Every action that changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    CreateFunction,
    UpdateFunctionCode,
    UpdateFunctionConfiguration,
    DeleteFunction,
    PublishVersion,
    DeleteFunctionVersion,
    CreateAlias,
    UpdateAlias,
    DeleteAlias,
    CreateTrigger,
    UpdateTrigger,
    DeleteTrigger,
    PutProvisionedConcurrencyConfig,
    DeleteProvisionedConcurrencyConfig,
}

use Change::{
    CreateAlias, CreateFunction, CreateTrigger, DeleteAlias, DeleteFunction, DeleteFunctionVersion,
    DeleteProvisionedConcurrencyConfig, DeleteTrigger, PublishVersion, PutProvisionedConcurrencyConfig,
    UpdateAlias, UpdateFunctionCode, UpdateFunctionConfiguration, UpdateTrigger,
};

const ALL: [Change; 14] = [
    CreateFunction,
    UpdateFunctionCode,
    UpdateFunctionConfiguration,
    DeleteFunction,
    PublishVersion,
    DeleteFunctionVersion,
    CreateAlias,
    UpdateAlias,
    DeleteAlias,
    CreateTrigger,
    UpdateTrigger,
    DeleteTrigger,
    PutProvisionedConcurrencyConfig,
    DeleteProvisionedConcurrencyConfig,
];

/// Those after which the function has a status of its own until it is done.
const WAITED_FOR: [Change; 4] =
    [CreateFunction, UpdateFunctionCode, UpdateFunctionConfiguration, PublishVersion];

fn nightly(cron: &str) -> BTreeMap<flow_core::Name, String> {
    BTreeMap::from([(name!("nightly"), Trigger::timer(cron).to_string())])
}

impl Change {
    fn action(self) -> String {
        format!("{self:?}")
    }

    async fn arrange(self) -> World {
        let ready = matches!(self, PutProvisionedConcurrencyConfig | DeleteProvisionedConcurrencyConfig);
        let provisioned = ready.then_some(1);
        let world =
            World::with(|config| flow_scf::ScfConfig { provisioned, kept_versions: 2, ..config }).await;
        match self {
            CreateFunction => {}
            CreateAlias | PutProvisionedConcurrencyConfig => drop(world.publish(&SHOP, "one").await),
            PublishVersion => world.update(&SHOP, &world.telling("one")).await.unwrap(),
            _ => drop(world.release(&SHOP, "one").await),
        }
        match self {
            UpdateAlias | DeleteProvisionedConcurrencyConfig => drop(world.publish(&SHOP, "two").await),
            DeleteFunctionVersion => {
                world.release(&SHOP, "two").await;
                world.release(&SHOP, "three").await;
            }
            UpdateTrigger | DeleteTrigger => {
                world
                    .functions
                    .set_triggers(&world.permit(), &SHOP, &nightly("0 0 3 * * * *"))
                    .await
                    .unwrap();
            }
            _ => {}
        }
        world
    }

    async fn act(self, world: &World) -> Result<(), StepError> {
        let (functions, permit) = (&world.functions, world.permit());
        match self {
            CreateFunction => world.update(&SHOP, &world.telling("one")).await,
            UpdateFunctionCode => world.update(&SHOP, &world.telling("two")).await,
            UpdateFunctionConfiguration => {
                let variables = BTreeMap::from([(GREETING.to_owned(), "hello".to_owned())]);
                functions.set_variables(&permit, &SHOP, &variables).await
            }
            DeleteFunction => functions.restore(&permit, &SHOP, &FunctionState::default()).await,
            PublishVersion => functions.publish(&permit, &SHOP).await.map(drop),
            DeleteFunctionVersion => functions.prune(&permit, &SHOP).await.map(drop),
            CreateAlias | PutProvisionedConcurrencyConfig => functions.make_live(&permit, &SHOP, "1").await,
            UpdateAlias | DeleteProvisionedConcurrencyConfig => {
                functions.make_live(&permit, &SHOP, "2").await
            }
            DeleteAlias => functions.alias().route(&permit, &SHOP, &Routing::default()).await,
            CreateTrigger => functions.set_triggers(&permit, &SHOP, &nightly("0 0 3 * * * *")).await,
            UpdateTrigger => functions.set_triggers(&permit, &SHOP, &nightly("0 0 4 * * * *")).await,
            DeleteTrigger => functions.set_triggers(&permit, &SHOP, &BTreeMap::new()).await,
        }
    }

    /// Whether what was asked for stands, as callers and the cloud itself tell.
    async fn stands(self, world: &World) -> bool {
        let field = async |qualifier: &str, field: &str| {
            let told = call(&world.api, &SHOP, qualifier, &json!({})).await?;
            told.get(field)?.as_str().map(str::to_owned)
        };
        let code = async |qualifier: &str| field(qualifier, "code").await.unwrap_or_default();
        let triggers = async || world.functions.state(&SHOP).await.unwrap().triggers;
        let ready = async || {
            let told = world.ask(&GetProvisionedConcurrencyConfig { function_name: "shop" }).await;
            let all = told["Allocated"].as_array().cloned().unwrap_or_default();
            let done =
                |one: &Value| (one["Status"] == "Done").then(|| one["Qualifier"].as_str().map(str::to_owned));
            all.iter().filter_map(done).flatten().collect::<Vec<_>>()
        };
        match self {
            CreateFunction => code("$LATEST").await == "one",
            UpdateFunctionCode => code("$LATEST").await == "two" && code("live").await == "one",
            UpdateFunctionConfiguration => {
                let greeting = async |qualifier: &str| field(qualifier, "greeting").await.unwrap_or_default();
                greeting("$LATEST").await == "hello" && greeting("live").await.is_empty()
            }
            DeleteFunction => code("$LATEST").await.is_empty(),
            PublishVersion => code("1").await == "one" && code("2").await.is_empty(),
            DeleteFunctionVersion => {
                code("1").await.is_empty() && code("2").await == "two" && code("live").await == "three"
            }
            CreateAlias => code("live").await == "one",
            UpdateAlias => code("live").await == "two",
            DeleteAlias => code("live").await.is_empty(),
            CreateTrigger => triggers().await == nightly("0 0 3 * * * *"),
            UpdateTrigger => triggers().await == nightly("0 0 4 * * * *"),
            DeleteTrigger => triggers().await.is_empty(),
            PutProvisionedConcurrencyConfig => ready().await == ["1"] && code("live").await == "one",
            DeleteProvisionedConcurrencyConfig => ready().await == ["2"] && code("live").await == "two",
        }
    }
}

/// Carries every change out under a fault that passes: the change stands, it was carried out once, and it took so many requests.
async fn survives(fault: impl Fn(&str) -> Fault, kind: &str, requests: usize) {
    for change in ALL {
        let world = change.arrange().await;
        let action = change.action();
        let before = world.asked(&action).len();
        assert!(!change.stands(&world).await, "{change:?} stands before it was asked for");
        world.cloud.fault(fault(&action));
        let ended = change.act(&world).await;
        assert!(ended.is_ok(), "{change:?}: {:?}", ended.err());
        assert!(change.stands(&world).await, "{change:?} does not stand");
        let asked = world.asked(&action).split_off(before);
        assert!(
            asked.iter().any(|logged| logged.fault == kind),
            "the fault did not strike {change:?}: {asked:?}"
        );
        let carried_out = asked.iter().filter(|logged| logged.result == "ok").count();
        assert_eq!((carried_out, asked.len()), (1, requests), "{change:?}: {asked:?}");
    }
}

#[tokio::test]
async fn what_was_throttled_twice_takes_exactly_three_requests() {
    survives(|action| refuses(action, "RequestLimitExceeded", 2), "error", 3).await;
}

#[tokio::test]
async fn what_a_gateway_lost_is_read_back_and_sent_once_more() {
    survives(|action| Fault::Http { target: target(action, 1), status: 502 }, "http", 2).await;
}

#[tokio::test]
async fn what_was_dropped_before_it_was_carried_out_is_read_back_and_sent_once_more() {
    survives(|action| Fault::Drop(target(action, 1)), "drop", 2).await;
}

#[tokio::test]
async fn what_was_carried_out_and_then_dropped_is_never_sent_again() {
    survives(|action| Fault::DropAfter(target(action, 1)), "drop_after", 1).await;
}

#[tokio::test]
async fn what_was_carried_out_and_then_cut_off_is_never_sent_again() {
    survives(|action| Fault::Truncate(target(action, 1)), "truncate", 1).await;
}

#[tokio::test]
async fn what_is_slow_is_sent_once() {
    survives(|action| Fault::Delay { target: target(action, 1), seconds: 0.2 }, "delay", 1).await;
}

#[tokio::test]
async fn an_error_inside_the_service_is_read_back_and_sent_once_more() {
    survives(|action| refuses(action, "InternalError", 1), "error", 2).await;
}

#[tokio::test]
async fn a_function_that_is_said_to_be_busy_and_is_not_is_tried_again() {
    survives(|action| refuses(action, "FailedOperation.FunctionStatusError", 1), "error", 2).await;
}

#[tokio::test]
async fn a_change_that_never_ends_is_given_up_in_doubt_and_was_carried_out_once() {
    for change in WAITED_FOR {
        let world = change.arrange().await;
        let before = world.asked(&change.action()).len();
        world.cloud.fault(Fault::ScfStatus { subject: ("shop".into(),), outcome: Outcome::Stuck, times: 1 });
        let error = change.act(&world).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{change:?}: {error}");
        assert!(error.facts().any(|(name, value)| name == "status" && value.ends_with("ing")), "{error}");
        assert_eq!(world.asked(&change.action()).len() - before, 1, "{change:?}");
        let old = (change != CreateFunction && change != PublishVersion).then(|| "one".to_owned());
        assert_eq!(world.answers().await, old, "{change:?}");
    }
}

#[tokio::test]
async fn a_change_that_fails_tells_the_platforms_reasons_and_the_old_version_answers() {
    for change in WAITED_FOR {
        let world = change.arrange().await;
        let before = world.asked(&change.action()).len();
        world.cloud.fault(Fault::ScfStatus { subject: ("shop".into(),), outcome: Outcome::Fail, times: 1 });
        let error = change.act(&world).await.unwrap_err();
        assert!(!error.kind().is_rejection(), "{change:?}: {error}");
        let reasons = error.facts().find(|(name, _)| *name == "reasons").map(|(_, value)| value.to_owned());
        assert!(
            reasons.is_some_and(|reasons| reasons.contains("a fault was asked for")),
            "{change:?}: {error}"
        );
        assert_eq!(world.asked(&change.action()).len() - before, 1, "{change:?}");
        let old = (change != CreateFunction && change != PublishVersion).then(|| "one".to_owned());
        assert_eq!(world.answers().await, old, "{change:?}");
    }
}

#[tokio::test]
async fn a_refusal_is_told_with_code_and_request_id_and_is_not_repeated() {
    for change in ALL {
        let world = change.arrange().await;
        let action = change.action();
        let before = world.asked(&action).len();
        world.cloud.fault(refuses(&action, "InvalidParameterValue.Namespace", 1));
        let error = change.act(&world).await.unwrap_err();
        let asked = world.asked(&action).split_off(before);
        let refused = asked.first().unwrap();
        let fact = |name: &str| error.facts().find(|(known, _)| *known == name).map(|(_, value)| value);
        assert_eq!(fact("code"), Some("InvalidParameterValue.Namespace"), "{change:?}: {error}");
        assert_eq!(fact("request id"), Some(refused.id.as_str()), "{change:?}: {error}");
        assert_eq!(fact("action"), Some(action.as_str()), "{change:?}: {error}");
        assert!(!change.stands(&world).await, "{change:?}");
    }
}

#[tokio::test]
async fn what_never_gets_an_answer_ends_in_doubt_after_three_requests() {
    for change in ALL {
        let world = change.arrange().await;
        let action = change.action();
        let before = world.asked(&action).len();
        world.cloud.fault(Fault::Drop(target(&action, u32::MAX)));
        let error = change.act(&world).await.unwrap_err();
        assert!(!error.kind().is_rejection(), "{change:?}: {error}");
        let sent = world.asked(&action).len() - before;
        // Triggers are put back where they fail, which is one more change of its own.
        let most = if action.ends_with("Trigger") { 6 } else { 3 };
        assert!((3..=most).contains(&sent), "{change:?}: {sent} requests");
    }
}
