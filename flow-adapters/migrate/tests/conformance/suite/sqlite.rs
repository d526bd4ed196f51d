//! Every promise of a migrator, on SQLite.

use super::server::Fixture;
use crate::stage::Engine;

async fn fresh() -> Fixture {
    Fixture::new(Engine::Sqlite).await
}

flow_testkit::migrator_conformance!(fresh);
