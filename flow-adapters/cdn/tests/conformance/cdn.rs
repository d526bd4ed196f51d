//! The CDN, judged by a reader before the edge.

use async_trait::async_trait;
use flow_cdn::TencentCdn;
use flow_core::port::Cdn;
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::cdn::{Caching, CdnFixture, DomainFault};

use crate::world::{BUCKET, DOMAIN, World};

struct Fixture {
    world: World,
    cdn: TencentCdn,
}

async fn fresh() -> Fixture {
    let world = World::new().await;
    let cdn = world.cdn();
    Fixture { world, cdn }
}

#[async_trait]
impl CdnFixture for Fixture {
    fn cdn(&self) -> &dyn Cdn {
        &self.cdn
    }

    fn caching(&self) -> Caching {
        Caching::Keeps
    }

    async fn change(&self, path: &str, content: Option<&[u8]>) -> Outside<()> {
        self.world.cloud.change_object(BUCKET, path, content);
        Ok(())
    }

    async fn fetch(&self, path: &str) -> Outside<Option<Vec<u8>>> {
        Ok(self.world.fetch(path).await)
    }

    async fn break_domain(&self) -> Outside<DomainFault> {
        assert!(self.world.cloud.domain_becomes(DOMAIN, "offline"));
        Ok(DomainFault::Stands)
    }
}

flow_testkit::cdn_conformance!(fresh);
