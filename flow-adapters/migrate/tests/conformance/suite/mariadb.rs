//! Every promise of a migrator, on MariaDB.

use super::server::Fixture;
use crate::stage::Engine;

async fn fresh() -> Fixture {
    Fixture::new(Engine::Mariadb).await
}

flow_testkit::migrator_conformance!(fresh);
