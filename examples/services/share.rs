//! A strategy of its own: a share of the traffic, and nothing else.

use flow_core::strategy::{Move, RolloutView, Strategy};
use flow_core::{Name, Weights, name};
use serde_json::{Value, json};

/// Gives the new version `percent` of the traffic and the one that is kept beside it the rest. Starts and stops nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Share {
    pub(crate) percent: u8,
}

impl Strategy for Share {
    fn name(&self) -> Name {
        name!("share")
    }

    fn definition(&self) -> Value {
        json!({ "percent": self.percent })
    }

    fn decide(&self, view: &RolloutView) -> Move {
        let kept = view.instances.iter().find(|seen| seen.healthy && seen.version != view.new);
        let rest = kept.map(|seen| (seen.version.clone(), 100_u8.saturating_sub(self.percent)));
        match Weights::new([(view.new.clone(), self.percent)].into_iter().chain(rest)) {
            Err(_) => Move::Abort { reason: "no other version is kept that could have the rest".to_owned() },
            Ok(weights) if weights == view.weights => Move::Done,
            Ok(weights) => Move::Shift { weights, leaving: Vec::new() },
        }
    }
}
