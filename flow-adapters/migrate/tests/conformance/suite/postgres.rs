//! Every promise of a migrator, on PostgreSQL.

use super::server::Fixture;
use crate::stage::Engine;

async fn fresh() -> Fixture {
    Fixture::new(Engine::Postgres).await
}

flow_testkit::migrator_conformance!(fresh);
