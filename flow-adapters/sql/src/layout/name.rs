//! What a file's path says in each layout.

use super::Layout;
use crate::dialect::Dialect;
use crate::script::Mode;
use crate::version::Version;

/// What the path of a script says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Named {
    pub(super) version: Version,
    pub(super) name: String,
    pub(super) direction: Direction,
    pub(super) reach: Reach,
    pub(super) mode: Mode,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Up,
    Down,
}

/// Which servers a script is for. The narrower goes before the general.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    Every,
    One,
}

/// What `path` says, or none where it is no script of this layout and dialect.
///
/// # Errors
/// What is wrong with the name.
pub(super) fn parse(layout: Layout, dialect: Dialect, path: &str) -> Result<Option<Named>, String> {
    let (folder, file) = path.rsplit_once('/').map_or((None, path), |(folder, file)| (Some(folder), file));
    if layout == Layout::Flyway {
        return flyway(file);
    }
    let extension = file.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
    match (layout, extension.as_deref(), folder) {
        (Layout::Popx, Some("fizz"), None) => Err("is no SQL".to_owned()),
        (_, extension, _) if extension != Some("sql") => Ok(None),
        // diesel looks into folders alone; crates.io keeps queries of other use beside them.
        (Layout::Diesel, _, None) => Ok(None),
        (Layout::Diesel, _, Some(folder)) => diesel(folder, file).map(Some),
        (_, _, Some(_)) => Err("stands in a folder, and migrations are not looked for in it".to_owned()),
        (Layout::Popx, ..) => popx(dialect, file),
        (Layout::Sqlx, ..) if !file.ends_with(".up.sql") && !file.ends_with(".down.sql") => {
            let stem = file.get(..file.len().saturating_sub(4)).unwrap_or_default();
            versioned(stem, Direction::Up).map(Some)
        }
        _ => {
            let (stem, direction) = directed(file)?;
            versioned(stem, direction).map(Some)
        }
    }
}

fn directed(file: &str) -> Result<(&str, Direction), String> {
    file.strip_suffix(".up.sql")
        .map(|stem| (stem, Direction::Up))
        .or_else(|| file.strip_suffix(".down.sql").map(|stem| (stem, Direction::Down)))
        .ok_or_else(|| "the name ends neither in `.up.sql` nor in `.down.sql`".to_owned())
}

/// `1_name`.
fn versioned(stem: &str, direction: Direction) -> Result<Named, String> {
    let (version, name) = stem.split_once('_').ok_or("the name has no `_` after the version")?;
    let version = Version::new(version)
        .filter(Version::is_plain)
        .ok_or("the version before the first `_` is not a number")?;
    named(version, name, direction)
}

fn named(version: Version, name: &str, direction: Direction) -> Result<Named, String> {
    if name.trim().is_empty() {
        return Err("there is no name after the version".to_owned());
    }
    if name.chars().any(char::is_control) {
        return Err("the name holds a control character".to_owned());
    }
    Ok(Named { version, name: name.to_owned(), direction, reach: Reach::Every, mode: Mode::Transaction })
}

fn diesel(folder: &str, file: &str) -> Result<Named, String> {
    let direction = match file {
        "up.sql" => Direction::Up,
        "down.sql" => Direction::Down,
        _ => return Err("is neither `up.sql` nor `down.sql`".to_owned()),
    };
    if folder.contains('/') {
        return Err("stands in a folder inside a folder".to_owned());
    }
    let (version, name) = folder.split_once('_').ok_or("the folder's name has no `_` after the version")?;
    let version = Version::new(version)
        .filter(|version| !version.as_str().contains('.'))
        .ok_or("the version before the first `_` of the folder is not a number")?;
    named(version, name, direction)
}

/// `1_name[.dialect][.autocommit]`, by <https://github.com/ory/x/tree/master/popx>.
fn popx(dialect: Dialect, file: &str) -> Result<Option<Named>, String> {
    let (stem, direction) = directed(file)?;
    let (stem, mode) = match stem.strip_suffix(".autocommit") {
        Some(stem) => (stem, Mode::Statements),
        None => (stem, Mode::Transaction),
    };
    let (stem, reach) = match stem.split_once('.') {
        Some((stem, suffix)) => match popx_dialect(suffix) {
            Some(of) if of == Some(dialect) => (stem, Reach::One),
            Some(_) => return Ok(None),
            None => return Err(format!("`{suffix}` is no dialect that is known")),
        },
        None => (stem, Reach::Every),
    };
    Ok(Some(Named { reach, mode, ..versioned(stem, direction)? }))
}

/// The dialect that popx calls `suffix`: none inside where it is none of ours.
pub(super) fn popx_dialect(suffix: &str) -> Option<Option<Dialect>> {
    match suffix {
        "postgres" | "postgresql" => Some(Some(Dialect::Postgres)),
        "mysql" | "mariadb" => Some(Some(Dialect::Mysql)),
        "sqlite" | "sqlite3" => Some(Some(Dialect::Sqlite)),
        "cockroach" | "cockroachdb" => Some(None),
        _ => None,
    }
}

fn flyway(file: &str) -> Result<Option<Named>, String> {
    let Some((kind, version, rest)) = flyway_parts(file) else {
        let sql = file.to_ascii_lowercase().ends_with(".sql");
        return if sql { Err("the name is not `V<version>__<name>.sql`".to_owned()) } else { Ok(None) };
    };
    if file.ends_with(".conf") {
        return Ok(None);
    }
    let name = rest.strip_suffix(".sql").ok_or("is no SQL")?;
    let direction = match kind {
        'V' => Direction::Up,
        'U' => Direction::Down,
        'R' => {
            return Err(
                "repeats, which no history of steps with ways back can hold; give it a version".to_owned()
            );
        }
        _ => return Err("stands for the migrations before it, and could disagree with them".to_owned()),
    };
    let version = Version::new(version)
        .filter(|version| !version.as_str().contains('-'))
        .ok_or_else(|| format!("the version between `{kind}` and `__` is no number"))?;
    named(version, name, direction).map(Some)
}

/// The kind, the version and what follows `__`.
pub(super) fn flyway_parts(file: &str) -> Option<(char, &str, &str)> {
    let (head, rest) = file.split_once("__")?;
    let kind = head.chars().next().filter(|kind| "VURB".contains(*kind))?;
    let version = head.get(1..)?;
    let fits =
        if kind == 'R' { version.is_empty() } else { version.starts_with(|c: char| c.is_ascii_digit()) };
    fits.then_some((kind, version, rest))
}
