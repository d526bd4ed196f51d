//! Strategies: pure functions that say what a rollout does next.

mod blue_green;
mod canary;
mod headroom;
mod judging;
mod ladder;
mod limits;
mod rolling;
mod shares;
mod view;

#[cfg(test)]
mod sketch;

pub use blue_green::BlueGreen;
pub use canary::Canary;
pub use headroom::{Headroom, NoHeadroom};
pub use ladder::CanaryStep;
pub use rolling::Rolling;
pub use view::{FleetShape, Move, Past, RetireWhen, RolloutView, Seen};

use serde_json::Value;

use crate::error::Problems;
use crate::name::Name;

/// Says what a rollout does next, from what was observed and from nothing else: no clock, no I/O, no memory.
///
/// The driver observes, records what it observed, asks, makes the move durable, carries it out, and asks again. It
/// holds every strategy to the invariants that are its own: traffic only to instances proved healthy now, a move whose
/// intent is recorded is finished before the next question, and `Abort` ends in the observed baseline.
///
/// An implementor **must** hold: the same view gives the same move; every sequence of good observations reaches
/// [`Move::Done`] or [`Move::Abort`]; and weights are multiples of the view's granularity.
///
/// ```
/// use flow_core::strategy::{Move, RolloutView, Strategy};
/// use flow_core::{Name, Problems, Weights, name};
///
/// /// Replaces everything at once, for a service that may be down for a moment.
/// struct AllAtOnce;
///
/// impl Strategy for AllAtOnce {
///     fn name(&self) -> Name {
///         name!("all-at-once")
///     }
///     fn decide(&self, view: &RolloutView) -> Move {
///         if view.ready(&view.new) < view.size {
///             Move::Launch { count: view.size - view.ready(&view.new) }
///         } else if view.weights.share(&view.new) < 100 {
///             Move::Shift { weights: Weights::all_to(view.new.clone()), leaving: Vec::new() }
///         } else {
///             Move::Done
///         }
///     }
/// }
/// ```
pub trait Strategy: Send + Sync {
    /// The strategy's name, for plan and report.
    fn name(&self) -> Name;

    /// Its parameters, for the plan's fingerprint.
    fn definition(&self) -> Value {
        Value::Null
    }

    /// Checks itself against the fleet that it is to replace, when the plan is made.
    ///
    /// # Errors
    /// Everything that makes it impossible, at once.
    fn check(&self, _fleet: &FleetShape) -> Result<(), Problems> {
        Ok(())
    }

    /// Says what to do next.
    fn decide(&self, view: &RolloutView) -> Move;
}
