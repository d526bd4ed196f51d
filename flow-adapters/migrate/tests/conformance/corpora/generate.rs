//! Makes folders of migrations by a seed: every trap at least once, and ordinary ones between them.

use std::path::Path;

use flow_migrate::Layout;

use crate::stage::Engine;

/// How many migrations a whole folder has.
pub(super) const COUNT: usize = 200;

const SEED: u64 = 5;

/// One migration without its version.
#[derive(Debug, Clone)]
struct Made {
    name: String,
    up: String,
    down: Option<String>,
    alone: bool,
    early: bool,
}

pub(super) struct Generated {
    engine: Engine,
    migrations: Vec<Made>,
}

impl Generated {
    pub(super) fn new(engine: Engine, count: usize) -> Self {
        let traps = traps(engine);
        let (mut migrations, mut late): (Vec<_>, Vec<_>) = traps.into_iter().partition(|trap| trap.early);
        let mut chance = Chance(SEED);
        // A short folder has a choice of them.
        while late.len() + migrations.len() > count {
            late.remove(chance.below(late.len()));
        }
        let mut ordinary = Ordinary::default();
        while migrations.len() < count {
            let left = count - migrations.len();
            if chance.below(left) < late.len() {
                migrations.push(late.remove(chance.below(late.len())));
            } else {
                migrations.push(ordinary.next(migrations.len(), &mut chance));
            }
        }
        for (number, made) in migrations.iter_mut().enumerate() {
            let number = number.to_string();
            made.up = made.up.replace("{n}", &number);
            made.down = made.down.as_deref().map(|down| down.replace("{n}", &number));
        }
        Self { engine, migrations }
    }

    /// Writes the files, and gives the stem of the migration that would come next.
    pub(super) fn lay(&self, folder: &Path, layout: Layout) -> String {
        for (number, made) in self.migrations.iter().enumerate() {
            made.lay(self.engine, folder, layout, &version(number, layout));
        }
        format!("{}_next", version(self.migrations.len(), layout))
    }
}

/// Unpadded and padded numbers, then times, then numbers of 20 digits.
fn version(number: usize, layout: Layout) -> String {
    match number {
        0..10 if number % 2 == 1 => format!("{number:04}"),
        0..20 => number.to_string(),
        20..120 if layout == Layout::Diesel => format!("2019-01-{:02}-{number:06}", 1 + number / 10),
        20..120 => format!("201901{:02}{number:06}", 1 + number / 10),
        _ => format!("{}", 20_191_100_000_000_000_000_u128 + 1_000_000 * number as u128),
    }
}

