//! The figures of a run against the standard's gates.

use std::collections::BTreeMap;

use crate::gate::StandardGate;
use crate::report::build::ledger::Ledger;
use crate::report::build::receipt::handed;
use crate::report::{GateReport, GateVerdict, Measured};

/// All eight gates. One without a figure is not measured, which is no pass.
pub(super) fn gates(ledger: &Ledger<'_>) -> Vec<GateReport> {
    let mut figures: BTreeMap<StandardGate, Vec<Measured>> = BTreeMap::new();
    let running = ledger.running.iter();
    for (running, (stage, item)) in
        running.flat_map(|running| running.plan.items().map(move |item| (running, item)))
    {
        for figure in handed(running, stage, item).into_iter().flat_map(|handed| handed.figures) {
            let value = figure.value.filter(|value| value.is_finite());
            let holds = value.is_some_and(|value| figure.gate.holds(value));
            let measured =
                Measured { stage, step: item.name.clone(), value, holds, measured: figure.measured };
            figures.entry(figure.gate).or_default().push(measured);
        }
    }
    let report = |gate: StandardGate| {
        let figures = figures.remove(&gate).unwrap_or_default();
        let verdict = match figures.iter().all(|figure| figure.holds) {
            _ if figures.is_empty() => GateVerdict::NotMeasured,
            true => GateVerdict::Kept,
            false => GateVerdict::Broken,
        };
        GateReport { gate, limit: gate.limit(), unit: gate.unit().to_owned(), verdict, figures }
    };
    StandardGate::ALL.into_iter().map(report).collect()
}
