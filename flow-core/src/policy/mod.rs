//! What an environment demands of a run, and how a plan or a run breaks it.
//!
//! A policy is judged at two moments. When the plan is made, all at once: from the evidence of earlier runs, and from whether the
//! plan has the step that will prove the rest; nothing is changed by then. And at four [borders](Border) of the run, from what the run
//! itself has proved by then; a violation there is a failure of the run, which takes itself back.

mod border;
mod evidence;
mod model;
mod plan;
mod proof;
mod violation;

pub(crate) use border::{Reach, at_border, proved};
pub use model::{Broken, Figures, Policy, Scripts};
pub(crate) use plan::{check, deployed};
pub use proof::{Border, Proof};
pub use violation::{Violation, Violations};
