use std::fmt::Write as _;

use crate::plain::one_line;
use crate::plan::{Plan, PlannedItem, PlannedStage};
use crate::rollback::Reversibility;

impl Plan {
    /// The plan as a Mermaid flowchart: one box a stage, one node a step with its changes, its undo and its estimate; steps side
    /// by side run at the same time, and the point of no return is marked.
    ///
    /// Free texts stand in quoted labels, and every character of them that could mean anything is written as its number: no
    /// text ends its label.
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        let mut out = String::from("flowchart TD\n");
        let title = format!("{} {} to {}", self.application, self.release, self.environment);
        let _ = writeln!(out, "  begin([\"{}\"])", label(&title));
        let mut node = 0_u32;
        let mut before = vec!["begin".to_owned()];
        for stage in &self.stages {
            let groups = draw_stage(&mut out, self, stage, &mut node);
            for group in groups {
                for (from, to) in before.iter().flat_map(|from| group.iter().map(move |to| (from, to))) {
                    let _ = writeln!(out, "  {from} --> {to}");
                }
                before = group;
            }
        }
        let _ = writeln!(out, "  done([\"{}\"])", label(&format!("verified, {}", self.estimate())));
        for from in &before {
            let _ = writeln!(out, "  {from} --> done");
        }
        out.push_str("  classDef irreversible stroke-width:4px\n  classDef leftout stroke-dasharray:4\n");
        out
    }
}

/// Draws the box of one stage; the names of its nodes, group by group.
fn draw_stage(out: &mut String, plan: &Plan, stage: &PlannedStage, node: &mut u32) -> Vec<Vec<String>> {
    let number = stage.stage.number();
    let title = format!("{number} {}, {}", stage.stage, stage.estimate());
    let _ = writeln!(out, "  subgraph stage{number}[\"{}\"]", label(&title));
    let mut next = || {
        *node += 1;
        format!("n{node}")
    };
    let mut groups: Vec<(u32, Vec<String>)> = Vec::new();
    for item in &stage.items {
        let name = next();
        let last = plan.point_of_no_return().is_some_and(|(at, last)| at == stage.stage && last == item);
        let class = if matches!(item.reversibility, Reversibility::Irreversible { .. }) {
            ":::irreversible"
        } else {
            ""
        };
        let _ = writeln!(out, "    {name}[\"{}\"]{class}", lines(item, last).join("<br/>"));
        match groups.last_mut() {
            Some((group, names)) if *group == item.group => names.push(name),
            _ => groups.push((item.group, vec![name])),
        }
    }
    for (activity, declared) in &stage.without {
        let text = format!("{} not applicable, {} ({})", activity.activity, declared.reason, declared.by);
        let _ = writeln!(out, "    {}[\"{}\"]:::leftout", next(), label(&text));
    }
    if let Some(declared) = &stage.not_applicable {
        let text = format!("not applicable, {} ({})", declared.reason, declared.by);
        let name = next();
        let _ = writeln!(out, "    {name}[\"{}\"]:::leftout", label(&text));
        if groups.is_empty() {
            groups.push((0, vec![name]));
        }
    }
    out.push_str("  end\n");
    groups.into_iter().map(|(_, names)| names).collect()
}

fn lines(item: &PlannedItem, last: bool) -> Vec<String> {
    let mut lines = vec![label(item.name.as_str())];
    lines.extend(
        item.preview
            .changes
            .iter()
            .map(|change| label(&format!("{} from {} to {}", change.what, change.from, change.to))),
    );
    lines.extend(item.preview.unknowns.iter().map(|unknown| label(&format!("unknown, {unknown}"))));
    lines.push(label(&format!("undo, {}", item.reversibility)));
    let time = item.preview.estimate.map_or_else(|| "unknown".to_owned(), super::estimate::time);
    lines.push(label(&format!("takes {time}")));
    if last {
        lines.push(label("point of no return"));
    }
    lines
}

/// `text` inside a quoted label: letters, digits and a few marks stand for themselves, everything else is written as
/// `#number;`, which Mermaid shows as the character. Not even a colon is left: Mermaid's own preparation looks for styles.
fn label(text: &str) -> String {
    let mut out = String::new();
    for char in one_line(text).chars() {
        if char.is_alphanumeric() || matches!(char, ' ' | '.' | ',' | '_' | '-' | '+' | '/' | '(' | ')') {
            out.push(char);
        } else {
            let _ = write!(out, "#{};", u32::from(char));
        }
    }
    // An empty label is none: Mermaid refuses it.
    if out.is_empty() { "-".to_owned() } else { out }
}
