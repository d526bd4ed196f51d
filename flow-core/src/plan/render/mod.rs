//! A plan for people and for machines: as text, as JSON, as a Mermaid flowchart.

mod estimate;
mod json;
mod mermaid;
mod text;

pub use estimate::Estimate;
