//! The catalogue as objects.

use flow_core::StepError;

use crate::engine::Session;
use crate::schema::{Object, Schema};

/// What kinds of objects there are, and where they are listed.
const KINDS: [(&str, &str); 6] = [
    (
        "TABLE",
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE NOT LIKE '%VIEW'",
    ),
    (
        "VIEW",
        "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE LIKE '%VIEW'",
    ),
    ("TRIGGER", "SELECT TRIGGER_NAME FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"),
    ("PROCEDURE", ROUTINES),
    ("FUNCTION", FUNCTIONS),
    ("EVENT", "SELECT EVENT_NAME FROM information_schema.EVENTS WHERE EVENT_SCHEMA = DATABASE()"),
];

const ROUTINES: &str = "SELECT ROUTINE_NAME FROM information_schema.ROUTINES
    WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'PROCEDURE'";
const FUNCTIONS: &str = "SELECT ROUTINE_NAME FROM information_schema.ROUTINES
    WHERE ROUTINE_SCHEMA = DATABASE() AND ROUTINE_TYPE = 'FUNCTION'";

/// The schema now.
pub(super) async fn read(session: &mut dyn Session) -> Result<Schema, StepError> {
    Ok(Schema::new(objects(session, |_, _| true).await?))
}

/// The objects whose kind and name are `wanted`.
pub(super) async fn objects(
    session: &mut dyn Session,
    wanted: impl Fn(&str, Option<&str>) -> bool + Send,
) -> Result<Vec<Object>, StepError> {
    let mut objects = Vec::new();
    for (kind, list) in KINDS {
        // Listing some kinds opens every table.
        if !wanted(kind, None) {
            continue;
        }
        for name in session.query(list, &[]).await?.into_iter().flatten().flatten() {
            if !is_ours(&name) && wanted(kind, Some(&name)) {
                objects.push(show(session, kind, name).await?);
            }
        }
    }
    Ok(objects)
}

/// The tables and views whose name is `wanted`. Their names alone are cheap to list, whatever their number.
pub(super) async fn tables(
    session: &mut dyn Session,
    wanted: impl Fn(&str) -> bool + Send,
) -> Result<Vec<Object>, StepError> {
    let mut objects = Vec::new();
    for name in session.query("SHOW TABLES", &[]).await?.into_iter().flatten().flatten() {
        if is_ours(&name) || !wanted(&name) {
            continue;
        }
        objects.push(show(session, "TABLE", name).await?);
    }
    Ok(objects)
}

/// Whether a kind is among what [`tables`] lists.
pub(super) fn is_table(kind: &str) -> bool {
    ["TABLE", "VIEW"].contains(&kind)
}

fn is_ours(name: &str) -> bool {
    name.starts_with("_flow_migrations") || name == "_sqlx_migrations"
}

async fn show(session: &mut dyn Session, kind: &str, name: String) -> Result<Object, StepError> {
    let rows = session.query(&format!("SHOW CREATE {kind} `{}`", name.replace('`', "``")), &[]).await?;
    let definition = rows.into_iter().flatten().flatten().find(|column| is_definition(column));
    let sql = definition.map(|text| without_counter(&text)).unwrap_or_default();
    Ok(Object { kind: kind.to_lowercase(), name, table: String::new(), sql })
}

/// Some statements show other columns first: the mode, the time zone.
fn is_definition(column: &str) -> bool {
    column.get(..6).is_some_and(|first| first.eq_ignore_ascii_case("create"))
}

/// The next automatic value changes with every row.
fn without_counter(definition: &str) -> String {
    let Some((before, after)) = definition.split_once(" AUTO_INCREMENT=") else {
        return definition.to_owned();
    };
    format!("{before}{}", after.trim_start_matches(|digit: char| digit.is_ascii_digit()))
}
