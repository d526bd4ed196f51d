//! The report of a run from hand-made histories, each of them one that the machine accepts.

#[cfg(test)]
mod chinese;
#[cfg(test)]
mod content;
#[cfg(test)]
mod form;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod hash;
#[cfg(test)]
mod plan;
#[cfg(test)]
mod rendered;
#[cfg(test)]
mod runs;
#[cfg(test)]
mod story;
