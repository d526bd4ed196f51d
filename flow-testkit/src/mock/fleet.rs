//! The ports of running services.

use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{
    Health, InFlight, Instance, InstanceId, LaunchSpec, Metrics, ProbeReply, ProbeRequest, Prober,
    ProcessManager, Router, Routing, Sample,
};
use flow_core::{Name, Permit, StepError};
use mockall::mock;

mock! {
    /// A mock of [`ProcessManager`].
    pub ProcessManager {}

    #[async_trait]
    impl ProcessManager for ProcessManager {
        async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError>;
        async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError>;
        async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError>;
        async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError>;
        async fn stop(
            &self,
            permit: &Permit,
            service: &Name,
            instance: &InstanceId,
            grace: Duration,
        ) -> Result<(), StepError>;
    }
}

mock! {
    /// A mock of [`Router`].
    pub Router {}

    #[async_trait]
    impl Router for Router {
        fn granularity(&self) -> u8;
        async fn routing(&self, service: &Name) -> Result<Routing, StepError>;
        async fn route(&self, permit: &Permit, service: &Name, routing: &Routing) -> Result<(), StepError>;
        async fn in_flight(&self, service: &Name) -> Result<InFlight, StepError>;
    }
}

mock! {
    /// A mock of [`Metrics`].
    pub Metrics {}

    #[async_trait]
    impl Metrics for Metrics {
        async fn sample(&self, service: &Name, version: &Name) -> Result<Option<Sample>, StepError>;
    }
}

mock! {
    /// A mock of [`Prober`].
    pub Prober {}

    #[async_trait]
    impl Prober for Prober {
        async fn get(&self, request: &ProbeRequest) -> Result<ProbeReply, StepError>;
    }
}
