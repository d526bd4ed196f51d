//! Tencent Cloud's functions (SCF, API of 2018-04-16): code, versions, triggers, and traffic through an alias.
//!
//! - [`ScfFunctions`] is a [`FunctionPlatform`](flow_core::port::FunctionPlatform): code is a zip, its digest the SHA-256 of the zip.
//! - [`ScfAlias`] is a [`Router`](flow_core::port::Router): it divides a function's calls between two versions by whole percents.
//! - [`ScfVersions`] is a [`ProcessManager`](flow_core::port::ProcessManager): with the router it lets the strategies of flow-core (canary,
//!   blue-green) replace a function as they replace a service.
//! - [`Trigger`] writes the description of a trigger.
//!
//! # What it needs
//! A key that may call the actions in the README, and callers and triggers that use the alias of the configuration, not `$LATEST`. A bucket
//! for packages of more than 7 MB.
//!
//! # What it can undo
//! Everything but the numbers of versions that were published meanwhile: code, variables, triggers and the live version are put back, and a
//! function that did not exist is removed. Code is put back from the code bucket or from a published version; code that stands in neither is
//! published under the description `flow kept` before it is overwritten.
//!
//! # What is never done twice
//! Every change whose answer was lost is read back by another action before it is sent again. A refusal because the function is busy is
//! judged by the function's status, not by its code.
//!
//! ```
//! use std::sync::Arc;
//!
//! use flow_core::SystemClock;
//! use flow_scf::{NewFunction, ScfConfig, ScfFunctions, Trigger};
//! use flow_tencent::Credential;
//!
//! let config = ScfConfig {
//!     new_functions: Some(NewFunction::new("Nodejs18.15", "index.main_handler")),
//!     ..ScfConfig::new("ap-guangzhou")
//! };
//! let credential = Credential::new("AKID123", "secret", None)?;
//! let functions = ScfFunctions::new(config, Arc::new(credential), Arc::new(SystemClock::new()))?;
//! let canaries = functions.alias(); // a router
//! let nightly = Trigger::timer("0 0 3 * * * *").to_string(); // for `FunctionRelease::triggers`
//! # let _ = (canaries, nightly);
//! # Ok::<(), flow_core::StepError>(())
//! ```

mod adapter;
mod address;
mod client;
mod config;
mod launched;
mod mark;
mod names;
mod trigger;

pub use adapter::{Bypass, ScfAlias, ScfFunctions, ScfVersions};
pub use config::{CodeBucket, NewFunction, ScfConfig};
pub use trigger::{Calls, Trigger, TriggerDesc};
