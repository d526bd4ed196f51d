//! Stores in directories, and the small HTTP clients that stand beside them.
//!
//! Every file is replaced whole: written beside, fsynced, renamed over, its directory fsynced. Links inside a store are
//! never followed. Whoever changes a store holds an advisory lock on its root meanwhile, so that a call that was given
//! up by its caller can no longer write into what a later call restores.

mod assets;
mod blocking;
mod configuration;
mod direct_site;
mod directory;
mod evidence;
mod http;
mod prober;
mod rules;
mod vault;
#[cfg(feature = "age")]
mod vault_key;
mod webhook;

pub use assets::DirectoryAssets;
pub use configuration::DirectoryConfiguration;
pub use direct_site::DirectSite;
pub use evidence::DirectoryEvidence;
pub use prober::HttpProber;
pub use rules::RuleFiles;
pub use vault::DirectoryVault;
#[cfg(feature = "age")]
pub use vault_key::VaultKey;
pub use webhook::Webhook;
