//! The mocks stand in for every port.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use flow_core::durable::Durable;
use flow_core::journal::JournalStore;
use flow_core::port::{
    AlertRules, AssetStore, Builder, Cdn, ConfigurationStore, EvidenceStore, FunctionPlatform, Host,
    ImageRegistry, Metrics, Migrator, Notifier, Prober, ProcessManager, Router, Source, Vault,
};
use flow_core::{Clock, Entropy};
use flow_testkit::mock::{
    MockAlertRules, MockAssetStore, MockBuilder, MockCdn, MockClock, MockConfigurationStore, MockDurable,
    MockEntropy, MockEvidenceStore, MockFunctionPlatform, MockHost, MockImageRegistry, MockJournalStore,
    MockMetrics, MockMigrator, MockNotifier, MockProber, MockProcessManager, MockRouter, MockSource,
    MockVault,
};

/// The names of the traits that a mock is made an `Arc<dyn ..>` of.
macro_rules! made_of {
    ($($mock:ident as $port:ident),+ $(,)?) => {
        [$({
            let _: Arc<dyn $port> = Arc::new($mock::new());
            stringify!($port)
        }),+]
    };
}

#[test]
fn every_port_has_a_mock_that_stands_in_for_it() {
    let mocked = made_of![
        MockAlertRules as AlertRules,
        MockAssetStore as AssetStore,
        MockBuilder as Builder,
        MockCdn as Cdn,
        MockClock as Clock,
        MockConfigurationStore as ConfigurationStore,
        MockDurable as Durable,
        MockEntropy as Entropy,
        MockEvidenceStore as EvidenceStore,
        MockFunctionPlatform as FunctionPlatform,
        MockHost as Host,
        MockImageRegistry as ImageRegistry,
        MockJournalStore as JournalStore,
        MockMetrics as Metrics,
        MockMigrator as Migrator,
        MockNotifier as Notifier,
        MockProber as Prober,
        MockProcessManager as ProcessManager,
        MockRouter as Router,
        MockSource as Source,
        MockVault as Vault,
    ];
    let mocked: BTreeSet<String> = mocked.into_iter().map(str::to_owned).collect();
    let ports = ports();
    assert!(ports.len() >= 17, "{ports:?}");
    assert_eq!(ports.difference(&mocked).collect::<Vec<_>>(), [""; 0]);
}

/// The ports by the sources of flow-core, so that a new one without a mock is found.
fn ports() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../flow-core/src/port");
    let files = fs::read_dir(folder).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap());
    let declared = |text: String| {
        let traits = text.lines().filter_map(|line| line.strip_prefix("pub trait ")?.split(':').next());
        traits.map(str::to_owned).collect::<Vec<_>>()
    };
    files.flat_map(declared).collect()
}

#[tokio::test]
#[should_panic(expected = "MockVault::open")]
async fn a_call_that_nobody_expected_ends_the_test_with_its_name() {
    let vault = MockVault::new();
    let sealed = flow_core::port::Sealed { digest: flow_core::Digest::of(b"state") };
    let _ = vault.open(&sealed).await;
}
