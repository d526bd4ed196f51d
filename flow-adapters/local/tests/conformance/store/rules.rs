use std::fs;

use flow_core::port::{AlertRules, RuleSet};
use flow_core::{ErrorKind, Name, name};
use flow_local::store::RuleFiles;
use flow_testkit::permit;
use tempfile::TempDir;

use super::tree::{tree, whole};

const GOOD: &str = r#"# kept as it is
groups:
  - name: web
    interval: 30s
    limit: 10
    labels: {team: shop}
    rules:
      - record: job:errors:rate5m
        expr: sum by (job) (rate(errors_total{code=~"5.."}[5m]))
      - alert: Errors
        expr: job:errors:rate5m > 0.001
        for: 1m30s
        keep_firing_for: 5m
        labels:
          severity: 1
        annotations:
          summary: "{{ $labels.job }} fails"
  - name: empty
    rules: []
"#;

fn set(rules: impl Into<String>) -> RuleSet {
    RuleSet { name: name!("shop"), rules: rules.into() }
}

/// Applies bad rules over good ones and says what was complained about.
async fn refusal(bad: &str) -> String {
    let directory = TempDir::new().unwrap();
    let rules = RuleFiles::new(directory.path());
    rules.apply(&permit(), &set(GOOD)).await.unwrap();
    let before = tree(directory.path());
    let error = rules.apply(&permit(), &set(bad)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{bad}");
    assert_eq!(tree(directory.path()), before, "the old rules no longer stand");
    whole(&error)
}

#[tokio::test]
async fn all_problems_of_a_rule_file_are_reported_with_their_places() {
    let text = refusal(
        r#"groups:
  - name: web
    interval: 5 minutes
    colour: red
    rules:
      - alert: Both
        record: a:b
        expr: up
      - expr: up
      - alert: NoExpression
        for: 1h30
      - alert: Unclosed
        expr: sum(up
        labels:
          bad-name: x
          list: [a]
      - record: no name
        expr: ""
        for: 5m
  - name: web
    rules: {}
  - rules: []
extra: 1
"#,
    )
    .await;
    for problem in [
        "`rules`: has an unknown field `extra` (line 23, column 1)",
        "`groups[0]`: has an unknown field `colour` (line 4, column 5)",
        "`groups[0].interval`: `5 minutes` is not a duration such as `5m` (line 3, column 15)",
        "`groups[0].rules[0]`: must not have both",
        "`groups[0].rules[1]`: must have `record` or `alert`",
        "`groups[0].rules[2].expr`: is missing",
        "`groups[0].rules[2].for`: `1h30` is not a duration",
        "`groups[0].rules[3].expr`: the bracket ) is missing",
        "`groups[0].rules[3].labels`: `bad-name` is not a label name",
        "`groups[0].rules[3].labels.list`: must be text, not a list",
        "`groups[0].rules[4].record`: is not a metric name",
        "`groups[0].rules[4].expr`: is empty",
        "`groups[0].rules[4].for`: has no meaning in a recording rule",
        "`groups[1].rules`: must be a list, not a mapping",
        "`groups[1].name`: `web` is taken by line 2",
        "`groups[2].name`: is missing",
    ] {
        assert!(text.contains(problem), "{problem}\nin {text}");
    }
}

#[tokio::test]
async fn text_that_is_no_rule_file_is_refused() {
    for (bad, problem) in [
        ("", "must be a mapping"),
        ("groups", "must be a mapping"),
        ("{}", "`groups`: is missing"),
        ("groups: 1", "`groups`: must be a list"),
        ("groups:\n  - name: [", "line 2"),
        ("groups: []\ngroups: []\n", "line 2"),
        ("groups: []\n---\ngroups: []\n", "rules"),
        ("groups: [null]", "must be a mapping, not nothing"),
        ("groups:\n- name: a\n  rules:\n  - alert: A\n    expr: null\n", "must be text, not nothing"),
    ] {
        let text = refusal(bad).await;
        assert!(text.contains(problem), "{bad:?}: {problem}\nin {text}");
    }
}

#[tokio::test]
async fn a_bomb_of_aliases_and_a_file_over_the_limit_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..9 {
        let below = vec![format!("*a{}", level - 1); 10].join(", ");
        bomb.push_str(&format!("a{level}: &a{level} [{below}]\n"));
    }
    bomb.push_str("groups: *a8\n");
    refusal(&bomb).await;
    let large = format!("{GOOD}#{}", "x".repeat(1 << 20));
    assert!(refusal(&large).await.contains("larger than"));
}

#[tokio::test]
async fn a_directory_that_is_a_file_is_a_typed_error() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("rules");
    fs::write(&path, "").unwrap();
    let rules = RuleFiles::new(&path);
    let error = rules.apply(&permit(), &set(GOOD)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
    let name = Name::new("shop").unwrap();
    assert_eq!(rules.read(&name).await.unwrap_err().kind(), ErrorKind::Conflict);
}
