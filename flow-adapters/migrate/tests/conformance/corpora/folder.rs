//! A folder of migrations as the user of a plain client sees it: files in the order of the numbers in their names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::stage::Engine;

/// The files of one migration.
#[derive(Debug, Default)]
pub(super) struct File {
    /// As the file's name has it.
    pub(super) version: String,
    up: PathBuf,
    down: Option<PathBuf>,
    /// Whether the layout's mark keeps it out of a transaction.
    alone: [bool; 2],
}

/// One script to be run.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) version: String,
    pub(super) path: PathBuf,
    pub(super) alone: bool,
}

impl File {
    pub(super) fn up(&self) -> Script {
        Script { version: self.version.clone(), path: self.up.clone(), alone: self.alone[0] }
    }

    pub(super) fn down(&self) -> Option<Script> {
        let path = self.down.clone()?;
        Some(Script { version: self.version.clone(), path, alone: self.alone[1] })
    }
}

/// What a path says: version, whether it is the way back, whether it is of this engine alone.
type Named = (String, bool, bool);

/// The migrations of a folder, oldest first.
pub(super) fn files(engine: Engine, folder: &Path) -> Vec<File> {
    let mut found: BTreeMap<(usize, String, String), (File, [bool; 2])> = BTreeMap::new();
    for path in paths(folder) {
        let Some((version, back, narrow)) = named(engine, &path) else { continue };
        let (number, rest) = number(&version);
        let (file, narrowed) = found.entry((number.len(), number, rest)).or_default();
        let side = usize::from(back);
        if narrowed[side] && !narrow {
            continue;
        }
        narrowed[side] = narrow;
        if file.version.is_empty() || !back {
            file.version = version;
        }
        file.alone[side] = is_alone(&path);
        if back { file.down = Some(path) } else { file.up = path }
    }
    found.into_values().map(|(file, _)| file).filter(|file| file.up.is_file()).collect()
}

fn paths(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => vec![path.join("up.sql"), path.join("down.sql")],
            false => vec![path],
        })
        .filter(|path| path.is_file())
        .collect()
}

fn named(engine: Engine, path: &Path) -> Option<Named> {
    let file = path.file_name()?.to_str()?;
    let before_name = |stem: &str| stem.split('_').next().map(str::to_owned);
    if ["up.sql", "down.sql"].contains(&file) {
        let folder = path.parent()?.file_name()?.to_str()?;
        return Some((before_name(folder)?, file == "down.sql", true));
    }
    let stem = file.strip_suffix(".sql")?;
    if let Some(stem) = stem.strip_prefix(['V', 'U']) {
        return Some((before_name(stem)?, file.starts_with('U'), true));
    }
    let back = stem.ends_with(".down");
    let stem = stem.trim_end_matches(".down").trim_end_matches(".up").trim_end_matches(".autocommit");
    let own: &[&str] = match engine {
        Engine::Postgres => &["postgres"],
        Engine::Mariadb => &["mysql", "mariadb"],
        Engine::Sqlite => &["sqlite", "sqlite3"],
    };
    let narrow = match stem.rsplit_once('.') {
        Some((_, dialect)) if own.contains(&dialect) => true,
        Some(_) => return None,
        None => false,
    };
    Some((before_name(stem)?, back, narrow))
}

/// The number without leading zeros. A day with hyphens is its midnight, and what follows a second comes behind it.
fn number(version: &str) -> (String, String) {
    let digits: String = version.chars().filter(char::is_ascii_digit).collect();
    let (number, rest) = if version.contains('-') {
        let time = format!("{digits:0<14}");
        (time[..14].to_owned(), time[14..].to_owned())
    } else {
        (digits, String::new())
    };
    (number.trim_start_matches('0').to_owned(), rest)
}

fn is_alone(path: &Path) -> bool {
    let name = path.file_name().unwrap().to_str().unwrap();
    let says =
        |path: PathBuf, words: &str| std::fs::read_to_string(path).is_ok_and(|text| text.contains(words));
    name.contains(".autocommit.")
        || std::fs::read(path).unwrap().starts_with(b"-- no-transaction")
        || says(path.with_file_name("metadata.toml"), "run_in_transaction = false")
        || says(path.with_file_name(format!("{name}.conf")), "executeInTransaction=false")
}
