use flow_core::{Works, Workflow};

fn forget_the_monitoring(work: Works) -> Workflow {
    Workflow {
        prepare: work.prepare,
        build: work.build,
        migrate: work.migrate,
        assets: work.assets,
        services: work.services,
        functions: work.functions,
        verify: work.verify,
    }
}

fn main() {}
