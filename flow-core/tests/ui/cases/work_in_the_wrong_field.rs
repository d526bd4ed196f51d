use flow_core::{Work, Workflow};
use flow_core::stage::Migrate;

fn mix_up(workflow: Workflow, migrate: Work<Migrate>) -> Workflow {
    Workflow { assets: migrate, ..workflow }
}

fn main() {}
