//! `LocalProcesses` is a `ProcessManager`.

#[path = "process/child.rs"]
mod child;
#[path = "process/crash.rs"]
mod crash;
#[path = "process/health.rs"]
mod health;
#[path = "process/launch.rs"]
mod launch;
#[path = "process/stop.rs"]
mod stop;
#[path = "process/suite.rs"]
mod suite;
#[path = "process/world.rs"]
mod world;
