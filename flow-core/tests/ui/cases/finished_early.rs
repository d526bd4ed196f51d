use flow_core::Deployment;
use flow_core::stage::Verify;

fn finish_without_verifying(deployment: Deployment<Verify>) {
    deployment.finish();
}

fn main() {}
