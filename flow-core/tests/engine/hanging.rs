//! A store that never answers holds nobody up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use flow_core::durable::{Durable, Journaled, PerformError};
use flow_core::journal::MemoryJournal;
use flow_core::machine::{CallKey, Phase};
use flow_core::stage::StageName;
use flow_core::{CancelToken, name};

use crate::probe::Bench;
use crate::promises::{approved, one};
use crate::store::{Asked, Does, Faulty};

/// Longer than any lease: whoever is not back by then never comes back.
const NEVER: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_when_the_run_is_given_back_holds_nobody_up() {
    for hanging in [Asked::Close, Asked::Release] {
        let bench = Bench::new();
        let setting = bench.setting(name!("1.0.0"));
        let journal = MemoryJournal::on(setting.clock.clone());
        let asked_for_it = Arc::new(AtomicBool::new(false));
        let told = asked_for_it.clone();
        let store = Faulty::over(&journal, move |asked| {
            if asked == hanging {
                told.store(true, Ordering::SeqCst);
                return Does::Hangs;
            }
            Does::Passes
        });
        let workflow = bench.workflow();
        let plan = approved(&workflow, &setting).await;
        let durable = Journaled::new(Arc::new(store), one());
        let ended = tokio::time::timeout(NEVER, workflow.run(plan, &durable)).await;
        assert!(matches!(ended, Ok(Ok(_))), "{hanging:?}: {ended:?}");
        assert!(asked_for_it.load(Ordering::SeqCst), "{hanging:?} was never asked for");
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_while_an_answer_is_awaited_keeps_neither_a_cancel_nor_a_lost_lease_away() {
    for cancels in [Some(Duration::from_secs(1)), None] {
        let bench = Bench::new();
        let setting = bench.setting(name!("1.0.0"));
        let clock = setting.clock.clone();
        let journal = MemoryJournal::on(clock.clone());
        let store = Faulty::over(&journal, |asked| match asked {
            Asked::Posted | Asked::Renew => Does::Hangs,
            _ => Does::Passes,
        });
        let workflow = bench.workflow();
        let plan = approved(&workflow, &setting).await;
        let durable: Arc<dyn Durable> = Arc::new(Journaled::new(Arc::new(store), one()));
        let (deployment, work) = workflow.begin(plan, durable.clone()).await.unwrap();
        let deployment = deployment.run(work.prepare).await.unwrap();
        let deployment = deployment.run(work.build).await.unwrap();
        let deployment = deployment.run(work.migrate).await.unwrap();
        drop(deployment.run(work.assets).await.unwrap());
        let cancel = CancelToken::new();
        let key = CallKey { stage: StageName::Services, step: name!("web"), phase: Phase::Do, unit: 0 };
        let asks_to_stop = async {
            match cancels {
                Some(after) => clock.sleep(after).await,
                None => std::future::pending().await,
            }
            cancel.cancel();
            std::future::pending::<()>().await;
        };
        let waited = tokio::select! {
            waited = tokio::time::timeout(NEVER, durable.wait(key, None, cancel.clone())) => waited,
            () = asks_to_stop => unreachable!(),
        };
        match cancels {
            Some(_) => assert_eq!(waited, Ok(Err(PerformError::Cancelled))),
            None => assert!(matches!(waited, Ok(Err(PerformError::Unavailable(_)))), "{waited:?}"),
        }
    }
}
