use flow_core::prelude::*;
use flow_core::stage::{Assets, AssetsActivity};

struct Upload;

#[async_trait]
impl Step<Assets> for Upload {
    fn name(&self) -> Name {
        name!("upload")
    }
    fn covers(&self) -> Vec<AssetsActivity> {
        vec![AssetsActivity::Upload]
    }
    async fn preview(&self, _: &StepContext<Assets>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }
    async fn run(&self, _: &StepContext<Assets>, _: &Permit, _: &Captured) -> Result<Receipt<Assets>, StepError> {
        Ok(Receipt::new())
    }
}

fn main() {}
