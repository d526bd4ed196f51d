//! What stands of a statement that no transaction holds together.

use flow_core::StepError;
use flow_sql::{Dialect, Token, lex};

use crate::engine::Session;

/// Indexes that are being built or dropped right now are somebody's work under way.
const NOBODY_BUILDS: &str = "NOT EXISTS (SELECT 1 FROM pg_catalog.pg_stat_progress_create_index AS building
     WHERE building.index_relid = i.indexrelid)";

/// Everything that statements outside transactions make or drop: indexes, databases, labels of enumerations.
pub(super) async fn read(session: &mut dyn Session, statement: &str) -> Result<String, StepError> {
    let words = lex(Dialect::Postgres, statement).unwrap_or_default();
    let has = |word: &str| words.iter().any(|found| found.is(word));
    let select = if has("INDEX") || has("REINDEX") {
        "SELECT indexrelid, indisvalid FROM pg_catalog.pg_index ORDER BY 1"
    } else if has("DATABASE") {
        "SELECT oid, datname FROM pg_catalog.pg_database ORDER BY 1"
    } else if has("TYPE") {
        "SELECT enumtypid, enumlabel FROM pg_catalog.pg_enum ORDER BY 1, enumsortorder"
    } else {
        return Ok(String::new());
    };
    let rows = session.query(select, &[]).await?;
    Ok(rows.into_iter().flatten().flatten().collect::<Vec<_>>().join(" "))
}

/// Drops what a failed or an interrupted statement on an index left invalid. `IF NOT EXISTS` would keep it for ever.
pub(super) async fn clear(session: &mut dyn Session, statement: &str) -> Result<(), StepError> {
    let Some(which) = Which::of(&lex(Dialect::Postgres, statement).unwrap_or_default()) else {
        return Ok(());
    };
    let find = format!(
        "SELECT pg_catalog.format('%I.%I', n.nspname, c.relname) FROM pg_catalog.pg_index AS i
         JOIN pg_catalog.pg_class AS c ON c.oid = i.indexrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
         WHERE NOT i.indisvalid AND c.relkind = 'i' AND {NOBODY_BUILDS} AND {}",
        which.condition()
    );
    for index in session.query(&find, &[]).await?.into_iter().flatten().flatten() {
        session.execute(&format!("DROP INDEX CONCURRENTLY IF EXISTS {index}")).await?;
    }
    Ok(())
}

/// Which indexes a statement can leave invalid.
#[derive(Debug, PartialEq, Eq)]
enum Which {
    Named(Vec<String>),
    /// Any index of a table: the server chose the name.
    OfTable(String),
    /// The copies that a rebuild works on.
    Copies,
}

impl Which {
    fn of(words: &[Token<'_>]) -> Option<Self> {
        let at = words.iter().position(|word| word.is("CONCURRENTLY"))?;
        if words.first()?.is("REINDEX") {
            return Some(Self::Copies);
        }
        let noise = |word: &&Token<'_>| word.is_any(&["IF", "NOT", "EXISTS", "ONLY"]);
        let rest: Vec<_> = words.get(at + 1..)?.iter().filter(|word| !noise(word)).copied().collect();
        if rest.first()?.is("ON") {
            let (_, taken) = qualified(rest.get(1..)?)?;
            return Some(Self::OfTable(spelled(rest.get(1..=taken)?)));
        }
        let mut names = Vec::new();
        let mut rest = rest.as_slice();
        while let Some((name, taken)) = qualified(rest) {
            names.push(name);
            match rest.get(taken..) {
                Some([comma, more @ ..]) if comma.is_symbol(",") => rest = more,
                _ => break,
            }
        }
        Some(Self::Named(names))
    }

    fn condition(&self) -> String {
        match self {
            Self::Named(names) => {
                // A bare name is folded to lower case by the server.
                let literals = names.iter().flat_map(|name| [literal(name), literal(&name.to_lowercase())]);
                format!("c.relname IN ({})", literals.collect::<Vec<_>>().join(", "))
            }
            Self::OfTable(table) => format!("i.indrelid = pg_catalog.to_regclass({})", literal(table)),
            Self::Copies => "c.relname ~ '_cc(new|old)[0-9]*$'".to_owned(),
        }
    }
}

fn literal(text: &str) -> String {
    format!("E'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The last part of a name that may be qualified, and how many words the name takes.
fn qualified(words: &[Token<'_>]) -> Option<(String, usize)> {
    let mut name = words.first()?.identifier()?;
    let mut taken = 1;
    while let Some([dot, part, ..]) = words.get(taken..) {
        if !dot.is_symbol(".") {
            break;
        }
        name = part.identifier()?;
        taken += 2;
    }
    Some((name, taken))
}

/// A name as the server reads it: a bare one is folded, a quoted one is not.
fn spelled(words: &[Token<'_>]) -> String {
    words.iter().map(|word| word.text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_found_in_whatever_way_it_is_named() {
        let which = |statement| Which::of(&lex(Dialect::Postgres, statement).unwrap());
        let named =
            |names: &[&str]| Some(Which::Named(names.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(which("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS \"i x\" ON t(a)"), named(&["i x"]));
        assert_eq!(which("drop index concurrently if exists s.a, b cascade"), named(&["a", "b"]));
        assert_eq!(
            which("CREATE INDEX CONCURRENTLY ON ONLY s.\"T\" (a)"),
            Some(Which::OfTable("s.\"T\"".to_owned()))
        );
        assert_eq!(which("REINDEX TABLE CONCURRENTLY t"), Some(Which::Copies));
        assert_eq!(which("VACUUM t"), None);
    }
}
