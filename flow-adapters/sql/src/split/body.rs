//! Statements with statements inside: triggers, routines, events, blocks and rules.
//!
//! - SQLite: a trigger ends at `; END ;`, the rule of `sqlite3_complete` (<https://www.sqlite.org/c3ref/complete.html>). The
//!   `END` of a `CASE` never follows a semicolon, so no expression, however nested, ends a trigger early.
//! - PostgreSQL: `BEGIN ATOMIC .. END` of routines, in which only `CASE` has an `END` of its own, and the actions of `CREATE
//!   RULE` between parentheses: the rule of `psqlscan.l`.
//! - MySQL: the compound statements of <https://dev.mysql.com/doc/refman/8.4/en/sql-compound-statements.html>. `BEGIN`,
//!   `END` and `IF` are also names and functions; they count where a statement may begin, and nowhere else.

use crate::dialect::Dialect;
use crate::lex::{Token, TokenKind};

/// How many tokens are looked at to say what a statement is.
const OPENING: usize = 24;

/// Follows one statement and says whether a semicolon would end it.
#[derive(Debug)]
pub(super) struct Body<'a> {
    dialect: Dialect,
    opening: Vec<Token<'a>>,
    kind: Option<Kind>,
    open: Vec<Open>,
    parentheses: usize,
    /// The last token and the one before it.
    last: [Option<Token<'a>>; 2],
    /// Whether the last token stood where a statement may begin.
    last_began: bool,
    /// Whether no statement of the body has ended yet.
    heading: bool,
    /// Inside `DECLARE .. HANDLER`, whose statement follows a list of conditions.
    handler: bool,
    copies: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    SqliteTrigger,
    PostgresRoutine,
    PostgresRule,
    MysqlProgram,
}

/// What waits for its `END`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    /// A block, or a compound statement.
    Statement,
    Repeat,
    /// A `REPEAT` behind its `UNTIL`, whose condition has no semicolon.
    Until,
    /// A `CASE` inside an expression.
    Expression,
}

