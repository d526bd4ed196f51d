//! Which changes of a column's type write the table anew.

use super::super::catalogue::Catalogue;
use super::super::types::Type;

/// Zones whose offset is always zero.
const UTC: [&str; 13] = [
    "utc",
    "etc/utc",
    "gmt",
    "etc/gmt",
    "uct",
    "etc/uct",
    "zulu",
    "etc/zulu",
    "universal",
    "etc/universal",
    "greenwich",
    "0",
    "+00",
];

/// Whether the values of `from` have to be written anew to become `to`.
pub(super) fn rewrites(catalogue: &Catalogue, from: &Type, to: &Type) -> bool {
    if from == to {
        return false;
    }
    // Into a domain every value is checked; out of it none is.
    let from = base(catalogue, from);
    if let Some(domain) = catalogue.domains.get(&to.name) {
        return domain.constrained || to.array || rewrites(catalogue, &from, &domain.base);
    }
    if from.array || to.array {
        return from != *to;
    }
    match (from.name.as_str(), to.name.as_str()) {
        ("text" | "varchar" | "citext", "text" | "citext") => false,
        ("text" | "varchar" | "citext", "varchar") => {
            to.number(0).is_some_and(|most| grows_over(&from, most))
        }
        ("varbit", "varbit") => to.number(0).is_some_and(|most| grows_over(&from, most)),
        ("numeric", "numeric") => match (from.number(0), from.number(1), to.number(0), to.number(1)) {
            (_, _, None, _) => false,
            (Some(digits), scale, Some(more), same) => scale != same || more < digits,
            _ => true,
        },
        ("timestamp", "timestamp")
        | ("timestamptz", "timestamptz")
        | ("time", "time")
        | ("timetz", "timetz") => to.number(0).unwrap_or(6) < from.number(0).unwrap_or(6),
        ("timestamp", "timestamptz") | ("timestamptz", "timestamp") => {
            !to.arguments.is_empty() || !is_utc(catalogue)
        }
        ("cidr", "inet") | ("xml", "text") | ("integer", "oid") | ("oid", "integer") => false,
        (one, other) => one != other || from.arguments != to.arguments,
    }
}

/// Whether an index on the column is good for the new type too, where the table is not written anew.
pub(super) fn keeps_indexes(catalogue: &Catalogue, from: &Type, to: &Type) -> bool {
    let family = |kind: &Type| match kind.name.as_str() {
        "varchar" => "text".to_owned(),
        "cidr" => "inet".to_owned(),
        other => other.to_owned(),
    };
    family(&base(catalogue, from)) == family(&base(catalogue, to))
}

fn base(catalogue: &Catalogue, kind: &Type) -> Type {
    match catalogue.domains.get(&kind.name) {
        Some(domain) if !kind.array => domain.base.clone(),
        _ => kind.clone(),
    }
}

/// Whether a value of `from` may be longer than `most`.
fn grows_over(from: &Type, most: i64) -> bool {
    from.number(0).is_none_or(|now| now > most)
}

fn is_utc(catalogue: &Catalogue) -> bool {
    let zone = catalogue.session.time_zone.as_ref().map(|zone| zone.to_ascii_lowercase());
    zone.is_some_and(|zone| UTC.contains(&zone.as_str()))
}
