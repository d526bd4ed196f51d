//! What a script says of itself to this library, in its leading comment lines.

use std::time::Duration;

use flow_core::Problems;

use crate::dialect::Dialect;
use crate::lex::{Token, TokenKind, lex};
use crate::script::Body;

/// How many rows one batch of a backfill may have.
pub const MAX_BATCH_ROWS: u32 = 1_000_000;

/// How long a backfill may pause between two batches.
pub const MAX_BATCH_PAUSE: Duration = Duration::from_secs(60);

/// When a migration may run, in a deployment that replaces one running version by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Phase {
    /// Before the new version starts: the old one goes on as if nothing had happened.
    #[default]
    Expand,
    /// When no instance of the old version is left: takes away what only that one used.
    Contract,
}

impl Phase {
    /// `expand` or `contract`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expand => "expand",
            Self::Contract => "contract",
        }
    }
}

/// A change of all rows of a table, in batches along a key that each commit by themselves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// The table as the script writes it, perhaps with its schema and in quotes.
    pub table: String,
    /// The key's column as the script writes it. Its values tell rows apart, and none is null.
    pub key: String,
    /// How many rows a batch has.
    pub rows: u32,
    /// How long to leave the database alone between two batches.
    pub pause: Duration,
}

impl Backfill {
    /// The statement for the rows whose key is greater than `from` and not greater than `to`, both written as literals.
    #[must_use]
    pub fn bind(dialect: Dialect, statement: &str, from: &str, to: &str) -> String {
        let mut bound = String::with_capacity(statement.len() + from.len() + to.len());
        let mut at = 0;
        for (range, name) in parameters(dialect, statement) {
            bound += statement.get(at..range.start).unwrap_or_default();
            bound += if name == FROM { from } else { to };
            at = range.end;
        }
        bound + statement.get(at..).unwrap_or_default()
    }
}

const FROM: &str = "from";
const TO: &str = "to";

/// What the leading comment lines of an up script say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directives {
    pub(crate) phase: Phase,
    pub(crate) backfill: Option<Backfill>,
}

impl Directives {
    /// Reads those of the up script `file`.
    pub(crate) fn read(dialect: Dialect, file: &str, up: &Body, problems: &mut Problems) -> Self {
        let mut read = Self::default();
        let mut said: Vec<&str> = Vec::new();
        for (line, leads, text) in lines(&up.text) {
            let mut problem = |problem: &str| problems.add(file, format!("line {line}: `{text}` {problem}"));
            let word = text.split_whitespace().next().unwrap_or_default();
            if !leads {
                problem("stands behind the first statement, where it would say nothing");
            } else if said.contains(&word) {
                problem("says again what an earlier line says");
            } else if text == Phase::Contract.as_str() {
                read.phase = Phase::Contract;
            } else if word == "backfill" {
                match backfill(dialect, text) {
                    Ok(backfill) => read.backfill = Some(backfill),
                    Err(found) => problem(&found),
                }
            } else {
                problem("is neither `contract` nor `backfill TABLE by KEY in ROWS [pausing N ms]`");
            }
            said.push(word);
        }
        if read.backfill.is_some()
            && let Err(problem) = check_statement(dialect, up)
        {
            problems.add(file, problem);
        }
        read
    }

    /// Says of each line of the down script `file` that is meant as a directive that it is none.
    pub(crate) fn refuse(file: &str, down: &Body, problems: &mut Problems) {
        for (line, _, text) in lines(&down.text) {
            problems.add(file, format!("line {line}: `{text}` belongs into the up script"));
        }
    }
}

/// The lines `-- flow: ..` with their numbers, what they say, and whether they lead the script.
fn lines(script: &str) -> impl Iterator<Item = (u32, bool, &str)> {
    let mut leads = true;
    (1..).zip(script.lines()).filter_map(move |(number, line)| {
        let line = line.trim();
        leads &= line.is_empty() || line.starts_with("--");
        let said = line.strip_prefix("--")?.trim_start().strip_prefix("flow:")?;
        Some((number, leads, said.trim()))
    })
}

