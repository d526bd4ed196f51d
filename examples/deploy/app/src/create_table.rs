//! Reads the columns of a table out of the statement that creates it.

use super::sqlite_file::Value;

/// A table's columns, in their order.
#[derive(Debug)]
pub(crate) struct Definition {
    pub(crate) columns: Vec<Column>,
}

/// One column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) affinity: Affinity,
    /// Whether it is another name of the row id.
    pub(crate) is_rowid: bool,
    pub(crate) default: Default,
}

/// What a column makes of the values that are put into it, <https://www.sqlite.org/datatype3.html>.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

/// The value of rows that were written before the column was added.
#[derive(Debug, PartialEq)]
pub(crate) enum Default {
    Constant(Value),
    /// An expression, or a constant that the column would convert.
    Other,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    /// A name in quotes, brackets or backticks.
    Name(String),
    Text(String),
    Symbol(char),
}

impl Token {
    fn is(&self, keyword: &str) -> bool {
        matches!(self, Self::Word(word) if word.eq_ignore_ascii_case(keyword))
    }

    fn is_one_of(&self, keywords: &[&str]) -> bool {
        keywords.iter().any(|keyword| self.is(keyword))
    }

    fn name(&self) -> Option<&str> {
        match self {
            Self::Word(name) | Self::Name(name) => Some(name),
            Self::Text(_) | Self::Symbol(_) => None,
        }
    }
}

/// The words that begin a constraint of a table.
const TABLE_CONSTRAINTS: [&str; 5] = ["CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"];

/// The words that end the type of a column.
const COLUMN_CONSTRAINTS: [&str; 11] = [
    "CONSTRAINT",
    "PRIMARY",
    "NOT",
    "NULL",
    "UNIQUE",
    "CHECK",
    "DEFAULT",
    "COLLATE",
    "REFERENCES",
    "GENERATED",
    "AS",
];

impl Definition {
    /// Parses `CREATE TABLE name (..)`.
    pub(crate) fn parse(sql: &str) -> Result<Self, String> {
        let tokens = tokens(sql)?;
        match tokens.as_slice() {
            [create, table, ..] if create.is("CREATE") && table.is("TABLE") => {}
            _ => return Err("is not of an ordinary table".to_owned()),
        }
        let (parts, options) = split_list(&tokens).ok_or("has no list of columns")?;
        if options.iter().any(|option| option.is("WITHOUT")) {
            return Err("has `WITHOUT ROWID`, which is not read here".to_owned());
        }
        let is_constraint =
            |part: &&[Token]| part.first().is_some_and(|first| first.is_one_of(&TABLE_CONSTRAINTS));
        let (constraints, columns): (Vec<&[Token]>, Vec<_>) = parts.into_iter().partition(is_constraint);
        let mut columns = columns.into_iter().map(column).collect::<Result<Vec<_>, _>>()?;
        if let Some(key) = constraints.into_iter().find_map(single_key) {
            for column in &mut columns {
                column.0.is_rowid |= column.1 && column.0.name.eq_ignore_ascii_case(key);
            }
        }
        Ok(Self { columns: columns.into_iter().map(|(column, _)| column).collect() })
    }
}

/// The definitions between the outermost brackets, and what follows them.
fn split_list(tokens: &[Token]) -> Option<(Vec<&[Token]>, &[Token])> {
    let open = tokens.iter().position(|token| *token == Token::Symbol('('))?;
    let (mut depth, mut start) = (0_usize, open + 1);
    let mut parts = Vec::new();
    for (at, token) in tokens.iter().enumerate().skip(open) {
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            _ => {}
        }
        let is_end = depth == 0;
        if is_end || (depth == 1 && *token == Token::Symbol(',')) {
            parts.push(tokens.get(start..at)?);
            start = at + 1;
        }
        if is_end {
            return Some((parts, tokens.get(start..)?));
        }
    }
    None
}

/// Reads a column, and says whether it becomes the row id if it is the table's key.
fn column(tokens: &[Token]) -> Result<(Column, bool), String> {
    let name = tokens.first().and_then(Token::name).ok_or("has a column without a name")?.to_owned();
    let rest = tokens.get(1..).unwrap_or_default();
    let type_length =
        rest.iter().position(|token| token.is_one_of(&COLUMN_CONSTRAINTS)).unwrap_or(rest.len());
    let (type_tokens, constraints) = rest.split_at(type_length);
    let type_name: Vec<_> = type_tokens.iter().filter_map(Token::name).collect();
    let type_name = type_name.join(" ").to_ascii_uppercase();
    let affinity = affinity(&type_name);
    let mut is_key = false;
    let mut default = Default::Constant(Value::Null);
    let mut depth = 0_usize;
    for (at, token) in constraints.iter().enumerate() {
        let after = constraints.get(at + 1..).unwrap_or_default();
        match token {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth = depth.saturating_sub(1),
            _ if depth > 0 => {}
            // A quirk that SQLite keeps for old files: a key in descending order is an ordinary column.
            _ if token.is("PRIMARY") => is_key = !after.get(1).is_some_and(|order| order.is("DESC")),
            _ if token.is("DEFAULT") => default = constant(after, affinity),
            _ if token.is_one_of(&["GENERATED", "AS"]) => {
                return Err(format!("computes the column `{name}`, which is not read here"));
            }
            _ => {}
        }
    }
    let can_be_rowid = type_name == "INTEGER";
    Ok((Column { name, affinity, is_rowid: is_key && can_be_rowid, default }, can_be_rowid))
}

