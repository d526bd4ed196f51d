//! The ports of what is built, published and watched.

use std::collections::BTreeMap;
use std::path::Path;

use async_trait::async_trait;
use flow_core::port::{
    AlertRules, AssetStore, Builder, Built, Cdn, ConfigurationStore, DomainReport, FunctionPlatform,
    FunctionSpec, FunctionState, ImageRegistry, Invocation, Manifest, Notification, NotificationReceipt,
    Notifier, RuleSet, Source, SourceRequest, SourceVersion,
};
use flow_core::{Digest, Name, Permit, StepError};
use mockall::mock;
use serde_json::Value;

mock! {
    /// A mock of [`Source`].
    pub Source {}

    #[async_trait]
    impl Source for Source {
        async fn resolve(&self, request: &SourceRequest) -> Result<SourceVersion, StepError>;
        async fn check_out(&self, permit: &Permit, version: &SourceVersion) -> Result<(), StepError>;
    }
}

mock! {
    /// A mock of [`Builder`].
    pub Builder {}

    #[async_trait]
    impl Builder for Builder {
        fn describe(&self) -> Vec<String>;
        async fn find(&self, version: &SourceVersion) -> Result<Option<Built>, StepError>;
        async fn build(&self, permit: &Permit, version: &SourceVersion) -> Result<Built, StepError>;
        async fn discard(&self, permit: &Permit, digests: &[Digest]) -> Result<(), StepError>;
    }
}

mock! {
    /// A mock of [`ConfigurationStore`].
    pub ConfigurationStore {}

    #[async_trait]
    impl ConfigurationStore for ConfigurationStore {
        async fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StepError>;
        async fn write(&self, permit: &Permit, name: &Name, content: Option<Vec<u8>>) -> Result<(), StepError>;
    }
}

mock! {
    /// A mock of [`ImageRegistry`].
    pub ImageRegistry {}

    #[async_trait]
    impl ImageRegistry for ImageRegistry {
        async fn find(&self, reference: &str) -> Result<Option<Digest>, StepError>;
        async fn push(&self, permit: &Permit, tree: &SourceVersion, reference: &str) -> Result<Digest, StepError>;
    }
}

mock! {
    /// A mock of [`AssetStore`].
    pub AssetStore {}

    #[async_trait]
    impl AssetStore for AssetStore {
        fn resource(&self) -> Name;
        async fn read(&self, directory: &Path) -> Result<Manifest, StepError>;
        async fn serving(&self) -> Result<Manifest, StepError>;
        async fn put(&self, permit: &Permit, directory: &Path, manifest: &Manifest) -> Result<(), StepError>;
        async fn restore(&self, permit: &Permit, before: &Manifest) -> Result<(), StepError>;
    }
}

mock! {
    /// A mock of [`Cdn`].
    pub Cdn {}

    #[async_trait]
    impl Cdn for Cdn {
        async fn purge(&self, permit: &Permit, paths: &[String]) -> Result<(), StepError>;
        async fn domain(&self) -> Result<DomainReport, StepError>;
    }
}

mock! {
    /// A mock of [`FunctionPlatform`].
    pub FunctionPlatform {}

    #[async_trait]
    impl FunctionPlatform for FunctionPlatform {
        async fn state(&self, function: &Name) -> Result<FunctionState, StepError>;
        async fn update_code(&self, permit: &Permit, spec: &FunctionSpec) -> Result<(), StepError>;
        async fn set_triggers(
            &self,
            permit: &Permit,
            function: &Name,
            triggers: &BTreeMap<Name, String>,
        ) -> Result<(), StepError>;
        async fn set_variables(
            &self,
            permit: &Permit,
            function: &Name,
            variables: &BTreeMap<String, String>,
        ) -> Result<(), StepError>;
        async fn publish(&self, permit: &Permit, function: &Name) -> Result<String, StepError>;
        async fn make_live(&self, permit: &Permit, function: &Name, version: &str) -> Result<(), StepError>;
        async fn invoke(&self, function: &Name, version: &str, event: &Value) -> Result<Invocation, StepError>;
        async fn restore(
            &self,
            permit: &Permit,
            function: &Name,
            before: &FunctionState,
        ) -> Result<(), StepError>;
    }
}

mock! {
    /// A mock of [`AlertRules`].
    pub AlertRules {}

    #[async_trait]
    impl AlertRules for AlertRules {
        async fn read(&self, name: &Name) -> Result<Option<RuleSet>, StepError>;
        async fn apply(&self, permit: &Permit, rules: &RuleSet) -> Result<(), StepError>;
        async fn remove(&self, permit: &Permit, name: &Name) -> Result<(), StepError>;
    }
}

mock! {
    /// A mock of [`Notifier`].
    pub Notifier {}

    #[async_trait]
    impl Notifier for Notifier {
        async fn notify(
            &self,
            permit: &Permit,
            notification: &Notification,
        ) -> Result<NotificationReceipt, StepError>;
    }
}