impl Made {
    fn lay(&self, engine: Engine, folder: &Path, layout: Layout, version: &str) {
        let Self { name, alone, .. } = self;
        let marked = |up: &str| match (alone, layout) {
            (true, Layout::Sqlx) => format!("-- no-transaction\n{up}"),
            _ => up.to_owned(),
        };
        let (dialect, auto) = match (layout, engine) {
            (Layout::Popx, Engine::Postgres) => (".postgres", ".autocommit"),
            (Layout::Popx, Engine::Mariadb) => (".mysql", ".autocommit"),
            (Layout::Popx, Engine::Sqlite) => (".sqlite3", ".autocommit"),
            _ => ("", ""),
        };
        let auto = if *alone { auto } else { "" };
        // Every second one is for this engine alone, beside one for all of them that must not be run.
        let narrow = layout == Layout::Popx && version.ends_with(['0', '2', '4', '6', '8']);
        let dialect = if narrow { dialect } else { "" };
        let write = |file: String, text: &str| {
            let path = folder.join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let (up, down) = match layout {
            Layout::Diesel => {
                let folder = format!("{version}_{}", name.replace('_', " "));
                if *alone {
                    write(format!("{folder}/metadata.toml"), "run_in_transaction = false\n");
                }
                (format!("{folder}/up.sql"), format!("{folder}/down.sql"))
            }
            Layout::Flyway => {
                let up = format!("V{version}__{name}.sql");
                if *alone {
                    write(format!("{up}.conf"), "executeInTransaction=false\n");
                }
                (up, format!("U{version}__{name}.sql"))
            }
            Layout::Sqlx | Layout::GolangMigrate | Layout::Popx => {
                let stem = format!("{version}_{name}{dialect}{auto}");
                (format!("{stem}.up.sql"), format!("{stem}.down.sql"))
            }
        };
        if narrow {
            for direction in ["up", "down"] {
                write(format!("{version}_{name}.{direction}.sql"), "SELECT of_no_dialect;");
            }
            write(format!("{version}_{name}.cockroach.up.sql"), "SELECT of_another_server;");
        }
        write(up, &marked(&self.up));
        match &self.down {
            Some(text) => write(down, &marked(text)),
            // What stands for all engines would be its way back.
            None if narrow => {
                std::fs::remove_file(folder.join(format!("{version}_{name}.down.sql"))).unwrap();
            }
            None => {}
        }
    }
}

/// The traps of an engine: `== name marks`, the script, `-- down --` and the way back, if there is one.
fn traps(engine: Engine) -> Vec<Made> {
    let text = match engine {
        Engine::Postgres => include_str!("traps/postgres.sql"),
        Engine::Mariadb => include_str!("traps/mariadb.sql"),
        Engine::Sqlite => include_str!("traps/sqlite.sql"),
    };
    text.split("== ").skip(1).map(trap).collect()
}

fn trap(text: &str) -> Made {
    let (head, body) = text.split_once('\n').unwrap();
    let mut words = head.split(' ');
    let name = words.next().unwrap().to_owned();
    let marks: Vec<_> = words.collect();
    let has = |mark| marks.contains(&mark);
    let lines = |text: &str| if has("crlf") { text.replace('\n', "\r\n") } else { text.to_owned() };
    let (up, down) = match body.split_once("-- down --\n") {
        Some((up, down)) => (up, Some(lines(down))),
        None => (body, None),
    };
    // A file does not have to end with its last line.
    let up = lines(up.trim_end_matches('\n'));
    Made { name, up, down, alone: has("alone"), early: has("early") }
}

/// Migrations without traps, each with a way back that restores the schema.
#[derive(Debug, Default)]
struct Ordinary {
    tables: Vec<usize>,
}

impl Ordinary {
    fn next(&mut self, number: usize, chance: &mut Chance) -> Made {
        let made = |name: &str, up: String, down: String| Made {
            name: name.to_owned(),
            up,
            down: Some(down),
            alone: false,
            early: false,
        };
        let kind = chance.below(6);
        if self.tables.is_empty() || kind < 2 {
            self.tables.push(number);
            let columns: String =
                (0..=chance.below(5)).map(|at| format!(", c{at} VARCHAR(30) DEFAULT 'd{at}'")).collect();
            let up = format!(
                "CREATE TABLE t{{n}} (id INT NOT NULL PRIMARY KEY{columns});\nINSERT INTO t{{n}} (id) VALUES (1), (2), ({{n}});"
            );
            return made("add table", up, "DROP TABLE t{n};\n".to_owned());
        }
        let table = self.tables[chance.below(self.tables.len())];
        match kind {
            2 => made(
                "add_column",
                format!(
                    "ALTER TABLE t{table} ADD COLUMN a{{n}} INT DEFAULT {{n}};\nUPDATE t{table} SET a{{n}} = id;"
                ),
                format!("ALTER TABLE t{table} DROP COLUMN a{{n}};"),
            ),
            3 => made(
                "add_index",
                format!("CREATE INDEX i{{n}} ON t{table} (c0);"),
                // Elsewhere an index belongs to no table.
                format!("DROP INDEX i{{n}}/*! ON t{table} */;"),
            ),
            4 => made(
                "rows",
                format!("INSERT INTO t{table} (id, c0) VALUES ({{n}}00, 'row;'), ({{n}}01, NULL);"),
                format!("DELETE FROM t{table} WHERE id IN ({{n}}00, {{n}}01);"),
            ),
            _ => made(
                "view",
                format!("CREATE VIEW v{{n}} AS SELECT id, c0 FROM t{table};"),
                "DROP VIEW v{n};".to_owned(),
            ),
        }
    }
}

/// The generator of xorshift: the same numbers everywhere.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}
