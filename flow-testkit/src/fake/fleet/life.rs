//! One instance from its launch to its end.

use flow_core::port::{Instance, LaunchSpec};
use tokio::time::Instant;

/// An instance that runs or ran.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) spec: LaunchSpec,
    pub(super) instance: Instance,
    pub(super) launched: Instant,
    /// The idempotency key of its launch.
    pub(super) key: String,
    /// Whether somebody asked for its health and saw it good.
    pub(super) proved: bool,
    /// When it was stopped or killed.
    pub(super) ended: Option<Instant>,
}

impl Life {
    pub(super) fn service(&self) -> &str {
        self.spec.service.as_str()
    }

    pub(super) fn is_at(&self, service: &str, address: &str) -> bool {
        self.service() == service && self.instance.address == address
    }
}
