//! Every promise of the `Migrator` port, against real SQLite files, judged through separate connections.

#[cfg(test)]
#[path = "conformance/apply.rs"]
mod apply;
#[cfg(test)]
#[path = "conformance/approved.rs"]
mod approved;
#[cfg(test)]
#[path = "conformance/backup.rs"]
mod backup;
#[cfg(test)]
#[path = "conformance/backup_of_servers.rs"]
mod backup_of_servers;
#[cfg(test)]
#[path = "conformance/corpora.rs"]
mod corpora;
#[cfg(test)]
#[path = "conformance/crash.rs"]
mod crash;
#[cfg(test)]
#[path = "conformance/engines.rs"]
mod engines;
#[cfg(test)]
#[path = "conformance/faults.rs"]
mod faults;
#[cfg(test)]
#[path = "conformance/impact.rs"]
mod impact;
#[cfg(test)]
#[path = "conformance/journal.rs"]
mod journal;
#[cfg(test)]
#[path = "conformance/kill.rs"]
mod kill;
#[cfg(test)]
#[path = "conformance/phases.rs"]
mod phases;
#[cfg(test)]
#[path = "conformance/rehearsal.rs"]
mod rehearsal;
#[cfg(test)]
#[path = "conformance/resolve.rs"]
mod resolve;
#[cfg(test)]
#[path = "conformance/revert.rs"]
mod revert;
#[cfg(test)]
#[path = "conformance/servers.rs"]
mod servers;
#[cfg(test)]
#[path = "conformance/stage.rs"]
mod stage;
#[cfg(test)]
#[path = "conformance/state.rs"]
mod state;
#[cfg(test)]
#[path = "conformance/suite.rs"]
mod suite;
#[cfg(test)]
#[path = "conformance/wire.rs"]
mod wire;
#[cfg(test)]
#[path = "conformance/world.rs"]
mod world;