/// Reads `backfill TABLE by KEY in ROWS [pausing N ms]`.
fn backfill(dialect: Dialect, text: &str) -> Result<Backfill, String> {
    const GRAMMAR: &str = "is not `backfill TABLE by KEY in ROWS [pausing N ms]`";
    let tokens = lex(dialect, text).map_err(|unfinished| format!("is no directive: {unfinished}"))?;
    let mut rest = tokens.iter().skip(1).peekable();
    let mut table = name(rest.next()).ok_or(GRAMMAR)?.to_owned();
    if rest.next_if(|token| token.is_symbol(".")).is_some() {
        table = format!("{table}.{}", name(rest.next()).ok_or(GRAMMAR)?);
    }
    rest.next_if(|token| token.is("by")).ok_or(GRAMMAR)?;
    let key = name(rest.next()).ok_or(GRAMMAR)?.to_owned();
    rest.next_if(|token| token.is("in")).ok_or(GRAMMAR)?;
    let rows = number(rest.next()).filter(|rows| (1..=u64::from(MAX_BATCH_ROWS)).contains(rows));
    let rows = rows.ok_or_else(|| format!("asks for batches that are not of 1 to {MAX_BATCH_ROWS} rows"))?;
    let mut pause = Duration::ZERO;
    if rest.next_if(|token| token.is("pausing")).is_some() {
        let ms = number(rest.next()).map(Duration::from_millis).filter(|pause| *pause <= MAX_BATCH_PAUSE);
        pause = ms.ok_or_else(|| {
            format!("asks for a pause that is not of 0 to {} ms", MAX_BATCH_PAUSE.as_millis())
        })?;
        rest.next_if(|token| token.is("ms")).ok_or(GRAMMAR)?;
    }
    if rest.next().is_some() {
        return Err(GRAMMAR.to_owned());
    }
    Ok(Backfill { table, key, rows: u32::try_from(rows).unwrap_or(MAX_BATCH_ROWS), pause })
}

fn name<'a>(token: Option<&Token<'a>>) -> Option<&'a str> {
    token.filter(|token| matches!(token.kind, TokenKind::Word | TokenKind::Quoted)).map(|token| token.text)
}

fn number(token: Option<&Token<'_>>) -> Option<u64> {
    token.filter(|token| token.kind == TokenKind::Word)?.text.parse().ok()
}

fn check_statement(dialect: Dialect, up: &Body) -> Result<(), String> {
    let [statement] = up.statements.as_slice() else {
        return Err(format!("is a backfill, and holds {} statements instead of one", up.statements.len()));
    };
    let first = lex(dialect, &statement.text).unwrap_or_default();
    if !first.first().is_some_and(|word| word.is_any(&["UPDATE", "INSERT", "DELETE"])) {
        return Err("is a backfill, and its statement is no UPDATE, INSERT or DELETE".to_owned());
    }
    let found = parameters(dialect, &statement.text);
    let lacks = |name: &&str| !found.iter().any(|(_, found)| found == name);
    let missing: Vec<_> = [FROM, TO].into_iter().filter(lacks).map(|name| format!("`:{name}`")).collect();
    if missing.is_empty() {
        return Ok(());
    }
    Err(format!("is a backfill, and its statement lacks {}", missing.join(" and ")))
}

