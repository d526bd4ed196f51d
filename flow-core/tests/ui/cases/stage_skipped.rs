use flow_core::stage::Build;
use flow_core::{Deployment, Works};

async fn skip_the_build(deployment: Deployment<Build>, work: Works) {
    let _ = deployment.run(work.migrate).await;
}

fn main() {}
