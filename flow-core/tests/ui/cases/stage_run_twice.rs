use flow_core::stage::Build;
use flow_core::{Deployment, Works};

async fn build_twice(deployment: Deployment<Build>, work: Works) {
    let _once = deployment.run(work.build.clone()).await;
    let _again = deployment.run(work.build).await;
}

fn main() {}
