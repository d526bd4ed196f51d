//! What `MODIFY` and `CHANGE` cost: by the old definition and the new one.

use sqlparser::ast::{ColumnOption, DataType, Expr, GeneratedAs, GeneratedExpressionMode};

use super::super::catalogue::{Catalogue, Column, Table};
use super::super::server::Product;
use super::super::types::Type;
use super::cost::Cost;

/// A column as a script defines it.
pub(super) struct Definition {
    pub(super) column: Column,
    pub(super) has_value: bool,
    /// An expression other than the time gives each row its value.
    pub(super) computed: bool,
    pub(super) stored: bool,
    pub(super) unique: bool,
    pub(super) primary: bool,
    pub(super) references: bool,
    pub(super) auto_increment: bool,
    collation: bool,
}

impl Definition {
    pub(super) fn read<'a>(kind: &DataType, options: impl Iterator<Item = &'a ColumnOption>) -> Self {
        let column = Column { kind: Type::read(&kind.to_string()), not_null: false, charset: None };
        let mut read = Self {
            column,
            has_value: false,
            computed: false,
            stored: false,
            unique: false,
            primary: false,
            references: false,
            auto_increment: false,
            collation: false,
        };
        for option in options {
            read.take(option);
        }
        read
    }

    fn take(&mut self, option: &ColumnOption) {
        match option {
            ColumnOption::NotNull => self.column.not_null = true,
            ColumnOption::Default(value) => {
                let text = value.to_string().to_ascii_lowercase();
                self.has_value = text != "null";
                self.computed = is_computed(value);
            }
            ColumnOption::PrimaryKey(_) => {
                self.primary = true;
                self.column.not_null = true;
            }
            ColumnOption::Unique(_) => self.unique = true,
            ColumnOption::ForeignKey(_) => self.references = true,
            ColumnOption::CharacterSet(name) => {
                self.column.charset = Some(name.to_string().to_ascii_lowercase());
            }
            ColumnOption::Collation(_) => self.collation = true,
            ColumnOption::Generated { generated_as, generation_expr_mode, .. } => {
                self.has_value = true;
                self.stored = *generated_as == GeneratedAs::ExpStored
                    || *generation_expr_mode == Some(GeneratedExpressionMode::Stored);
            }
            ColumnOption::DialectSpecific(tokens) => {
                let text: String = tokens.iter().map(ToString::to_string).collect();
                self.auto_increment |= text.eq_ignore_ascii_case("auto_increment");
                self.has_value |= self.auto_increment;
            }
            _ => {}
        }
    }
}

/// Whether a default is computed for each row. The time is the same for all.
fn is_computed(value: &Expr) -> bool {
    let text = value.to_string().to_ascii_lowercase();
    let time = ["now", "current_timestamp", "localtime", "utc_timestamp", "current_date"];
    text.contains('(') && !time.iter().any(|function| text.starts_with(function)) && !text.starts_with('\'')
}

/// What a new definition in place of an old one costs.
pub(super) fn modify(catalogue: &Catalogue, table: Option<&Table>, name: &str, new: &Definition) -> Cost {
    let Some((table, old)) = table.and_then(|table| Some((table, table.columns.get(name)?))) else {
        return Cost::COPY;
    };
    if new.stored || new.auto_increment {
        return Cost::COPY;
    }
    let charset = |column: &Column| column.charset.clone().or_else(|| table.charset.clone());
    if new.column.charset.is_some() && charset(&new.column) != charset(old) {
        return Cost::COPY;
    }
    if !grows_in_place(catalogue, &old.kind, &new.column.kind, charset(old).as_deref()) {
        return Cost::COPY;
    }
    // A column of the primary key is never null, whatever its definition says.
    let primary = table.indexes.values().any(|index| index.primary && index.columns.contains(name));
    let mut cost = Cost::INSTANT;
    if old.not_null != new.column.not_null && !primary {
        cost = cost.and(Cost::REBUILD);
    }
    if new.collation && table.indexes.values().any(|index| index.columns.contains(name)) {
        cost = cost.and(Cost::INDEX);
    }
    if new.unique || new.primary {
        cost = cost.and(Cost::INDEX);
    }
    cost
}

/// Whether the stored values of `old` are values of `new` too.
fn grows_in_place(catalogue: &Catalogue, old: &Type, new: &Type, charset: Option<&str>) -> bool {
    if old == new {
        return true;
    }
    match (old.name.as_str(), new.name.as_str()) {
        ("varchar", "varchar") | ("varbinary", "varbinary") => {
            let (Some(now), Some(then)) = (old.number(0), new.number(0)) else { return false };
            let widths: &[i64] = match charset {
                _ if old.name == "varbinary" => &[1],
                Some("utf8mb4" | "utf16" | "utf32") => &[4],
                Some("utf8" | "utf8mb3") => &[3],
                Some("latin1" | "latin2" | "ascii" | "binary") => &[1],
                Some(_) | None => &[1, 2, 3, 4],
            };
            then >= now && widths.iter().all(|width| keeps_length(catalogue, now * width, then * width))
        }
        // Appended values keep the numbers of those before, unless they need another byte.
        ("enum", "enum") => new.arguments.starts_with(&old.arguments) && fits(old, 255) == fits(new, 255),
        ("set", "set") => new.arguments.starts_with(&old.arguments) && fits(old, 8) == fits(new, 8),
        _ => false,
    }
}

/// Whether the length of a value is stored alike: beyond 255 bytes it takes two bytes. MariaDB also grows over that border
/// where the old column had no more than 127.
fn keeps_length(catalogue: &Catalogue, now: i64, then: i64) -> bool {
    let mariadb = catalogue.server.product == Product::Mariadb;
    then <= 255 || now > 255 || (mariadb && now <= 127)
}

/// Whether the numbers of its values fit into one byte.
fn fits(kind: &Type, most: usize) -> bool {
    kind.arguments.len() <= most
}
