//! Tables whose columns line up in a terminal.

use crate::report::markdown::escape::inline;
use crate::report::markdown::width::width;

/// The widest that a column is padded to: one long text must not push the others out of sight.
const WIDEST: usize = 44;

/// A table of plain texts.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<'a>(head: impl IntoIterator<Item = &'a str>) -> Self {
        Self { rows: vec![head.into_iter().map(inline).collect()] }
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().map(|cell| inline(&cell)).collect());
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rows.len() < 2
    }

    pub(super) fn render(&self) -> String {
        let columns = self.rows.first().map_or(0, Vec::len);
        let widths: Vec<usize> = (0..columns).map(|column| self.width(column)).collect();
        let mut out = String::new();
        for (index, row) in self.rows.iter().enumerate() {
            line(&mut out, row, &widths);
            if index == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
                line(&mut out, &rule, &widths);
            }
        }
        out
    }

    /// How wide a column is padded; the last one as wide as its heading.
    fn width(&self, column: usize) -> usize {
        let last = self.rows.first().is_some_and(|head| head.len() == column + 1);
        let rows = if last { 1 } else { self.rows.len() };
        let cells = self.rows.iter().take(rows).filter_map(|row| row.get(column));
        cells.map(|cell| width(cell)).filter(|width| *width <= WIDEST).max().unwrap_or(0).max(3)
    }
}

fn line(out: &mut String, cells: &[String], widths: &[usize]) {
    for (index, (cell, padded)) in cells.iter().zip(widths).enumerate() {
        let padded = if index + 1 == cells.len() { 0 } else { *padded };
        out.push_str("| ");
        out.push_str(cell);
        out.extend(std::iter::repeat_n(' ', padded.saturating_sub(width(cell)) + 1));
    }
    out.push_str("|\n");
}
