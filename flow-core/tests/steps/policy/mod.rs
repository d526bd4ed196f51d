//! The standard's prohibitions and requirements: the plan that breaks each is refused with its violation and the world
//! byte-identical, the run that breaks it at a border is taken back, and the one that keeps it completes.

mod bad;
mod border;
mod claims;
mod evidence;
mod line;
mod plan;
mod stricter;
mod travel;
mod ways;
