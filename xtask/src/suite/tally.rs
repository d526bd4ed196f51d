//! Counts what the test programs report.

/// How many tests ended how.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tally {
    /// They held.
    pub(crate) passed: usize,
    /// They did not.
    pub(crate) failed: usize,
    /// They were not run.
    pub(crate) ignored: usize,
}

impl Tally {
    /// Adds what a line of output reports; most lines report nothing.
    pub(crate) fn add_line(&mut self, line: &str) {
        let Some((_, counts)) = line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". "))
        else {
            return;
        };
        for count in counts.split(';') {
            if let Some((number, word)) = count.trim().split_once(' ') {
                let number = number.parse().unwrap_or(0);
                match word {
                    "passed" => self.passed += number,
                    "failed" => self.failed += number,
                    "ignored" => self.ignored += number,
                    _ => {}
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reports_of_several_programs_are_added_up() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.00s",
            "test result: FAILED. 2 passed; 4 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            "test something ... ok",
        ] {
            tally.add_line(line);
        }
        assert_eq!(tally, Tally { passed: 5, failed: 4, ignored: 1 });
    }
}
