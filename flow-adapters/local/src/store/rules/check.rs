//! What Prometheus demands of a rule file, all problems at once.
//!
//! The fields and rules are those of Prometheus' own `model/rulefmt`.

use std::collections::BTreeMap;

use flow_core::Problems;
use serde_saphyr::Spanned;

use super::notation::{expression_problem, is_duration, is_label_name, is_metric_name};
use super::yaml::{Located, Node, parse};

const GROUP_FIELDS: [&str; 6] = ["name", "interval", "query_offset", "limit", "labels", "rules"];
const RULE_FIELDS: [&str; 7] = ["record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"];

/// Checks a whole rule file.
pub(super) fn check(text: &str) -> Result<(), Problems> {
    let mut check = Check { problems: Problems::default() };
    match parse(text) {
        Ok(root) => check.file(&root),
        Err(problem) => check.problems.add("rules", problem),
    }
    check.problems.into_result()
}

struct Check {
    problems: Problems,
}

/// The fields of a mapping by name.
type Fields<'a> = BTreeMap<&'a str, &'a Located>;

impl Check {
    fn add<T>(&mut self, at: &Spanned<T>, field: &str, problem: impl std::fmt::Display) {
        let (line, column) = (at.referenced.line(), at.referenced.column());
        self.problems.add(field, format!("{problem} (line {line}, column {column})"));
    }

    fn file(&mut self, root: &Located) {
        let Some(fields) = self.mapping(root, "rules", &["groups"]) else { return };
        let Some(groups) = fields.get("groups") else {
            return self.add(root, "groups", "is missing");
        };
        let mut lines: BTreeMap<String, u64> = BTreeMap::new();
        for (index, group) in self.sequence(groups, "groups").iter().enumerate() {
            let field = format!("groups[{index}]");
            let Some(name) = self.group(group, &field) else { continue };
            let line = group.referenced.line();
            if let Some(first) = lines.get(&name) {
                self.add(group, &format!("{field}.name"), format_args!("`{name}` is taken by line {first}"));
            } else {
                lines.insert(name, line);
            }
        }
    }

    /// Checks a group and says its name.
    fn group(&mut self, group: &Located, field: &str) -> Option<String> {
        let fields = self.mapping(group, field, &GROUP_FIELDS)?;
        for name in ["interval", "query_offset"] {
            self.duration(&fields, name, field);
        }
        if let Some(limit) = fields.get("limit") {
            let path = format!("{field}.limit");
            if self.text(limit, &path).is_some_and(|text| text.parse::<u32>().is_err()) {
                self.add(limit, &path, "is not a whole number");
            }
        }
        self.labels(&fields, "labels", field);
        match fields.get("rules") {
            Some(rules) => {
                let path = format!("{field}.rules");
                for (index, rule) in self.sequence(rules, &path).iter().enumerate() {
                    self.rule(rule, &format!("{path}[{index}]"));
                }
            }
            None => self.add(group, &format!("{field}.rules"), "is missing"),
        }
        self.required(group, &fields, "name", field).map(str::to_owned)
    }

    fn rule(&mut self, rule: &Located, field: &str) {
        let Some(fields) = self.mapping(rule, field, &RULE_FIELDS) else { return };
        match (fields.get("record"), fields.get("alert")) {
            (Some(record), None) => self.recording(record, &fields, field),
            (None, Some(_)) => {
                self.required(rule, &fields, "alert", field);
            }
            (None, None) => self.add(rule, field, "must have `record` or `alert`"),
            (Some(_), Some(alert)) => self.add(alert, field, "must not have both `record` and `alert`"),
        }
        if let Some(expression) = self.required(rule, &fields, "expr", field)
            && let (Some(at), Some(problem)) = (fields.get("expr"), expression_problem(expression))
        {
            self.add(*at, &format!("{field}.expr"), problem);
        }
        for name in ["for", "keep_firing_for"] {
            self.duration(&fields, name, field);
        }
        for name in ["labels", "annotations"] {
            self.labels(&fields, name, field);
        }
    }

    fn recording(&mut self, record: &Located, fields: &Fields<'_>, field: &str) {
        let path = format!("{field}.record");
        if self.text(record, &path).is_some_and(|name| !is_metric_name(name)) {
            self.add(record, &path, "is not a metric name");
        }
        for name in ["for", "keep_firing_for", "annotations"] {
            if let Some(at) = fields.get(name) {
                self.add(*at, &format!("{field}.{name}"), "has no meaning in a recording rule");
            }
        }
    }

    fn duration(&mut self, fields: &Fields<'_>, name: &str, field: &str) {
        let Some(at) = fields.get(name) else { return };
        let path = format!("{field}.{name}");
        if let Some(text) = self.text(at, &path).filter(|text| !is_duration(text)) {
            self.add(*at, &path, format_args!("`{text}` is not a duration such as `5m`"));
        }
    }

    fn labels(&mut self, fields: &Fields<'_>, name: &str, field: &str) {
        let Some(at) = fields.get(name) else { return };
        let path = format!("{field}.{name}");
        let Node::Mapping(entries) = &at.value else {
            return self.add(*at, &path, format_args!("must be a mapping, not {}", at.value.kind()));
        };
        for (key, value) in entries {
            if !is_label_name(&key.value) {
                self.add(key, &path, format_args!("`{}` is not a label name", key.value));
            }
            self.text(value, &format!("{path}.{}", key.value));
        }
    }

    /// The text of a field that must be there and must not be empty.
    fn required<'a>(
        &mut self,
        parent: &Located,
        fields: &Fields<'a>,
        name: &str,
        field: &str,
    ) -> Option<&'a str> {
        let path = format!("{field}.{name}");
        let Some(at) = fields.get(name) else {
            self.add(parent, &path, "is missing");
            return None;
        };
        let text = self.text(at, &path)?;
        if text.trim().is_empty() {
            self.add(*at, &path, "is empty");
            return None;
        }
        Some(text)
    }

    fn text<'a>(&mut self, at: &'a Located, field: &str) -> Option<&'a str> {
        if let Node::Scalar(text) = &at.value {
            return Some(text);
        }
        self.add(at, field, format_args!("must be text, not {}", at.value.kind()));
        None
    }

    fn sequence<'a>(&mut self, at: &'a Located, field: &str) -> &'a [Located] {
        if let Node::Sequence(items) = &at.value {
            return items;
        }
        self.add(at, field, format_args!("must be a list, not {}", at.value.kind()));
        &[]
    }

    fn mapping<'a>(&mut self, at: &'a Located, field: &str, known: &[&str]) -> Option<Fields<'a>> {
        let Node::Mapping(entries) = &at.value else {
            self.add(at, field, format_args!("must be a mapping, not {}", at.value.kind()));
            return None;
        };
        for (key, _) in entries {
            if !known.contains(&key.value.as_str()) {
                self.add(key, field, format_args!("has an unknown field `{}`", key.value));
            }
        }
        Some(entries.iter().map(|(key, value)| (key.value.as_str(), value)).collect())
    }
}
