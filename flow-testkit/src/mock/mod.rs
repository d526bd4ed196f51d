//! Mocks of every port, for a test that must say which calls are made, how often and in which order. Behind the feature
//! `mockall`.
//!
//! Take a [fake](crate::fake) first: it keeps state and refuses what no real system would do, where a mock answers
//! whatever it was told to. A mock is for what a fake cannot show: that a port is **not** called, or what a step does with
//! an answer that is hard to bring about. A call that nobody expected, and an expected one that never came, each end the
//! test with the method's name.
//!
//! Every mock has one `expect_METHOD` for each method of its port and is made an `Arc<dyn PORT>` like any adapter. The
//! mockall documentation says what an expectation can do.
//!
//! ```
//! use std::sync::Arc;
//!
//! use flow_core::port::RuleSet;
//! use flow_core::stage::Monitoring;
//! use flow_core::steps::ApplyAlertRules;
//! use flow_core::{Rollback, Step, name};
//! use flow_testkit::mock::MockAlertRules;
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let rules = RuleSet { name: name!("web"), rules: "groups: []".to_owned() };
//! let mut monitor = MockAlertRules::new();
//! let in_force = rules.clone();
//! monitor.expect_read().withf(|name| name.as_str() == "web").returning(move |_| Ok(Some(in_force.clone())));
//! monitor.expect_apply().never();
//!
//! // Rules that are in force already are not put in force again.
//! let step = ApplyAlertRules::new(Arc::new(monitor), rules);
//! let (cx, permit) = (flow_testkit::context::<Monitoring>(), flow_testkit::permit());
//! let before = step.capture(&cx).await?;
//! step.run(&cx, &permit, &before).await?;
//! # Ok::<(), flow_core::StepError>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod data;
mod engine;
mod fleet;
mod release;

pub use data::{MockEvidenceStore, MockHost, MockMigrator, MockVault};
pub use engine::{MockClock, MockDurable, MockEntropy, MockJournalStore};
pub use fleet::{MockMetrics, MockProber, MockProcessManager, MockRouter};
pub use release::{
    MockAlertRules, MockAssetStore, MockBuilder, MockCdn, MockConfigurationStore, MockFunctionPlatform,
    MockImageRegistry, MockNotifier, MockSource,
};
