//! Splits a script into its statements, as the plain client of its server does.
//!
//! A statement ends at a semicolon, unless that stands inside a [body](Body) or inside an executable comment of MySQL.
//! A line for the client itself (`\i`, `SOURCE`, `.read`) is a statement of its own, and the rows behind `COPY .. FROM
//! STDIN` belong to that statement, so that [`Statement::refusal`] can name them.

mod body;

use crate::dialect::Dialect;
use crate::lex::{Lexer, Token, TokenKind, Unfinished};

use body::Body;

/// One statement with its place in the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// Its text without the closing semicolon.
    pub text: String,
    /// The line it begins on, from 1.
    pub line: u32,
}

/// Splits `script` into its statements, in order; empty ones are left out.
///
/// # Errors
/// Where the script ends inside a quote, a comment or a body.
///
/// ```
/// use flow_sql::{Dialect, split};
///
/// let script = "CREATE TABLE t(a int); -- one; two\nINSERT INTO t VALUES (1);";
/// let statements = split(Dialect::Postgres, script)?;
/// assert_eq!(statements[1].text, "INSERT INTO t VALUES (1)");
/// assert_eq!(statements[1].line, 2);
/// # Ok::<(), flow_sql::Unfinished>(())
/// ```
pub fn split(dialect: Dialect, script: &str) -> Result<Vec<Statement>, Unfinished> {
    let mut splitter = Splitter {
        dialect,
        script,
        lexer: Lexer::new(dialect, script),
        delimiter: None,
        current: None,
        statements: Vec::new(),
    };
    while let Some(token) = splitter.lexer.next() {
        splitter.take(token?)?;
    }
    splitter.close()?;
    Ok(splitter.statements)
}

/// Words that MySQL's client takes for itself at the beginning of a statement.
const MYSQL_CLIENT: [&str; 20] = [
    "CHARSET",
    "CLEAR",
    "CONNECT",
    "EDIT",
    "EGO",
    "EXIT",
    "GO",
    "NOPAGER",
    "NOTEE",
    "NOWARNING",
    "PAGER",
    "PRINT",
    "PROMPT",
    "QUIT",
    "REHASH",
    "SOURCE",
    "STATUS",
    "SYSTEM",
    "TEE",
    "WARNINGS",
];

/// Whether `token` begins a line that the server's client takes for itself.
pub(crate) fn is_for_client(dialect: Dialect, token: &Token<'_>, at_statement: AtStatement) -> bool {
    match (dialect, at_statement) {
        (Dialect::Postgres | Dialect::Mysql, _) if token.is_symbol("\\") => true,
        (Dialect::Mysql, AtStatement::Begin) => token.is_any(&MYSQL_CLIENT) || token.is("DELIMITER"),
        (Dialect::Sqlite, AtStatement::Begin) => token.is_symbol("."),
        _ => false,
    }
}

/// Where a token stands in its statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AtStatement {
    Begin,
    Inside,
}

struct Splitter<'a> {
    dialect: Dialect,
    script: &'a str,
    lexer: Lexer<'a>,
    delimiter: Option<&'a str>,
    current: Option<Current<'a>>,
    statements: Vec<Statement>,
}

/// The statement that is being read.
struct Current<'a> {
    start: usize,
    line: u32,
    end: usize,
    body: Body<'a>,
}

impl<'a> Splitter<'a> {
    fn take(&mut self, token: Token<'a>) -> Result<(), Unfinished> {
        let place = if self.current.is_some() { AtStatement::Inside } else { AtStatement::Begin };
        let for_client = is_for_client(self.dialect, &token, place) && !self.is_null(&token);
        if for_client && !self.lexer.is_inside_comment() {
            self.close()?;
            self.client_line(&token);
        } else if self.ends_at(&token) {
            self.end(&token);
        } else {
            let dialect = self.dialect;
            let current = self.current.get_or_insert_with(|| Current {
                start: token.start,
                line: token.line,
                end: token.start,
                body: Body::new(dialect),
            });
            current.end = token.end();
            current.body.take(token);
        }
        Ok(())
    }

    /// `\N` is MariaDB's other word for `NULL`.
    fn is_null(&self, token: &Token<'_>) -> bool {
        self.dialect == Dialect::Mysql
            && self.script.get(token.end()..).is_some_and(|rest| rest.starts_with('N'))
    }

    fn ends_at(&self, token: &Token<'_>) -> bool {
        if token.kind != TokenKind::Symbol || self.lexer.is_inside_comment() {
            return false;
        }
        let body = self.current.as_ref().map(|current| &current.body);
        match self.delimiter {
            Some(delimiter) if token.text == delimiter => true,
            // What is sent in one piece under a delimiter runs statement by statement, bodies aside.
            Some(_) => token.text == ";" && !body.is_some_and(Body::is_routine),
            None => token.text == ";" && !body.is_some_and(Body::is_open),
        }
    }

    fn end(&mut self, semicolon: &Token<'_>) {
        if let Some(current) = self.current.as_mut().filter(|current| current.body.copies_from_client()) {
            let rows = self.lexer.take_lines_to("\\.");
            current.end = semicolon.end() + rows.trim_end().len();
        }
        self.push();
    }

    fn push(&mut self) {
        let Some(current) = self.current.take() else { return };
        let text = self.script.get(current.start..current.end).unwrap_or_default().to_owned();
        self.statements.push(Statement { text, line: current.line });
    }

    fn client_line(&mut self, first: &Token<'a>) {
        let rest = self.lexer.take_line();
        if let Some(delimiter) = first.is("DELIMITER").then(|| delimiter(rest)).flatten() {
            self.delimiter = Some(delimiter).filter(|delimiter| *delimiter != ";");
            self.lexer.delimit(self.delimiter);
        } else {
            let text = format!("{}{}", first.text, rest.trim_end());
            self.statements.push(Statement { text, line: first.line });
        }
    }

    /// Ends the statement where nothing of it can follow.
    fn close(&mut self) -> Result<(), Unfinished> {
        let open = self.current.as_ref().filter(|current| self.delimiter.is_none() && current.body.is_open());
        if let Some(current) = open {
            return Err(Unfinished { what: current.body.what(), line: current.line });
        }
        self.push();
        Ok(())
    }
}

/// What the rest of a `DELIMITER` line names. The client takes no backslash, and leaves out quotes.
fn delimiter(rest: &str) -> Option<&str> {
    let named = rest.split_whitespace().next()?.trim_matches(['\'', '"', '`']);
    (rest.starts_with(char::is_whitespace) && !named.is_empty() && !named.contains('\\')).then_some(named)
}

#[cfg(test)]
mod tests;
