//! From records to a [`Document`](crate::report::Document).

mod advice;
mod anomalies;
mod document;
mod failure;
mod gates;
mod handled;
mod ledger;
mod lessons;
mod moves;
mod people;
mod receipt;
mod rollback;
mod stages;

pub(super) use document::document;
