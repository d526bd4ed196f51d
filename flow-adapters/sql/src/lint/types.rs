/// A column's type: its name as the server has it, and what stands in its brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Type {
    pub(crate) name: String,
    pub(crate) arguments: Vec<String>,
    pub(crate) array: bool,
}

/// The servers' own names for other spellings. Integer types of MySQL keep no display width.
const SPELLINGS: [(&str, &str); 25] = [
    ("int", "integer"),
    ("int4", "integer"),
    ("int8", "bigint"),
    ("int2", "smallint"),
    ("serial", "integer"),
    ("serial4", "integer"),
    ("bigserial", "bigint"),
    ("serial8", "bigint"),
    ("smallserial", "smallint"),
    ("serial2", "smallint"),
    ("bool", "boolean"),
    ("decimal", "numeric"),
    ("dec", "numeric"),
    ("float8", "double precision"),
    ("float4", "real"),
    ("character varying", "varchar"),
    ("char varying", "varchar"),
    ("character", "char"),
    ("bpchar", "char"),
    ("bit varying", "varbit"),
    ("timestamp without time zone", "timestamp"),
    ("timestamp with time zone", "timestamptz"),
    ("time without time zone", "time"),
    ("time with time zone", "timetz"),
    ("int unsigned", "integer unsigned"),
];

impl Type {
    /// Reads a type as scripts and catalogues write it: `numeric(10, 2)`, `timestamp (3) with time zone`, `text[]`.
    pub(crate) fn read(text: &str) -> Self {
        let text = text.trim();
        let (head, rest) = text.split_once('(').unwrap_or((text, ""));
        let (inside, tail) = rest.rsplit_once(')').unwrap_or((rest, ""));
        let outside = format!("{head} {tail}").to_ascii_lowercase();
        let array = outside.contains('[') || outside.split_whitespace().any(|word| word == "array");
        let outside = outside.split('[').next().unwrap_or_default().replace(['"', '`'], "");
        let words: Vec<_> = outside.split_whitespace().filter(|word| *word != "array").collect();
        let name = words.join(" ");
        let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        let name = SPELLINGS.iter().find(|(spelling, _)| *spelling == name).map_or(name, |(_, own)| own);
        let mut arguments = arguments(inside);
        match name {
            // `char` is `char(1)`, `numeric(4)` is `numeric(4,0)`.
            "char" | "bit" if arguments.is_empty() => arguments.push("1".to_owned()),
            "numeric" if arguments.len() == 1 => arguments.push("0".to_owned()),
            // MySQL's display width changes nothing.
            _ if name.contains("int") => arguments.clear(),
            _ => {}
        }
        Self { name: name.to_owned(), arguments, array }
    }

    /// The number in its brackets.
    pub(crate) fn number(&self, at: usize) -> Option<i64> {
        self.arguments.get(at)?.parse().ok()
    }
}

/// What stands between commas, quoted or not.
fn arguments(inside: &str) -> Vec<String> {
    let mut arguments = vec![String::new()];
    let mut quote = false;
    for character in inside.chars() {
        match character {
            '\'' => quote = !quote,
            ',' if !quote => arguments.push(String::new()),
            _ => {}
        }
        if (quote || (!character.is_whitespace() && character != ','))
            && let Some(last) = arguments.last_mut()
        {
            last.push(character);
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    arguments
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_spellings_are_the_same_type() {
        for (one, other) in [
            ("INT", "pg_catalog.int4"),
            ("varchar(10)", "character varying ( 10 )"),
            ("timestamp (3) with time zone", "timestamptz(3)"),
            ("decimal(4)", "numeric(4, 0)"),
            ("text[]", "TEXT ARRAY"),
            ("char", "character(1)"),
            ("enum('a', 'b')", "ENUM('a','b')"),
            ("int(11) unsigned", "INT UNSIGNED"),
        ] {
            assert_eq!(Type::read(one), Type::read(other), "{one} and {other}");
        }
    }

    #[test]
    fn other_types_are_not() {
        for (one, other) in [
            ("int", "bigint"),
            ("int", "int[]"),
            ("numeric(10,2)", "numeric(10,3)"),
            ("enum('a,b')", "enum('a','b')"),
            ("timestamp", "timestamptz"),
        ] {
            assert_ne!(Type::read(one), Type::read(other), "{one} and {other}");
        }
    }
}
