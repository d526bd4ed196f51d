//! The report in Chinese: the words of the standard, the values of the English one, and nothing left in English.

use std::collections::BTreeMap;

use flow_core::report::{Language, Report};

use crate::runs::{ALL, completed, parked, plainly};

/// The parts of the standard that the report follows, word for word.
const STANDARD: &str = include_str!("standard.md");

/// The part below `heading`.
fn standard(heading: &str) -> &'static str {
    let (_, part) = STANDARD.split_once(&format!("{heading}\n")).unwrap();
    let level = heading.chars().take_while(|char| *char == '#').count();
    let ends = (1..=level).map(|level| format!("\n{} ", "#".repeat(level)));
    part.get(..ends.filter_map(|end| part.find(&end)).min().unwrap_or(part.len())).unwrap()
}

fn chinese(report: &Report) -> String {
    report.to_markdown_in(Language::Chinese)
}

/// The first cells of the first table below the heading that starts with `heading`, without the table's head.
fn first_cells(page: &str, heading: &str) -> Vec<String> {
    let from = page.lines().skip_while(|line| !line.starts_with(heading));
    let table = from.skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    table.skip(2).map(|line| line.split('|').nth(1).unwrap().trim().to_owned()).collect()
}

#[test]
fn stages_and_activities_have_the_names_and_the_order_of_the_standard() {
    let page = chinese(&completed(&plainly).report());
    let workflow = standard("## 标准工作流程（必须严格按此格式输出）");
    let stages: Vec<&str> = workflow.lines().filter_map(|line| line.strip_prefix("### ")).collect();
    assert_eq!(stages.len(), 8);
    let sections = page.lines().filter_map(|line| line.strip_prefix("## "));
    let numbered = sections.filter(|title| title.starts_with(|char: char| char.is_ascii_digit()));
    let titles: Vec<&str> = numbered.map(|title| title.split_once('：').unwrap().0).collect();
    assert_eq!(titles, stages);
    for stage in stages {
        let activities = standard(&format!("### {stage}"));
        let names = activities.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**"));
        let names: Vec<&str> = names.map(|(name, _)| name).collect();
        assert_eq!(first_cells(&page, &format!("## {stage}：")), names);
    }
}

#[test]
fn what_the_standard_asks_of_a_report_stands_in_its_order() {
    let page = chinese(&parked(&plainly).report());
    let asked = standard("## 输出格式要求");
    for words in ["执行结果", "处理过程和结果", "部署后维护建议"] {
        assert!(asked.contains(words), "{words} is not the standard's");
    }
    let sections: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    let at = |words: &str| sections.iter().position(|section| section.contains(words)).unwrap();
    let order = ["执行结果", "处理过程和结果", "部署质量标准", "经验教训", "部署后维护建议", "审计追踪"];
    assert!(order.map(at).is_sorted(), "{sections:?}");
}

#[test]
fn gates_have_the_names_of_the_standard_in_its_order() {
    let page = chinese(&completed(&plainly).report());
    let limits = standard("## 部署质量标准");
    let limited = limits.lines().filter_map(|line| line.strip_prefix("- ")?.split_once(['>', '<']));
    let mut names: Vec<&str> = limited.map(|(name, _)| name.trim()).collect();
    assert_eq!(names.len(), 8, "{names:?}");
    let mut shown = first_cells(&page, "## 部署质量标准");
    shown.dedup();
    names.dedup();
    assert_eq!(shown, names);
}

#[test]
fn the_response_to_a_failure_is_the_one_of_the_standard() {
    let page = chinese(&parked(&plainly).report());
    let steps: Vec<&str> =
        standard("### 部署失败响应").lines().filter_map(|line| Some(line.split_once(". ")?.1)).collect();
    assert_eq!(steps.len(), 5);
    let table: Vec<&str> = page.lines().skip_while(|line| !line.contains("部署失败响应")).collect();
    let rows = table.iter().filter(|line| line.starts_with("| ")).skip(2);
    for (step, row) in steps.iter().zip(rows) {
        assert!(row.contains(&format!("| {step}")), "{step}: {row}");
    }
}

