//! One migration, read whole.

use flow_core::{Digest, Problems};
use sha2::{Digest as _, Sha384};

use crate::dialect::Dialect;
use crate::directive::{Backfill, Phase};
use crate::lex::Unfinished;
use crate::split::{Statement, split};
use crate::version::Version;

/// How many bytes one file of a migration may have.
pub const MAX_FILE_BYTES: usize = 64 << 20;

/// How many statements one script may have.
pub const MAX_STATEMENTS: usize = 1_000_000;

/// One migration with what it does and how to take it back.
///
/// Comment lines before the first statement of an up script, in any layout, tell this library more; other tools read past them:
///
/// - `-- flow: contract` lets it run only when no instance of the old version is left, where phases are told apart.
/// - `-- flow: backfill TABLE by KEY in ROWS [pausing N ms]` runs its one statement, an `UPDATE`, `INSERT` or `DELETE`, again and again for
///   the next `ROWS` rows of `TABLE` along the column `KEY`, of 1 to a million, with a pause of up to a minute between two batches. The
///   statement names the rows of a batch by `KEY > :from AND KEY <= :to`. No other tool can run such a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    /// As its files have it.
    pub version: Version,
    /// What the file names say behind the version, as they say it.
    pub name: String,
    /// What it does.
    pub up: Body,
    /// How to take it back. One without statements takes nothing back: its file is there, and empty.
    pub down: Option<Body>,
    /// When it may run: `-- flow: contract`, else expand.
    pub phase: Phase,
    /// How its one statement is run in batches, if so: `-- flow: backfill TABLE by KEY in ROWS [pausing N ms]`.
    pub backfill: Option<Backfill>,
}

/// How a script is to be run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// In one transaction, where its statements allow it.
    Transaction,
    /// Each statement by itself: the file's layout says so.
    Statements,
}

/// One file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The text with line feeds only, so that another checkout is not an edit.
    pub text: String,
    /// The SHA-256 of the text.
    pub digest: Digest,
    /// The SHA-384 of the file's bytes: sqlx's checksum.
    pub sha384: [u8; 48],
    /// How to run it.
    pub mode: Mode,
    /// In order; empty where the file holds nothing but space and comments.
    pub statements: Vec<Statement>,
}

impl Body {
    /// Reads the bytes of `file`.
    ///
    /// # Errors
    /// All that is wrong with them; the field is `file`. Not UTF-8, with a byte order mark or NUL characters, too large, without an
    /// end to what it begins, with up and down in one, or with statements that only a client understands.
    pub fn read(dialect: Dialect, file: &str, bytes: &[u8], mode: Mode) -> Result<Self, Problems> {
        let problem = |problem: String| {
            let mut problems = Problems::default();
            problems.add(file, problem);
            problems
        };
        let text = decode(bytes).map_err(problem)?;
        let statements =
            split(dialect, &text).map_err(|unfinished: Unfinished| problem(unfinished.to_string()))?;
        let mut problems = Problems::default();
        problems.check(
            statements.len() <= MAX_STATEMENTS,
            file,
            &format!("holds more than {MAX_STATEMENTS} statements"),
        );
        add_refusals(&mut problems, file, &statements, |statement| statement.refusal(dialect));
        problems.into_result()?;
        let sha384 = Sha384::digest(bytes).into();
        Ok(Self { digest: Digest::of(text.as_bytes()), text, sha384, mode, statements })
    }

    /// Whether there is nothing in it, not even a comment that says why.
    pub(crate) fn is_blank(&self) -> bool {
        self.text.trim().is_empty()
    }
}

/// Adds what `refuse` says of each statement, with its number and its line.
pub(crate) fn add_refusals(
    problems: &mut Problems,
    file: &str,
    statements: &[Statement],
    refuse: impl Fn(&Statement) -> Option<String>,
) {
    for (number, statement) in (1_u32..).zip(statements) {
        if let Some(refusal) = refuse(statement) {
            problems.add(file, format!("statement {number}, line {}: {refusal}", statement.line));
        }
    }
}

fn decode(bytes: &[u8]) -> Result<String, String> {
    if bytes.len() > MAX_FILE_BYTES {
        return Err(format!("has {} bytes, more than {MAX_FILE_BYTES}", bytes.len()));
    }
    if bytes.starts_with(b"\xef\xbb\xbf") {
        return Err("begins with a byte order mark".to_owned());
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| {
            format!("is not UTF-8 at byte {}, line {}", error.valid_up_to(), line(bytes, error))
        })?
        .replace("\r\n", "\n");
    // SQLite stops reading at a NUL: what follows it would silently not run.
    if text.contains('\0') {
        return Err("holds a NUL character".to_owned());
    }
    if let Some((line, mark)) =
        (1_u32..).zip(text.lines()).find_map(|(at, line)| Some((at, one_file_mark(line)?)))
    {
        return Err(format!(
            "line {line}: `{mark}` is of a layout that has up and down in one file, which is not read"
        ));
    }
    Ok(text)
}

fn line(bytes: &[u8], error: std::str::Utf8Error) -> usize {
    bytes.iter().take(error.valid_up_to()).filter(|byte| **byte == b'\n').count() + 1
}

/// What dbmate, goose, sql-migrate and Liquibase begin a part of a file with. Run whole, such a file undoes itself.
fn one_file_mark(line: &str) -> Option<&'static str> {
    let comment = line.trim_start().strip_prefix("--")?.trim_start();
    let begins =
        |mark: &&str| comment.get(..mark.len()).is_some_and(|start| start.eq_ignore_ascii_case(mark));
    let marks =
        ["migrate:up", "migrate:down", "+goose ", "+migrate ", "liquibase formatted sql", "rambler up"];
    marks.into_iter().find(|mark| begins(mark))
}
