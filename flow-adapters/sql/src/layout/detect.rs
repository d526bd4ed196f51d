//! The layouts, and which of them a folder has.

use std::path::Path;

use flow_core::Problems;
use serde::{Deserialize, Serialize};

use super::name::{flyway_parts, popx_dialect};

/// How a folder of migrations is laid out.
///
/// | layout | files | outside a transaction |
/// |---|---|---|
/// | sqlx | `1_name.sql`, or `1_name.up.sql` and `1_name.down.sql` | the first line is `-- no-transaction` |
/// | diesel | `1_name/up.sql`, `1_name/down.sql` | `1_name/metadata.toml` says `run_in_transaction = false` |
/// | golang-migrate | `1_name.up.sql`, `1_name.down.sql` | no mark: its statements decide |
/// | popx | `1_name.up.sql`, `1_name.mysql.up.sql`, `..down.sql`; the file of the dialect goes before the general one | `1_name.autocommit.up.sql` |
/// | Flyway, refinery | `V1.2__name.sql`, `U1.2__name.sql` in any folder below | `V1.2__name.sql.conf` says `executeInTransaction=false` |
///
/// What repeats (`R__name.sql`) or stands for others (`B1__name.sql`) has no place in a history of steps that each have a way
/// back, and is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// sqlx, and this project's own.
    Sqlx,
    /// diesel.
    Diesel,
    /// golang-migrate.
    GolangMigrate,
    /// popx, the migrations of Ory.
    Popx,
    /// Flyway and refinery.
    Flyway,
}

impl Layout {
    /// Finds the layout of a folder with files at `paths` below it.
    ///
    /// Where nothing but `1_name.up.sql` and `1_name.down.sql` is there, sqlx's and golang-migrate's are the same; it is then
    /// sqlx's, as it is where nothing is there at all.
    ///
    /// # Errors
    /// Where files of several layouts are there: one of each, by name.
    ///
    /// ```
    /// use std::path::Path;
    ///
    /// use flow_sql::Layout;
    ///
    /// let layout = Layout::detect(["2024-01-02-030405_add users/up.sql"].map(Path::new))?;
    /// assert_eq!(layout, Layout::Diesel);
    /// # Ok::<(), flow_core::Problems>(())
    /// ```
    pub fn detect<'a>(paths: impl IntoIterator<Item = &'a Path>) -> Result<Self, Problems> {
        let mut firsts: Vec<(&str, Self)> = Vec::new();
        for path in paths.into_iter().filter_map(Path::to_str) {
            match shown(path) {
                Some(Shown::Only(layout)) if !firsts.iter().any(|(_, found)| *found == layout) => {
                    firsts.push((path, layout));
                }
                // Not of these two, or not alone.
                Some(Shown::Directed) if !firsts.iter().any(|(_, found)| found.is_directed()) => {
                    firsts.push((path, Self::GolangMigrate));
                }
                _ => {}
            }
        }
        // What others than golang-migrate also have says nothing beside what they alone have.
        if firsts.iter().any(|(_, found)| matches!(found, Self::Sqlx | Self::Popx)) {
            firsts.retain(|(_, found)| *found != Self::GolangMigrate);
        }
        match firsts.as_slice() {
            [] | [(_, Self::GolangMigrate)] => Ok(Self::Sqlx),
            [(_, layout)] => Ok(*layout),
            [(path, layout), others @ ..] => {
                let mut problems = Problems::default();
                for (other, its) in others {
                    problems.add(*other, format!("is laid out as {its:?}, and `{path}` as {layout:?}"));
                }
                Err(problems)
            }
        }
    }

    const fn is_directed(self) -> bool {
        matches!(self, Self::Sqlx | Self::GolangMigrate | Self::Popx)
    }
}

/// What one file's name shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shown {
    /// `1_name.up.sql`: sqlx, golang-migrate and popx.
    Directed,
    Only(Layout),
}

fn shown(path: &str) -> Option<Shown> {
    let (folder, file) = path.rsplit_once('/').map_or((None, path), |(folder, file)| (Some(folder), file));
    let stem = file.strip_suffix(".sql")?;
    if flyway_parts(file).is_some() {
        return Some(Shown::Only(Layout::Flyway));
    }
    if let Some(folder) = folder {
        let diesel = !folder.contains('/') && matches!(stem, "up" | "down");
        return diesel.then_some(Shown::Only(Layout::Diesel));
    }
    if !stem.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let Some(stem) = stem.strip_suffix(".up").or_else(|| stem.strip_suffix(".down")) else {
        return Some(Shown::Only(Layout::Sqlx));
    };
    let popx = |suffix: &str| suffix == "autocommit" || popx_dialect(suffix).is_some();
    match stem.rsplit_once('.') {
        Some((_, suffix)) if popx(suffix) => Some(Shown::Only(Layout::Popx)),
        _ => Some(Shown::Directed),
    }
}
