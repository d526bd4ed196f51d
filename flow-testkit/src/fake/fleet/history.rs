use std::time::Duration;

use flow_core::Name;
use flow_core::port::{InstanceId, Routing};

/// A change of a [`FakeFleet`](super::FakeFleet), and what stood after it: what a test holds an invariant against.
///
/// ```
/// # let fleet = flow_testkit::fake::FakeFleet::new();
/// for snapshot in fleet.history() {
///     assert!(snapshot.exposed.is_empty(), "traffic went to an unhealthy instance: {snapshot:?}");
///     assert!(snapshot.routing.0.is_empty() || snapshot.serving.len() >= 2, "too few serve: {snapshot:?}");
///     assert_eq!(snapshot.cut, 0, "a request was cut off: {snapshot:?}");
/// }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// When it was, since the world began.
    pub at: Duration,
    /// The service that was changed.
    pub service: Name,
    /// The change in words: `launch web-1`, `route web to 1.1.0 100 %`, `stop web-1`.
    pub change: String,
    /// The routing of the service in force since.
    pub routing: Routing,
    /// The instances that get traffic and are healthy.
    pub serving: Vec<InstanceId>,
    /// The addresses that get traffic and where nothing healthy listens.
    pub exposed: Vec<String>,
    /// How many requests under way a stop cut off.
    pub cut: u64,
}
