//! `ScfFunctions` keeps every promise of a `FunctionPlatform`, `ScfAlias` every promise of a `Router`.

mod platform {
    use async_trait::async_trait;
    use flow_core::port::FunctionPlatform;
    use flow_core::{Artifact, Name};
    use flow_scf::Trigger;
    use flow_testkit::conformance::Outside;
    use flow_testkit::conformance::functions::{Behaviour, FunctionsFixture};
    use serde_json::Value;

    use crate::world::World;

    async fn fresh() -> World {
        World::new().await
    }

    #[async_trait]
    impl FunctionsFixture for World {
        fn platform(&self) -> &dyn FunctionPlatform {
            &self.functions
        }

        async fn code(&self, behaviour: Behaviour) -> Outside<Artifact> {
            Ok(match behaviour {
                Behaviour::Answers(marker) => self.telling(marker),
                Behaviour::Fails => self.package("fails", |_| Err("boom".to_owned())),
            })
        }

        fn triggers(&self) -> [String; 2] {
            ["0 0 3 * * * *", "0 0 4 * * * *"].map(|cron| Trigger::timer(cron).to_string())
        }

        async fn call(&self, function: &Name, event: &Value) -> Outside<Option<Value>> {
            Ok(World::call(self, function, event).await)
        }
    }

    flow_testkit::functions_conformance!(fresh);
}

mod router {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::Sender;

    use async_trait::async_trait;
    use flow_core::port::Router;
    use flow_core::{Name, name};
    use flow_testkit::cloud::Fault;
    use flow_testkit::conformance::Outside;
    use flow_testkit::conformance::router::{Answer, Counting, Held, RouterFixture, Sharing};
    use serde_json::{Value, json};
    use tokio::task::JoinHandle;

    use crate::world::{SHOP, World};

    const MAIL: Name = name!("mail");

    struct Fixture {
        world: World,
        router: Arc<dyn Router>,
        backends: AtomicU32,
    }

    async fn fresh() -> Fixture {
        let world = World::new().await;
        for function in [SHOP, MAIL] {
            world.publish(&function, "before any").await;
        }
        let router = Arc::new(world.functions.alias());
        Fixture { world, router, backends: AtomicU32::new(0) }
    }

    /// Who answered, by what the code itself said.
    fn answer(told: Option<&Value>) -> Option<Answer> {
        let told = told?;
        let (version, _) = told.get("code")?.as_str()?.split_once('#')?;
        Some(Answer { version: Name::new(version).ok()?, address: told.get("address")?.as_str()?.to_owned() })
    }

    struct Open(JoinHandle<Option<Value>>, Sender<()>);

    #[async_trait]
    impl Held for Open {
        async fn finish(self: Box<Self>) -> Outside<Option<Answer>> {
            self.1.send(())?;
            Ok(answer(self.0.await?.as_ref()))
        }
    }

    #[async_trait]
    impl RouterFixture for Fixture {
        fn router(&self) -> Arc<dyn Router> {
            Arc::clone(&self.router)
        }

        fn next_controller(&self) -> Arc<dyn Router> {
            Arc::new(self.world.opened(|config| config).alias())
        }

        fn service(&self) -> Name {
            SHOP
        }

        fn other_service(&self) -> Option<Name> {
            Some(MAIL)
        }

        fn sharing(&self) -> Sharing {
            Sharing::Impossible("an alias leads to two versions at most, each with its own share")
        }

        fn counting(&self) -> Counting {
            Counting::Impossible("the platform does not count the calls of a version")
        }

        async fn backend(&self, service: &Name, version: &Name) -> Outside<String> {
            let number = self.backends.fetch_add(1, Ordering::SeqCst);
            let published = self.world.publish(service, &format!("{version}#{number}")).await;
            Ok(format!("scf:{service}/{published}"))
        }

        async fn kill(&self, address: &str) -> Outside<()> {
            let named = address.strip_prefix("scf:").and_then(|named| named.split_once('/'));
            let (function, version) = named.ok_or("no address of a function")?;
            let subject = (function.to_owned(), version.to_owned());
            self.world.cloud.fault(Fault::ScfInvoke { subject, times: u32::MAX });
            Ok(())
        }

        async fn request(&self, service: &Name) -> Outside<Option<Answer>> {
            Ok(answer(self.world.call(service, &json!({})).await.as_ref()))
        }

        async fn begin(&self, service: &Name) -> Outside<Box<dyn Held>> {
            let (calling, ends) = self.world.hold(service).await;
            Ok(Box::new(Open(calling, ends)))
        }
    }

    flow_testkit::router_conformance!(fresh);
}
