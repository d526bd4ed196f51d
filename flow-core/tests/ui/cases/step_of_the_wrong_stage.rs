use flow_core::prelude::*;
use flow_core::Work;
use flow_core::stage::{Assets, Migrate, MigrateActivity};

struct SqlMigrations;

#[async_trait]
impl Rollback<Migrate> for SqlMigrations {
    fn reversibility(&self) -> Reversibility {
        Reversibility::Reversible
    }
    async fn capture(&self, _: &StepContext<Migrate>) -> Result<Captured, StepError> {
        Ok(Captured::nothing())
    }
    async fn roll_back(
        &self, _: &StepContext<Migrate>, _: &Permit, _: &Captured, _: &Outcome<Migrate>,
    ) -> Result<(), StepError> {
        Ok(())
    }
}

#[async_trait]
impl Step<Migrate> for SqlMigrations {
    fn name(&self) -> Name {
        name!("migrations")
    }
    fn covers(&self) -> Vec<MigrateActivity> {
        vec![MigrateActivity::Apply]
    }
    async fn preview(&self, _: &StepContext<Migrate>) -> Result<Preview, StepError> {
        Ok(Preview::new())
    }
    async fn run(&self, _: &StepContext<Migrate>, _: &Permit, _: &Captured) -> Result<Receipt<Migrate>, StepError> {
        Ok(Receipt::new())
    }
}

fn main() {
    let _ = Work::<Assets>::step(SqlMigrations);
}
