//! The invariants of the three strategies, over random fleets, faults and verdicts in a simulated world.

#[cfg(test)]
mod invariants;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod scenario;
#[cfg(test)]
mod world;
