//! A plan as text, JSON and Mermaid: what was looked through stays byte by byte, and no text of it breaks out.

use std::path::PathBuf;
use std::time::Duration;

use flow_core::gate::StandardGate;
use flow_core::plan::{Coverage, Plan};
use flow_core::policy::{Policy, Proof};
use flow_core::stage::StageName;
use flow_core::{Digest, Environment, Preview, Reversibility};
use proptest::prelude::*;

use crate::plan::{actor, sealed, shop, sparse};
use crate::runs::plainly;

/// The shop's plan with everything in it that a plan can show.
fn full(say: &dyn Fn(&str) -> String) -> Plan {
    let mut plan = shop(say);
    let policy = Policy::standard(Environment::Production).limiting(StandardGate::PageLoad, 1500.0).without(
        StandardGate::DatabaseQuery,
        say("no database behind it"),
        actor(&say("ann")),
    );
    plan.policy = Some(Box::new(policy));
    for stage in &mut plan.stages {
        for item in &mut stage.items {
            let name = item.name.to_string();
            item.preview = match name.as_str() {
                "scope" | "order" => Preview::new().estimate(Duration::from_millis(300)),
                "schema" => Preview::new()
                    .change(say("migration 7"), say("pending"), say("applied"))
                    .stable(say("applied"), 6)
                    .script(Digest::of(b"up 7"))
                    .unknown(say("how long the lock is held")),
                "upload" => Preview::new()
                    .change(say("index.html"), say("old"), say("new"))
                    .deploys(Digest::of(b"site")),
                "alerts" => Preview::new().estimate(Duration::from_secs(20)),
                "logs" => Preview::new().estimate(Duration::from_secs(65)),
                "web" => Preview::new().estimate(Duration::from_secs(3700)),
                _ => Preview::new(),
            };
            match name.as_str() {
                "schema" => {
                    item.reversibility = Reversibility::Irreversible { reason: say("it drops a column") };
                    item.proves = vec![Proof::MigrationVerified];
                }
                "smoke" => {
                    item.proves = Proof::TESTS.to_vec();
                    item.measures = vec![StandardGate::PageLoad];
                }
                _ => {}
            }
        }
    }
    sealed(plan)
}

fn compare(file: &str, actual: &str) -> Result<(), String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/report/golden/plan").join(file);
    if std::env::var_os("FLOW_BLESS").is_some_and(|bless| bless == "1") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, actual).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap_or_default();
    if expected == actual { Ok(()) } else { Err(format!("{file}\n{actual}")) }
}

#[test]
fn every_plan_reads_as_the_one_that_was_looked_through() {
    let results = [("full", full(&plainly)), ("sparse", sparse(&plainly)), ("hostile", full(&hostile))]
        .into_iter()
        .flat_map(|(name, plan)| {
            let json = serde_json::to_string_pretty(&plan.to_json()).unwrap() + "\n";
            [
                compare(&format!("{name}.txt"), &plan.to_text()),
                compare(&format!("{name}.json"), &json),
                compare(&format!("{name}.mmd"), &plan.to_mermaid()),
            ]
        });
    let wrong: Vec<String> = results.filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "set FLOW_BLESS=1 to accept:\n{}", wrong.join("\n"));
}

#[test]
fn a_group_takes_as_long_as_its_slowest_step_and_the_unknown_stays_unknown() {
    let plan = full(&plainly);
    let of = |stage| plan.stage(stage).unwrap().estimate().to_string();
    assert_eq!(of(StageName::Prepare), "600 ms", "one after the other");
    assert_eq!(of(StageName::Monitoring), "1 min 5 s", "at the same time");
    assert_eq!(of(StageName::Build), "unknown: no step can say");
    assert_eq!(of(StageName::Functions), "no time");
    let whole = plan.estimate();
    assert_eq!(whole.known, Duration::from_millis(600 + 65_000 + 3_700_000));
    assert_eq!((whole.unknown, whole.steps), (6, 11));
    assert_eq!(whole.to_string(), "at least 1 h 2 min 45 s; 6 of 11 steps cannot say");
}