#[test]
fn environments_and_strategies_have_the_names_of_the_standard() {
    let environments = standard("### 部署环境");
    let strategies = standard("## 部署策略");
    let page = chinese(&completed(&plainly).report());
    assert!(environments.contains("**生产环境**") && page.contains("| 生产环境 |"));
    assert!(strategies.contains("### 灰度发布") && page.contains("| `web`（灰度发布） |"));
    let page = chinese(&crate::runs::left_out(&plainly).report());
    assert!(environments.contains("**开发环境**") && page.contains("| 开发环境 |"));
}

/// Every free text of a history, marked.
fn marked(text: &str) -> String {
    format!("«{text}»")
}

/// What a line says apart from words: texts of the journal, names in code, times and numbers. How often each.
fn values(line: &str) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    let mut add = |value: &str| *found.entry(value.to_owned()).or_insert(0) += 1;
    let mut words = String::new();
    for (index, part) in line.split('`').enumerate() {
        // English quotes the names of stages, Chinese writes them out.
        let stage = |part: &str| flow_core::stage::StageName::ALL.iter().any(|s| s.to_string() == part);
        match index % 2 {
            0 => words.push_str(part),
            _ if stage(part) => {}
            _ => add(part),
        }
    }
    let mut plain = String::new();
    for part in words.split('«') {
        match part.split_once('»') {
            Some((text, rest)) => {
                add(text);
                plain.push_str(rest);
            }
            None => plain.push_str(part),
        }
    }
    let number = |char: char| char.is_ascii_alphanumeric() || matches!(char, '-' | '.' | ':');
    for token in plain.split(|char| !number(char)) {
        if token.starts_with(|char: char| char.is_ascii_digit()) {
            add(token.trim_end_matches(['.', ':']));
        }
    }
    found
}

#[test]
fn every_line_has_the_values_of_the_english_one() {
    for (name, run) in ALL {
        let report = run(&marked).report();
        let (english, chinese) = (report.to_markdown(), chinese(&report));
        assert_eq!(english.lines().count(), chinese.lines().count(), "{name}");
        let mut compared = 0;
        for (english, chinese) in english.lines().zip(chinese.lines()) {
            assert_eq!(values(english), values(chinese), "{name}\n{english}\n{chinese}");
            compared += values(english).values().sum::<usize>();
        }
        assert!(compared > 10, "{name} has values");
    }
}

/// Every letter of a text, so that only its own words of a report can be English.
fn in_chinese(text: &str) -> String {
    text.chars().map(|char| if char.is_ascii_alphabetic() { '字' } else { char }).collect()
}

/// Names of the example and of its values, units, and abbreviations that the standard itself uses.
const IDENTIFIERS: [&str; 12] =
    ["shop", "seen", "path", "ticket", "CDN", "SCF", "API", "SHA", "ms", "s", "NaN", "T"];

#[test]
fn nothing_is_left_in_english() {
    // What the machine itself recorded as a reason is a text of the journal too.
    let recorded = ["not everything could be undone"];
    for (name, run) in ALL {
        let mut page = chinese(&run(&in_chinese).report());
        for text in recorded {
            page = page.replace(text, "");
        }
        for line in page.lines() {
            let words: String = line.split('`').step_by(2).collect();
            let words =
                words.split(|char: char| !char.is_ascii_alphanumeric() && !matches!(char, '-' | ':' | '.'));
            // A token that begins with a digit is a time, a version or a number.
            let words = words.filter(|word| word.starts_with(|char: char| char.is_ascii_alphabetic()));
            for word in words.flat_map(|word| word.split(['-', ':', '.'])) {
                let number = word.chars().all(|char| char.is_ascii_digit());
                assert!(number || IDENTIFIERS.contains(&word), "{name}: `{word}` in {line}");
            }
        }
    }
}

#[test]
fn marks_between_chinese_words_are_full_width() {
    let half = [", ", ". ", ": ", "; ", " (", ") "];
    for (name, run) in ALL {
        let page = chinese(&run(&plainly).report());
        for line in page.lines().filter(|line| !line.starts_with("## ")) {
            for mark in half {
                for (at, _) in line.match_indices(mark) {
                    let wide = |char: Option<char>| char.is_some_and(|char| char > '\u{2e80}');
                    let before = line.get(..at).unwrap().chars().next_back();
                    let after = line.get(at + mark.len()..).unwrap().chars().next();
                    assert!(!wide(before) && !wide(after), "{name}: `{mark}` in {line}");
                }
            }
        }
    }
}
