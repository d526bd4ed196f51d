//! Fakes and conformance suites for deployments built on flow-core.
//!
//! # Writing an adapter
//!
//! An adapter is a crate that implements a port of [`flow_core::port`] over one kind of outside. `outside/template` in the
//! repository is one to copy: three methods are left to fill. Read in this order: [what holds for every
//! method](flow_core::port), the port's own page, the table of [`ErrorKind`](flow_core::ErrorKind), the example on the suite's
//! macro below.
//!
//! **Dependencies.** flow-core and `async-trait`; for the tests flow-testkit, `tokio` with its features `macros` and `rt`, and
//! whatever brings up the outside (`tempfile`, the real server). flow-testkit belongs under `dev-dependencies` alone: it can hand
//! out permits.
//!
//! ```toml
//! [dependencies]
//! async-trait = "0.1"
//! flow-core = "0.2"
//!
//! [dev-dependencies]
//! flow-testkit = "0.2"
//! tempfile = "3"
//! tokio = { version = "1", features = ["macros", "rt"] }
//! ```
//!
//! **Layout.** `src/config.rs` is plain data, checked once with all its [`Problems`](flow_core::Problems); `src/client.rs` alone
//! talks to the outside; `src/adapter.rs` implements the port over it; `tests/conformance.rs` is the suite against the real thing.
//!
//! **Signatures.** The ports are `#[async_trait]` traits, which rustdoc shows expanded, as `Pin<Box<dyn Future ..>>`. Put the
//! attribute on the `impl` and write `async fn`:
//!
//! ```
//! use std::sync::Mutex;
//!
//! use flow_core::port::{EvidenceStore, RunEvidence};
//! use flow_core::prelude::*;
//!
//! struct Mine(Mutex<Vec<RunEvidence>>);
//!
//! impl Mine {
//!     fn kept(&self) -> Result<std::sync::MutexGuard<'_, Vec<RunEvidence>>, StepError> {
//!         self.0.lock().map_err(|_| StepError::new(ErrorKind::Conflict, "a writer panicked"))
//!     }
//! }
//!
//! #[async_trait]
//! impl EvidenceStore for Mine {
//!     async fn record(&self, _: &Permit, evidence: &RunEvidence) -> Result<(), StepError> {
//!         evidence.check()?;
//!         let mut kept = self.kept()?;
//!         match kept.iter().find(|kept| kept.is_of_run_of(evidence)) {
//!             None => kept.push(evidence.clone()),
//!             Some(kept) if kept.deploys_the_same_as(evidence) => {}
//!             Some(kept) => {
//!                 return Err(StepError::new(ErrorKind::Conflict, "the run has recorded other evidence")
//!                     .fact("release", &kept.release));
//!             }
//!         }
//!         Ok(())
//!     }
//!
//!     async fn find(
//!         &self,
//!         application: &Name,
//!         environment: Environment,
//!         digest: &Digest,
//!     ) -> Result<Vec<RunEvidence>, StepError> {
//!         let mut found = self.kept()?.clone();
//!         found.retain(|kept| {
//!             kept.application == *application && kept.environment == environment && kept.digests.contains(digest)
//!         });
//!         found.sort_by(|left, right| (left.recorded, &left.run).cmp(&(right.recorded, &right.run)));
//!         Ok(found)
//!     }
//! }
//! ```
//!
//! **The fixture** is what the suite gets, fresh for each promise: the thing under test, and ways to look at its outside and to
//! disturb it **past** the adapter. What looks gives [`Outside<T>`](conformance::Outside), what arranges gives
//! [`Checked`](conformance::Checked): `?` works on any error in both. **The macro** takes the function that makes a fixture, and
//! makes one `#[tokio::test]` for each promise: the name of the test that fails is the diagnosis.
//!
//! | for | the suite | its fixture |
//! |---|---|---|
//! | [`AlertRules`](flow_core::port::AlertRules) | [`rules_conformance!`] | [`RulesFixture`](conformance::rules::RulesFixture) |
//! | [`AssetStore`](flow_core::port::AssetStore) | [`assets_conformance!`] | [`AssetsFixture`](conformance::assets::AssetsFixture) |
//! | [`Builder`](flow_core::port::Builder) | [`builder_conformance!`] | [`BuilderFixture`](conformance::builder::BuilderFixture) |
//! | [`Cdn`](flow_core::port::Cdn) | [`cdn_conformance!`] | [`CdnFixture`](conformance::cdn::CdnFixture) |
//! | [`ConfigurationStore`](flow_core::port::ConfigurationStore) | [`configuration_conformance!`] | [`ConfigurationFixture`](conformance::configuration::ConfigurationFixture) |
//! | [`EvidenceStore`](flow_core::port::EvidenceStore) | [`evidence_conformance!`] | [`EvidenceFixture`](conformance::evidence::EvidenceFixture) |
//! | [`FunctionPlatform`](flow_core::port::FunctionPlatform) | [`functions_conformance!`] | [`FunctionsFixture`](conformance::functions::FunctionsFixture) |
//! | [`Host`](flow_core::port::Host) | [`host_conformance!`] | [`HostFixture`](conformance::host::HostFixture) |
//! | [`ImageRegistry`](flow_core::port::ImageRegistry) | [`images_conformance!`] | [`ImagesFixture`](conformance::images::ImagesFixture) |
//! | [`Metrics`](flow_core::port::Metrics) | [`metrics_conformance!`] | [`MetricsFixture`](conformance::metrics::MetricsFixture) |
//! | [`Migrator`](flow_core::port::Migrator) | [`migrator_conformance!`] | [`MigratorFixture`](conformance::migrator::MigratorFixture) |
//! | [`Notifier`](flow_core::port::Notifier) | [`notifier_conformance!`] | [`NotifierFixture`](conformance::notifier::NotifierFixture) |
//! | [`Prober`](flow_core::port::Prober) | [`prober_conformance!`] | [`ProberFixture`](conformance::prober::ProberFixture) |
//! | [`ProcessManager`](flow_core::port::ProcessManager) | [`process_conformance!`] | [`ProcessFixture`](conformance::process::ProcessFixture) |
//! | [`Router`](flow_core::port::Router) | [`router_conformance!`] | [`RouterFixture`](conformance::router::RouterFixture) |
//! | [`Source`](flow_core::port::Source) | [`source_conformance!`] | [`SourceFixture`](conformance::source::SourceFixture) |
//! | [`Vault`](flow_core::port::Vault) | [`vault_conformance!`] | [`VaultFixture`](conformance::vault::VaultFixture) |
//! | [`JournalStore`](flow_core::journal::JournalStore) | [`journal_conformance!`] | the store itself |
//! | [`Durable`](flow_core::durable::Durable) | [`durable_conformance!`] | [`DurableFixture`](conformance::durable::DurableFixture) |
//! | [`Step`](flow_core::Step) | [`step_conformance!`] | [`StepFixture`](conformance::step::StepFixture) |
//!
//! **Broken implementations.** A suite is only worth what it catches: [`broken_implementations!`] pairs each promise with an
//! implementation that breaks it. An adapter needs none for a suite of ours; a suite of your own does.
//!
//! **Permits, faults and a world.** [`permit`](permit()) and [`permit_under`] give what a port method asks for. The fakes of [`fake`]
//! fail on demand at a named call ([`fault`]), and [`World`] runs whole deployments over them in virtual time.
//!
//! **A cloud.** With the feature `cloud` the module `cloud` is a fake Tencent Cloud on loopback, which official clients take for the real
//! one; `cargo run --example fake_cloud` runs it for programs in any language.

#[cfg(feature = "cloud")]
pub mod cloud;
pub mod conformance;
pub mod fake;
pub mod fault;
#[cfg(feature = "mockall")]
pub mod mock;
pub mod world;

mod ledger;
mod permit;
mod points;
mod weights;

#[doc(hidden)]
pub use flow_core as __core;
pub use ledger::{Called, Ledger};
pub use permit::{context, permit, permit_under};
pub use world::World;