/// Where `:from` and `:to` stand, outside of quotes and comments.
fn parameters(dialect: Dialect, statement: &str) -> Vec<(std::ops::Range<usize>, &'static str)> {
    let tokens = lex(dialect, statement).unwrap_or_default();
    let parameter = |three: &[Token<'_>]| {
        let [before, colon, word] = three else { return None };
        // PostgreSQL writes casts with two colons.
        let cast = before.is_symbol(":") && before.end() == colon.start;
        let alone = colon.is_symbol(":") && colon.end() == word.start && !cast;
        let name = [FROM, TO].into_iter().find(|name| word.is(name)).filter(|_| alone)?;
        Some((colon.start..word.end(), name))
    };
    tokens.windows(3).filter_map(parameter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::Mode;

    const UPDATE: &str = "UPDATE t SET n = n + 1 WHERE id > :from AND id <= :to";

    fn read(dialect: Dialect, up: &str) -> Result<Directives, Vec<String>> {
        let body = Body::read(dialect, "1_a.up.sql", up.as_bytes(), Mode::Transaction).unwrap();
        let mut problems = Problems::default();
        let read = Directives::read(dialect, "1_a.up.sql", &body, &mut problems);
        problems
            .into_result()
            .map(|()| read)
            .map_err(|problems| problems.as_slice().iter().map(|problem| problem.problem.clone()).collect())
    }

    #[test]
    fn a_script_says_its_phase_and_how_it_fills_rows_in() {
        let plain = read(Dialect::Postgres, "-- flows: contract\nSELECT '-- flow'").unwrap();
        assert_eq!(plain, Directives::default());
        let contract = "-- no-transaction\n\n  --flow:  contract \r\nDROP TABLE t";
        assert_eq!(read(Dialect::Sqlite, contract).unwrap().phase, Phase::Contract);
        for (dialect, said, table, key, ms) in [
            (Dialect::Postgres, "app.\"My t\" by id in 500", "app.\"My t\"", "id", 0),
            (Dialect::Mysql, "`t` BY `a b` IN 500 pausing 20 ms", "`t`", "`a b`", 20),
        ] {
            let script = format!("-- flow: backfill {said}\n-- flow: contract\n{UPDATE};");
            let (table, key) = (table.to_owned(), key.to_owned());
            let expected = Backfill { table, key, rows: 500, pause: Duration::from_millis(ms) };
            let found = read(dialect, &script).unwrap();
            assert_eq!(found, Directives { phase: Phase::Contract, backfill: Some(expected) });
        }
    }

    #[test]
    fn what_is_no_directive_is_named_with_its_line() {
        for (script, expected) in [
            ("\n-- flow: contract now\nSELECT 1", "line 2: `contract now` is neither"),
            ("-- flow: Expand\nSELECT 1", "line 1: `Expand` is neither"),
            ("-- flow:\nSELECT 1", "line 1: `` is neither"),
            ("-- flow: contract\n--flow: contract\nSELECT 1", "line 2: `contract` says again"),
            ("SELECT 1;\n-- flow: contract", "line 2: `contract` stands behind"),
            ("-- flow: backfill t by id in 0\nSELECT 1", "line 1: `backfill t by id in 0` asks for batches"),
            ("-- flow: backfill t by id in 1000001\nSELECT 1", "are not of 1 to 1000000 rows"),
            ("-- flow: backfill t by id in 10 pausing 60001 ms\nSELECT 1", "0 to 60000 ms"),
            ("-- flow: backfill t by id in 10 pausing 5 s\nSELECT 1", "is not `backfill TABLE by KEY"),
            ("-- flow: backfill t by id, x in 10\nSELECT 1", "is not `backfill TABLE by KEY"),
            ("-- flow: backfill t by 'id' in 10\nSELECT 1", "is not `backfill TABLE by KEY"),
            ("-- flow: backfill t by \"id in 10\nSELECT 1", "a quoted identifier that begins on line 1"),
            ("-- flow: backfill t by id in 10\nSELECT :from, :to", "no UPDATE, INSERT or DELETE"),
            (
                "-- flow: backfill t by id in 10\nDELETE FROM t WHERE a > ':from' AND b = x::to",
                "lacks `:from` and `:to`",
            ),
            ("-- flow: backfill t by id in 10\nDELETE FROM t WHERE a > :from -- :to", "lacks `:to`"),
            (
                "-- flow: backfill t by id in 10\nDELETE FROM t WHERE a > :from AND a <= :to; SELECT 1",
                "2 statements",
            ),
        ] {
            let found = read(Dialect::Postgres, script).unwrap_err();
            assert!(found.len() == 1 && found[0].contains(expected), "{script}: {found:?}");
        }
    }

    #[test]
    fn the_bounds_of_a_batch_are_set_where_they_are_meant() {
        let statement = "UPDATE t SET a = ':to'::text /* :from */ WHERE id>:from AND id <= :TO AND b <> :to";
        assert_eq!(
            Backfill::bind(Dialect::Postgres, statement, "'1'", "'9'"),
            "UPDATE t SET a = ':to'::text /* :from */ WHERE id>'1' AND id <= '9' AND b <> '9'"
        );
    }
}
