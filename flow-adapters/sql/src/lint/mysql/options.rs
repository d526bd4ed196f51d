//! The actions of `ALTER TABLE` that sqlparser does not know: table options, and those of indexes and partitions.

use crate::lex::Token;

use super::super::catalogue::{Index, Table};
use super::cost::Cost;

/// What an action costs, judged by its first words. None where it is for the parser.
pub(super) fn cost(table: Option<&Table>, action: &[Token<'_>]) -> Option<Cost> {
    let words: Vec<String> = action
        .iter()
        .filter(|token| !token.is_symbol("="))
        .map(|token| token.text.to_ascii_lowercase())
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match *words.as_slice() {
        ["convert", "to", ..] => Some(convert(table, &words)),
        ["rename", "index" | "key", ..] | ["alter", "index" | "key", ..] => Some(Cost::INSTANT),
        ["drop", "index" | "key", ..] => Some(Cost::UNINDEX),
        ["drop", "check", ..] => Some(Cost::INSTANT),
        ["add", "fulltext" | "spatial", ..] => Some(Cost { keeps_writers_out: true, ..Cost::REBUILD }),
        ["add" | "drop", "system", "versioning"] => Some(Cost::COPY),
        ["add", "period", ..] => Some(Cost::INSTANT),
        ["disable" | "enable", "keys"] => Some(Cost { renames: true, ..Cost::default() }),
        ["force"] => Some(Cost::REBUILD),
        _ => options(table, &words),
    }
}

/// Table options, one behind the other.
fn options(table: Option<&Table>, words: &[&str]) -> Option<Cost> {
    let mut rest = words;
    let mut cost: Option<Cost> = None;
    while let [first, after @ ..] = rest {
        let one;
        (one, rest) = match (*first, after) {
            ("default", after) => {
                rest = after;
                continue;
            }
            ("engine", [engine, after @ ..]) => {
                let same = table.and_then(|table| table.engine.as_deref()).unwrap_or("innodb") == *engine;
                (if same { Cost::REBUILD } else { Cost::COPY }, after)
            }
            (
                "row_format" | "key_block_size" | "page_compressed" | "page_compression_level" | "encrypted",
                [_, after @ ..],
            ) => (Cost::REBUILD, after),
            (
                "comment" | "auto_increment" | "charset" | "collate" | "max_rows" | "min_rows"
                | "avg_row_length",
                [_, after @ ..],
            )
            | (
                "stats_persistent" | "stats_auto_recalc" | "stats_sample_pages" | "checksum"
                | "delay_key_write",
                [_, after @ ..],
            )
            | ("character", ["set", _, after @ ..]) => (Cost::INSTANT, after),
            _ => return None,
        };
        cost = Some(cost.unwrap_or_default().and(one));
    }
    cost
}

/// `CONVERT TO CHARACTER SET`: nothing where it is the table's already.
fn convert(table: Option<&Table>, words: &[&str]) -> Cost {
    let set = words.iter().skip_while(|word| !["set", "charset"].contains(word)).nth(1);
    let same = table.and_then(|table| table.charset.as_deref()).is_some_and(|charset| set == Some(&charset));
    if same && !words.contains(&"collate") { Cost::INSTANT } else { Cost::COPY }
}

/// Takes in what an action that the parser does not know changes.
pub(super) fn apply(table: &mut Table, action: &[Token<'_>]) {
    let named: Vec<String> = action.iter().filter_map(Token::identifier).collect();
    let words: Vec<String> = named.iter().map(|word| word.to_ascii_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match (words.as_slice(), named.as_slice()) {
        (["drop", "index" | "key", ..], [.., index]) => {
            table.indexes.remove(index);
        }
        (["rename", "index" | "key", _, "to", _], [_, _, from, _, to]) => {
            if let Some(index) = table.indexes.remove(from) {
                table.indexes.insert(to.clone(), index);
            }
        }
        (["convert", "to", .., set], _) => table.charset = Some((*set).to_owned()),
        (["engine", engine, ..], _) => table.engine = Some((*engine).to_owned()),
        (["add", "fulltext" | "spatial", ..], _) => {
            table.indexes.insert(words.join(" "), Index::default());
        }
        _ => {}
    }
}