impl<'a> Body<'a> {
    pub(super) const fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            opening: Vec::new(),
            kind: None,
            open: Vec::new(),
            parentheses: 0,
            last: [None, None],
            last_began: false,
            heading: true,
            handler: false,
            copies: false,
        }
    }

    pub(super) fn take(&mut self, token: Token<'a>) {
        if token.is_edge() {
            return;
        }
        if self.kind.is_none() && self.opening.len() < OPENING {
            self.opening.push(token);
            self.kind = kind(self.dialect, &self.opening);
            if self.kind == Some(Kind::MysqlProgram) && token.is("ATOMIC") {
                self.open.push(Open::Statement);
            }
        }
        let began = match self.kind {
            Some(Kind::MysqlProgram) => self.mysql(&token),
            Some(Kind::PostgresRoutine) => self.postgres(&token),
            _ => false,
        };
        match token.text {
            "(" => self.parentheses += 1,
            ")" => self.parentheses = self.parentheses.saturating_sub(1),
            ";" => (self.heading, self.handler) = (false, false),
            _ => {}
        }
        let copy =
            self.dialect == Dialect::Postgres && self.opening.first().is_some_and(|first| first.is("COPY"));
        self.copies |= copy && token.is("STDIN") && self.last_is(&["FROM"]);
        self.last = [Some(token), self.last[0]];
        self.last_began = began;
    }

    /// Whether a semicolon here would not end the statement.
    pub(super) fn is_open(&self) -> bool {
        match self.kind {
            Some(Kind::SqliteTrigger) => {
                let ended = matches!(&self.last, [Some(end), Some(semicolon)]
                    if end.is("END") && semicolon.is_symbol(";"));
                !ended
            }
            Some(Kind::PostgresRule) => self.parentheses > 0,
            Some(Kind::PostgresRoutine | Kind::MysqlProgram) => !self.open.is_empty(),
            None => false,
        }
    }

    /// Whether statements may stand inside this one.
    pub(super) const fn is_routine(&self) -> bool {
        self.kind.is_some()
    }

    /// Whether rows from the client follow the semicolon.
    pub(super) const fn copies_from_client(&self) -> bool {
        self.copies
    }

    pub(super) const fn what(&self) -> &'static str {
        match self.kind {
            Some(Kind::SqliteTrigger) => "a trigger",
            Some(Kind::PostgresRule) => "a rule",
            _ => "a body",
        }
    }

    fn postgres(&mut self, token: &Token<'_>) -> bool {
        // Behind a dot or `AS`, these words are names.
        let named = self.last_is_symbol(".") || self.last_is(&["AS"]);
        if self.open.is_empty() && token.is("ATOMIC") && self.last_is(&["BEGIN"]) {
            self.open.push(Open::Statement);
        } else if !self.open.is_empty() && !named && token.is("CASE") {
            self.open.push(Open::Expression);
        } else if !named && token.is("END") {
            self.open.pop();
        }
        false
    }

    /// Whether `token` stands where a statement may begin.
    fn mysql(&mut self, token: &Token<'_>) -> bool {
        let begins = self.mysql_statement_begins();
        let after_dot = self.last_is_symbol(".") || self.last_is_symbol("@");
        if token.is("BEGIN") && (begins || self.mysql_block_begins()) {
            self.open.push(Open::Statement);
        } else if token.is("CASE") && !after_dot && !self.last_is(&["END"]) {
            self.open.push(if begins { Open::Statement } else { Open::Expression });
        } else if begins && token.is_any(&["IF", "LOOP", "WHILE"]) || self.mysql_for_begins(token, begins) {
            self.open.push(Open::Statement);
        } else if begins && token.is("REPEAT") {
            self.open.push(Open::Repeat);
        } else if begins && token.is("UNTIL") && self.open.last() == Some(&Open::Repeat) {
            self.open.pop();
            self.open.push(Open::Until);
        } else if token.is("END") && !after_dot {
            let inside = matches!(self.open.last(), Some(Open::Expression | Open::Until));
            if inside || self.last_is_symbol(";") || self.last_is(&["BEGIN"]) {
                self.open.pop();
            }
        }
        self.handler |= token.is("HANDLER");
        begins
    }

    fn mysql_statement_begins(&self) -> bool {
        let [Some(last), before] = self.last else { return true };
        if self.open.last() == Some(&Open::Expression) {
            return false;
        }
        if last.is_symbol(";")
            || last.is_symbol(":")
            || last.is_any(&["BEGIN", "THEN", "ELSE", "LOOP", "REPEAT"])
        {
            return true;
        }
        // The statement `DO` is followed by an expression; the one of loops and events by a statement.
        if last.is("DO") {
            return !self.last_began;
        }
        let before_is = |words: &[&str]| before.is_some_and(|before| before.is_any(words));
        let heading = self.heading && self.open.is_empty() && self.parentheses == 0;
        let characteristic = ["ROW", "DATA", "SQL", "DETERMINISTIC", "INVOKER", "DEFINER"];
        (heading
            && (last.is_symbol(")")
                || last.kind == TokenKind::Text
                || last.is_any(&characteristic)
                || before_is(&["RETURNS", "FOLLOWS", "PRECEDES"])))
            || (self.handler && last.is_any(&["FOUND", "SQLEXCEPTION", "SQLWARNING"]))
    }

    /// A block also follows types and conditions, of which there is no list.
    fn mysql_block_begins(&self) -> bool {
        let named = self.last_is(&["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "EXISTS", "ON"])
            || [".", "=", "@", "("].iter().any(|symbol| self.last_is_symbol(symbol));
        let heading = self.heading && self.open.is_empty() && self.parentheses == 0;
        (heading || self.handler) && !named
    }

    /// In a heading it is `FOR EACH ROW`.
    fn mysql_for_begins(&self, token: &Token<'_>, begins: bool) -> bool {
        token.is("FOR") && begins && (!self.heading || self.last[0].is_none())
    }

    fn last_is(&self, words: &[&str]) -> bool {
        self.last[0].is_some_and(|last| last.is_any(words))
    }

    fn last_is_symbol(&self, symbol: &str) -> bool {
        self.last[0].is_some_and(|last| last.is_symbol(symbol))
    }
}

/// What the statement that begins with `opening` is, if statements may stand inside.
fn kind(dialect: Dialect, opening: &[Token<'_>]) -> Option<Kind> {
    let mut words = opening.iter().peekable();
    let mut skip = |word: &str| words.next_if(|token| token.is(word)).is_some();
    match dialect {
        Dialect::Sqlite => {
            if skip("EXPLAIN") && skip("QUERY") {
                skip("PLAN");
            }
            let create = skip("CREATE");
            let _temporary = skip("TEMP") || skip("TEMPORARY");
            (create && skip("TRIGGER")).then_some(Kind::SqliteTrigger)
        }
        Dialect::Postgres => {
            let create = skip("CREATE");
            let _replace = skip("OR") && skip("REPLACE");
            match create {
                true if skip("FUNCTION") || skip("PROCEDURE") => Some(Kind::PostgresRoutine),
                true if skip("RULE") => Some(Kind::PostgresRule),
                _ => None,
            }
        }
        Dialect::Mysql => is_program(opening).then_some(Kind::MysqlProgram),
    }
}

fn is_program(opening: &[Token<'_>]) -> bool {
    let mut words = opening.iter().peekable();
    // MariaDB runs compound statements outside routines too.
    if words.next_if(|token| token.is_any(&["IF", "CASE", "LOOP", "WHILE", "REPEAT", "FOR"])).is_some() {
        return true;
    }
    if words.next_if(|token| token.is("BEGIN")).is_some() {
        return words.next().is_some_and(|token| token.is("NOT"))
            && words.next().is_some_and(|token| token.is("ATOMIC"));
    }
    if words.next_if(|token| token.is_any(&["CREATE", "ALTER"])).is_none() {
        return false;
    }
    while words.next_if(|token| token.is_any(&["OR", "REPLACE", "AGGREGATE"])).is_some() {}
    if words.next_if(|token| token.is("DEFINER")).is_some() {
        // `DEFINER = user@host`: what it is made of is no kind of object, unless it is quoted.
        let kinds = ["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "VIEW", "SQL", "AGGREGATE"];
        while words.next_if(|token| !token.is_any(&kinds)).is_some() {}
        words.next_if(|token| token.is("AGGREGATE"));
    }
    words.next().is_some_and(|token| token.is_any(&["PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"]))
}
