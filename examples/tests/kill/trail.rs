//! What the controllers of one run left outside the journal: what they appended, which effects they began, where they died.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// One line of a trail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Line {
    Process,
    Appending(Vec<String>),
    Appended(Vec<String>),
    Start(String),
    /// How often it was polled without being done.
    End(String, u32),
    Died(String),
}

/// All lines of one run, over all of its processes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Trail(pub(crate) Vec<Line>);

impl Trail {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.is_empty() || text.ends_with('\n'), "the trail is torn: {text}");
        Self(text.lines().map(line).collect())
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.appended("started") > 0
    }

    fn appended(&self, record: &str) -> usize {
        let count = |line: &Line| match line {
            Line::Appended(records) => records.iter().filter(|one| *one == record).count(),
            _ => 0,
        };
        self.0.iter().map(count).sum()
    }

    /// How often each effect began.
    pub(crate) fn runs(&self) -> BTreeMap<String, usize> {
        let mut runs = BTreeMap::new();
        for line in &self.0 {
            if let Line::Start(call) = line {
                *runs.entry(call.clone()).or_default() += 1;
            }
        }
        runs
    }

    /// What holds of every run, however often its owner died: an effect begins only when its intent is durable; one whose end is
    /// durable never begins again; and each begins once, and once more for each death, each failed attempt and each decision to
    /// try again.
    pub(crate) fn check(&self, case: &str) {
        let mut intended: BTreeMap<&str, usize> = BTreeMap::new();
        let mut begun: BTreeMap<&str, usize> = BTreeMap::new();
        let mut over: BTreeSet<&str> = BTreeSet::new();
        for line in &self.0 {
            match line {
                Line::Appended(records) => {
                    for (kind, call) in records.iter().filter_map(|record| record.split_once(':')) {
                        match kind {
                            "intended" => *intended.entry(call).or_default() += 1,
                            "read" => drop(over.insert(call)),
                            "ended" => drop(call.strip_suffix("=done").map(|call| over.insert(call))),
                            _ => {}
                        }
                    }
                }
                Line::Start(call) => {
                    assert!(!over.contains(&**call), "{case}: `{call}` began again after its durable end");
                    let begun = begun.entry(call).or_default();
                    *begun += 1;
                    let reads = call.contains("/capture/") || call.contains("/observe/");
                    let announced = intended.get(&**call).copied().unwrap_or_default();
                    assert!(
                        reads || *begun <= announced,
                        "{case}: `{call}` began before its intent was durable"
                    );
                }
                _ => {}
            }
        }
        let deaths = self.0.iter().filter(|line| matches!(line, Line::Died(_))).count();
        let decisions = self.appended("released") + self.appended("resumed");
        for (call, runs) in self.runs() {
            let failed =
                (1..9).map(|attempt| self.appended(&format!("attempted:{call}#{attempt}"))).sum::<usize>();
            let most = 1 + deaths + failed + decisions;
            assert!(runs <= most, "{case}: `{call}` began {runs} times, {most} at most were to be expected");
        }
    }
}

fn line(text: &str) -> Line {
    let words: Vec<&str> = text.split(' ').collect();
    let records = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    match words.as_slice() {
        ["process", _] => Line::Process,
        ["appending", rest @ ..] => Line::Appending(records(rest)),
        ["appended", rest @ ..] => Line::Appended(records(rest)),
        ["start", call, _] => Line::Start((*call).to_owned()),
        ["end", call, _, polls] => Line::End((*call).to_owned(), polls.parse().unwrap()),
        ["died", death] => Line::Died((*death).to_owned()),
        other => panic!("no line of a trail: {other:?}"),
    }
}
