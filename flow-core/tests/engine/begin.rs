//! What lies between a plan's approval and its run: time passes, and settings change.

use std::sync::Arc;
use std::time::Duration;

use flow_core::durable::Journaled;
use flow_core::journal::{JournalStore, MemoryJournal};
use flow_core::plan::{ApprovalError, Approvals, Plan, Refusal, RefusedApproval};
use flow_core::{Actor, BeginError, Stopped, name};

use crate::probe::Bench;
use crate::promises::one;

#[tokio::test(start_paused = true)]
async fn an_approval_that_expired_in_the_queue_begins_nothing() {
    let bench = Bench::new();
    let mut setting = bench.setting(name!("1.0.0"));
    setting.policy.approvals = 1;
    let journal = MemoryJournal::on(setting.clock.clone());
    let workflow = bench.workflow();
    let proposed = workflow.plan(&setting).await.unwrap();
    let at = setting.clock.now() + jiff::Span::new().hours(1);
    let approvals = Approvals::none().by(Actor::new("bob").unwrap(), proposed.hash, at);
    let plan = proposed.approve(&approvals).unwrap();
    setting.clock.sleep(Duration::from_secs(7 * 24 * 3600)).await;
    let durable = Journaled::new(Arc::new(journal.clone()), one());
    let ended = workflow.run(plan, &durable).await;
    let Err(Stopped::NotBegun(BeginError::NotApproved(few))) = ended else { panic!("{ended:?}") };
    let reason = Refusal::Expired { at };
    let refused = vec![RefusedApproval { by: Actor::new("bob").unwrap(), reason }];
    assert_eq!(few, ApprovalError::TooFew { given: 0, needed: 1, refused });
    assert!(bench.log.lines().is_empty(), "{:?}", bench.log.lines());
    assert!(journal.load(&one()).await.unwrap().is_empty());
    // Nobody holds it: the same plan, approved anew, begins.
    let proposed = workflow.plan(&setting).await.unwrap();
    let at = setting.clock.now() + jiff::Span::new().hours(1);
    let approvals = Approvals::none().by(Actor::new("bob").unwrap(), proposed.hash, at);
    workflow.run(proposed.approve(&approvals).unwrap(), &durable).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_plan_that_is_taken_back_under_other_demands_is_refused_and_says_which() {
    let bench = Bench::new();
    let setting = bench.setting(name!("1.0.0"));
    let journal = MemoryJournal::on(setting.clock.clone());
    let workflow = bench.workflow();
    let ticket = workflow.plan(&setting).await.unwrap().to_json().to_string();
    let mut another = setting.clone();
    another.initiator = Actor::new("eve").unwrap();
    another.policy.evidence_lasts = Duration::from_secs(1);
    let proposed = workflow.recall(Plan::from_json(&ticket).unwrap(), &another).unwrap();
    let plan = proposed.approve(&Approvals::none()).unwrap();
    let durable = Journaled::new(Arc::new(journal), one());
    let stopped = workflow.run(plan, &durable).await.unwrap_err();
    let Stopped::NotBegun(BeginError::Drift(drift)) = stopped else { panic!("{stopped:?}") };
    assert_eq!(drift.changed, ["initiator", "policy"]);
}
