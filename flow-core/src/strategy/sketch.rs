//! Views to decide on, drawn in one line: version `v1` is old, `v2` is new, instances are `v1-0`, `v1-1`, ...

use std::time::Duration;

use crate::gate::{Judgement, OnSilence, Thresholds, Verdict};
use crate::name;
use crate::name::Name;
use crate::port::Weights;
use crate::strategy::{Move, Past, RolloutView, Seen};

pub(super) struct Sketch {
    size: u32,
    old: u32,
    new: u32,
    dead: u32,
    share: u8,
    gate: Option<Thresholds>,
}

impl Sketch {
    pub(super) fn of(size: u32) -> Self {
        Self { size, old: 0, new: 0, dead: 0, share: 0, gate: None }
    }

    /// Healthy old instances, with traffic while the new share is below 100.
    pub(super) fn old(self, old: u32) -> Self {
        Self { old, ..self }
    }

    /// Healthy new instances, with traffic once the new version has a share.
    pub(super) fn fresh(self, new: u32) -> Self {
        Self { new, ..self }
    }

    /// Unhealthy new instances without traffic.
    pub(super) fn dead(self, dead: u32) -> Self {
        Self { dead, ..self }
    }

    pub(super) fn share(self, share: u8) -> Self {
        Self { share, ..self }
    }

    pub(super) fn gated(self, gate: Thresholds) -> Self {
        Self { gate: Some(gate), ..self }
    }

    pub(super) fn view(self) -> RolloutView {
        let old = (0..self.old).map(|index| seen("v1", index, true, self.share < 100));
        let fresh = (0..self.new + self.dead)
            .map(|index| seen("v2", index, index < self.new, index < self.new && self.share > 0));
        let shares = [(name!("v1"), 100 - self.share), (name!("v2"), self.share)];
        let unrouted = self.old == 0 && self.share == 0;
        RolloutView {
            service: name!("web"),
            size: self.size,
            old: (self.old > 0).then(|| name!("v1")),
            new: name!("v2"),
            instances: old.chain(fresh).collect(),
            weights: if unrouted { Weights::none() } else { Weights::new(shares).expect("they sum to 100") },
            granularity: 1,
            gate: self.gate,
            history: Vec::new(),
        }
    }
}

fn seen(version: &'static str, index: u32, healthy: bool, routed: bool) -> Seen {
    let id = Name::new(format!("{version}-{index}")).expect("a name");
    Seen { id, version: Name::new(version).expect("a name"), healthy, routed, in_flight: 0 }
}

pub(super) fn gate(on_insufficient: OnSilence, on_provider_error: OnSilence) -> Thresholds {
    Thresholds {
        max_failure_ratio: 0.01,
        max_p99_ms: None,
        min_requests: 10,
        on_insufficient,
        on_provider_error,
    }
}

pub(super) fn baked() -> Duration {
    Duration::from_millis(100)
}

pub(super) fn waited() -> Past {
    Past { made: Move::Bake { duration: baked() }, judgement: None }
}

pub(super) fn said(verdict: Verdict) -> Past {
    Past { made: Move::Judge, judgement: judging(&Move::Judge, verdict) }
}

pub(super) fn launched(count: u32) -> Past {
    Past { made: Move::Launch { count }, judgement: None }
}

pub(super) fn shifted(weights: &Weights) -> Past {
    Past { made: Move::Shift { weights: weights.clone(), leaving: Vec::new() }, judgement: None }
}

pub(super) fn ask(gate: &str) -> Move {
    Move::AwaitApproval { gate: Name::new(gate).expect("a name") }
}

/// What a gate that says `verdict` adds to `made`.
pub(super) fn judging(made: &Move, verdict: Verdict) -> Option<Judgement> {
    let judgement = Judgement {
        verdict,
        reason: format!("the gate said {verdict:?}"),
        observed: std::collections::BTreeMap::new(),
    };
    (*made == Move::Judge).then_some(judgement)
}
