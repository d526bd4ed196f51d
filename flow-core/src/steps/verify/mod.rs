//! Stage 8: functions, performance and journeys as users meet them, the change record, the handover.

mod checks;
mod documents;
mod figures;
mod handover;
mod performance;

pub use checks::{CheckFunctions, CheckJourney};
pub use documents::WriteDocuments;
pub use figures::{MeasureFigures, PageLoad};
pub use handover::HandOver;
pub use performance::MeasurePerformance;
