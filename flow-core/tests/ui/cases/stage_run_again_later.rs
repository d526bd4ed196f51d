use flow_core::stage::Build;
use flow_core::{Deployment, Failed, Works};

async fn build_again(deployment: Deployment<Build>, work: Works) -> Result<(), Failed<Build>> {
    let deployment = deployment.run(work.build.clone()).await?;
    let _ = deployment.run(work.build).await;
    Ok(())
}

fn main() {}
