//! What stands of a statement that commits by itself.

use flow_core::{Digest, StepError};
use flow_sql::{Dialect, Token, lex};

use super::schema::{is_table, objects, tables};
use crate::engine::{Footprint, Session};

/// The definition of every object that has a name which the statement mentions. A column's name may be a table's too: what is read
/// beside the point is the same before and after.
pub(super) async fn read(session: &mut dyn Session, statement: &str) -> Result<Option<Footprint>, StepError> {
    let words = lex(Dialect::Mysql, statement).unwrap_or_default();
    if words.first().is_some_and(|first| first.is("CALL")) {
        return Ok(None);
    }
    let names: Vec<_> = words.iter().filter_map(Token::identifier).collect();
    let mentions = |name: &str| names.iter().any(|word| word.eq_ignore_ascii_case(name));
    let mut stands = tables(session, mentions).await?;
    let others = |kind: &str, name: Option<&str>| !is_table(kind) && mentions(name.unwrap_or(kind));
    stands.extend(objects(session, others).await?);
    let drops = words.first().is_some_and(|first| first.is("DROP"))
        && words.iter().take(3).any(|word| word.is_any(&["TABLE", "TABLES", "VIEW"]));
    let drops_remain = drops && !stands.is_empty();
    let databases = if mentions("DATABASE") || mentions("SCHEMA") {
        session.query("SHOW DATABASES", &[]).await?.into_iter().flatten().flatten().collect()
    } else {
        Vec::new()
    };
    let text = stands.iter().map(|object| format!("{} {}\n", object.name, object.sql));
    let text: String = text.chain(databases).collect();
    Ok(Some(Footprint { digest: Digest::of(text.as_bytes()), drops_remain }))
}
