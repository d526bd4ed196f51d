//! The cheapest `ALGORITHM` and `LOCK` that the server accepts: the statement runs with the first pair that it does not refuse.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use async_trait::async_trait;
use flow_core::{ErrorKind, StepError};
use flow_sql::{Algorithm, Catalogue, Dialect, Impact, LockMode, Server, lex, lint};

use super::course::Probe;
use super::report::Rehearsed;
use crate::engine::Session;

/// From the cheapest. Only without any lock is a change in the catalogue instant for the others.
const PAIRS: [(Algorithm, LockMode); 10] = [
    (Algorithm::Instant, LockMode::None),
    (Algorithm::Nocopy, LockMode::None),
    (Algorithm::Nocopy, LockMode::ReadsOnly),
    (Algorithm::Nocopy, LockMode::Nothing),
    (Algorithm::Inplace, LockMode::None),
    (Algorithm::Inplace, LockMode::ReadsOnly),
    (Algorithm::Inplace, LockMode::Nothing),
    (Algorithm::Copy, LockMode::None),
    (Algorithm::Copy, LockMode::ReadsOnly),
    (Algorithm::Copy, LockMode::Nothing),
];

/// "is not supported for this operation", "is not supported. Reason: ..", and words that MySQL does not know.
const REFUSED: [&str; 4] = ["1845", "1846", "1800", "1801"];

/// The tables' numbers, which change where a table is written anew. Asked of MariaDB, then of MySQL; both need `PROCESS`.
const NUMBERS: [&str; 2] = [
    "SELECT SUBSTRING_INDEX(NAME, '/', -1), CAST(SPACE AS CHAR) FROM information_schema.INNODB_SYS_TABLES WHERE NAME LIKE CONCAT(DATABASE(), '/%')",
    "SELECT SUBSTRING_INDEX(NAME, '/', -1), CAST(SPACE AS CHAR) FROM information_schema.INNODB_TABLES WHERE NAME LIKE CONCAT(DATABASE(), '/%')",
];

#[derive(Debug, Default)]
pub(super) struct MysqlProbe {
    /// The tables that stood there before the script.
    tables: BTreeMap<String, String>,
}

#[async_trait]
impl Probe for MysqlProbe {
    async fn begin(&mut self, session: &mut dyn Session) -> Result<(), StepError> {
        self.tables = numbers(session).await;
        Ok(())
    }

    async fn inside(&mut self, session: &mut dyn Session, statement: &str) -> Result<Rehearsed, StepError> {
        let started = Instant::now();
        session.execute(statement).await?;
        Ok(Rehearsed { took: started.elapsed(), ..Rehearsed::default() })
    }

    async fn outside(&mut self, session: &mut dyn Session, statement: &str) -> Result<Rehearsed, StepError> {
        let Some(separator) = separator(statement) else { return self.inside(session, statement).await };
        for (algorithm, lock) in PAIRS {
            let (algorithm_name, lock_name) = (word(&algorithm), word(&lock));
            let probed =
                format!("{statement}\n{separator} ALGORITHM={algorithm_name}{separator} LOCK={lock_name}");
            let started = Instant::now();
            match session.execute(&probed).await {
                Ok(()) => {
                    let took = started.elapsed();
                    let locks = table(statement).map(|table| (table, lock)).into_iter().collect();
                    let rewrites = self.rewritten(session).await;
                    let algorithm = Some(algorithm);
                    return Ok(Rehearsed { locks, rewrites, algorithm, took, ..Rehearsed::default() });
                }
                Err(error) if is_refusal(&error) => {}
                // What is wrong with the statement itself is told by the statement itself.
                Err(_) => break,
            }
        }
        self.inside(session, statement).await
    }
}

impl MysqlProbe {
    async fn rewritten(&mut self, session: &mut dyn Session) -> BTreeSet<String> {
        let now = numbers(session).await;
        let changed = |(table, number): (&String, &String)| {
            now.get(table).is_some_and(|other| other != number).then(|| table.clone())
        };
        let rewritten = self.tables.iter().filter_map(changed).collect();
        self.tables = now;
        rewritten
    }
}

fn is_refusal(error: &StepError) -> bool {
    error.kind() == ErrorKind::Failed
        && error.facts().any(|(name, value)| name == "code" && REFUSED.contains(&value))
}

/// What stands between a statement and what is asked of it, where it can be asked and does not say so itself.
fn separator(statement: &str) -> Option<&'static str> {
    let tokens = lex(Dialect::Mysql, statement).ok()?;
    if tokens.iter().any(|token| token.is_any(&["ALGORITHM", "LOCK"])) {
        return None;
    }
    let second = |words: &[&str]| tokens.iter().take(4).any(|token| token.is_any(words));
    match tokens.first()? {
        first if first.is("ALTER") && second(&["TABLE"]) => Some(","),
        first if first.is_any(&["CREATE", "DROP"]) && second(&["INDEX"]) => Some(""),
        _ => None,
    }
}

/// The table of a statement that names one.
fn table(statement: &str) -> Option<String> {
    let server = Server::read(Dialect::Mysql, "10.11-MariaDB").ok()?;
    match lint(&mut Catalogue::unknown(server), [statement]).pop()? {
        Impact::Predicted(one) => one.locks.into_keys().next(),
        Impact::Unvalidated { .. } => None,
    }
}

fn word(name: &impl std::fmt::Debug) -> String {
    match format!("{name:?}").as_str() {
        "ReadsOnly" => "SHARED".to_owned(),
        "Nothing" => "EXCLUSIVE".to_owned(),
        name => name.to_uppercase(),
    }
}

async fn numbers(session: &mut dyn Session) -> BTreeMap<String, String> {
    for query in NUMBERS {
        if let Ok(rows) = session.query(query, &[]).await {
            let pair = |row: Vec<Option<String>>| {
                let [name, number] = <[Option<String>; 2]>::try_from(row).ok()?;
                Some((name?, number?))
            };
            return rows.into_iter().filter_map(pair).collect();
        }
    }
    BTreeMap::new()
}