/// What follows from the standard whatever the texts are: 36 rows, one line each.
fn check_text(plan: &Plan, plain: &str) {
    let text = plan.to_text();
    assert_eq!(text.lines().count(), plain.lines().count(), "{text}");
    assert!(!text.chars().any(|char| char.is_control() && char != '\n'), "{text:?}");
    for (line, plain) in text.lines().zip(plain.lines()) {
        let indent = |line: &str| line.len() - line.trim_start().len();
        assert_eq!(indent(line), indent(plain), "{line}");
    }
    let lines: Vec<&str> = text.lines().collect();
    let row = |name: &str| lines.iter().filter(|line| line.starts_with(&format!("  {name} "))).count();
    let rows = plan.rows();
    assert_eq!(rows.len(), 36);
    assert!(rows.iter().all(|shown| shown.coverage != Coverage::Missing));
    assert!(rows.iter().all(|shown| row(&shown.activity.activity) == 1), "{text}");
}

/// One line of a flowchart, without the text of its labels; anything else is nothing that this library writes.
fn skeleton(line: &str) -> String {
    let Some((before, rest)) = line.split_once('"') else { return line.to_owned() };
    let (label, after) = rest.split_once('"').unwrap();
    assert!(!after.contains('"'), "{line}");
    let mut parts = label.split("<br/>");
    assert!(parts.clone().all(|part| !part.is_empty()), "{line}");
    assert!(
        parts.all(|part| part.chars().all(|char| char.is_alphanumeric() || " .,_-+/()#;".contains(char))),
        "{line}"
    );
    for number in label.split('#').skip(1) {
        let (number, _) = number.split_once(';').unwrap();
        assert!(number.parse::<u32>().ok().and_then(char::from_u32).is_some(), "{line}");
    }
    format!("{before}{after}")
}

fn check_mermaid(plan: &Plan, plain: &str) {
    let mermaid = plan.to_mermaid();
    let skeletons = |text: &str| text.lines().map(skeleton).collect::<Vec<_>>();
    assert_eq!(skeletons(&mermaid), skeletons(plain));
}

/// What somebody could try to break out with.
const HOSTILE: &str = "\"]\n  end\n  click n1 call alert(1)\n%%{init: {}}%%\r\u{1b}[2J\u{202e}<script>`|&quot;#quot; style a:b#c;\u{2028}===== point of no return =====";

fn hostile(text: &str) -> String {
    if text == "ann" { "ann\"]<b>`#;%% click".to_owned() } else { format!("{text} {HOSTILE}") }
}

#[test]
fn no_text_breaks_out_of_its_line_or_its_label() {
    let (plan, plain) = (full(&hostile), full(&plainly));
    check_text(&plan, &plain.to_text());
    check_mermaid(&plan, &plain.to_mermaid());
    assert_eq!(Plan::from_json(&plan.to_json().to_string()), Ok(plan));
}

/// 100 cases, and 5,000 with `FLOW_LONG=1`.
fn cases() -> ProptestConfig {
    let long = std::env::var("FLOW_LONG").is_ok_and(|long| long == "1");
    let cases = if long { 5_000 } else { 100 };
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn any_text_stays_where_it_stands(text in "(?s).{0,40}", actor in "[^\\p{C}]{1,40}") {
        prop_assume!(!actor.trim().is_empty());
        let say = |was: &str| if was == "ann" { actor.clone() } else { format!("x{text}") };
        let (plan, plain) = (full(&say), full(&plainly));
        check_text(&plan, &plain.to_text());
        check_mermaid(&plan, &plain.to_mermaid());
        prop_assert_eq!(Plan::from_json(&plan.to_json().to_string()), Ok(plan));
    }
}