/// The column of a key of one column.
fn single_key(constraint: &[Token]) -> Option<&str> {
    let at = constraint.iter().position(|token| token.is("PRIMARY"))?;
    match constraint.get(at + 2..)? {
        [Token::Symbol('('), column, Token::Symbol(')'), ..] => column.name(),
        [Token::Symbol('('), column, order, Token::Symbol(')'), ..] if order.is_one_of(&["ASC", "DESC"]) => {
            column.name()
        }
        _ => None,
    }
}

fn affinity(type_name: &str) -> Affinity {
    let has = |parts: &[&str]| parts.iter().any(|part| type_name.contains(part));
    match type_name {
        _ if has(&["INT"]) => Affinity::Integer,
        _ if has(&["CHAR", "CLOB", "TEXT"]) => Affinity::Text,
        "" => Affinity::Blob,
        _ if has(&["BLOB"]) => Affinity::Blob,
        _ if has(&["REAL", "FLOA", "DOUB"]) => Affinity::Real,
        _ => Affinity::Numeric,
    }
}

/// The constant that `DEFAULT` names, as the column stores it.
fn constant(tokens: &[Token], affinity: Affinity) -> Default {
    let (sign, tokens) = match tokens {
        [Token::Symbol('-'), rest @ ..] => ("-", rest),
        [Token::Symbol('+'), rest @ ..] => ("", rest),
        _ => ("", tokens),
    };
    let value = match tokens.first() {
        Some(word) if word.is("NULL") => Value::Null,
        Some(word) if word.is("TRUE") => Value::Integer(1),
        Some(word) if word.is("FALSE") => Value::Integer(0),
        Some(Token::Text(text)) => Value::Text(text.clone()),
        Some(Token::Word(digits)) => {
            let digits = format!("{sign}{digits}");
            let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
            match (digits.parse(), digits.parse()) {
                (Ok(integer), _) => Value::Integer(integer),
                (_, Ok(real)) if plain => Value::Real(real),
                _ => return Default::Other,
            }
        }
        _ => return Default::Other,
    };
    match (value, affinity) {
        (Value::Integer(whole), Affinity::Real) => match i32::try_from(whole) {
            Ok(whole) => Default::Constant(Value::Real(whole.into())),
            Err(_) => Default::Other,
        },
        (Value::Integer(_) | Value::Real(_), Affinity::Text)
        | (Value::Text(_), Affinity::Integer | Affinity::Real | Affinity::Numeric)
        | (Value::Real(_), Affinity::Integer | Affinity::Numeric) => Default::Other,
        (value, _) => Default::Constant(value),
    }
}

fn tokens(sql: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = sql;
    while let Some(first) = rest.chars().next() {
        let after = rest.get(first.len_utf8()..).unwrap_or_default();
        rest = match first {
            _ if first.is_whitespace() => after,
            '-' if after.starts_with('-') => after.split_once('\n').map_or("", |(_, rest)| rest),
            '/' if after.starts_with('*') => after.split_once("*/").map_or("", |(_, rest)| rest),
            '\'' | '"' | '`' | '[' => {
                let close = if first == '[' { ']' } else { first };
                let (content, rest) = quoted(after, close).ok_or("has a quote without an end")?;
                tokens.push(if first == '\'' { Token::Text(content) } else { Token::Name(content) });
                rest
            }
            _ if is_word(first) => {
                let end = rest.find(|each| !is_word(each)).unwrap_or(rest.len());
                let (word, rest) = rest.split_at(end);
                tokens.push(Token::Word(word.to_owned()));
                rest
            }
            symbol => {
                tokens.push(Token::Symbol(symbol));
                after
            }
        };
    }
    Ok(tokens)
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || matches!(character, '_' | '$' | '.') || !character.is_ascii()
}

/// The content up to the closing quote, which stands for itself when it is doubled, and what follows.
fn quoted(text: &str, close: char) -> Option<(String, &str)> {
    let mut content = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once(close)?;
        content.push_str(before);
        match after.strip_prefix(close).filter(|_| close != ']') {
            Some(again) => {
                content.push(close);
                rest = again;
            }
            None => return Some((content, after)),
        }
    }
}
