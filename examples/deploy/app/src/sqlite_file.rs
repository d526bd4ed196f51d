//! Reads tables out of the bytes of an SQLite database, see <https://www.sqlite.org/fileformat2.html>.
//!
//! Only what a small application needs: ordinary tables in UTF-8, without a write-ahead log. Whatever does not fit the
//! format is an error and never a panic, and no reading takes longer or more memory than the file's size explains.

use std::borrow::Cow;
use std::fmt;

use super::create_table::{Affinity, Column, Default, Definition};

/// One stored value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

/// All rows of a table, in the order of their row ids, each with one value for every column.
#[derive(Debug, PartialEq)]
pub(crate) struct Table {
    pub(crate) columns: Vec<String>,
    pub(crate) rows: Vec<Vec<Value>>,
}

/// Why a database cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Unreadable(String);

impl Unreadable {
    pub(crate) fn new(problem: impl Into<String>) -> Self {
        Self(problem.into())
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unreadable {}

/// Reads all rows of the table called `name`.
pub(crate) fn read_table(bytes: &[u8], name: &str) -> Result<Table, Unreadable> {
    let file = File::open(bytes)?;
    let (root, sql) = file.find(name)?;
    let definition = Definition::parse(&sql)
        .map_err(|problem| Unreadable::new(format!("the definition of `{name}` {problem}")))?;
    let mut rows = Vec::new();
    file.each_row(root, &mut |rowid, stored| {
        rows.push(complete(stored, rowid, &definition.columns)?);
        Ok(())
    })?;
    Ok(Table { columns: definition.columns.into_iter().map(|column| column.name).collect(), rows })
}

/// Fills in what a row does not store: its row id, and the columns that were added after it was written.
fn complete(stored: Vec<Value>, rowid: i64, columns: &[Column]) -> Result<Vec<Value>, Unreadable> {
    if stored.len() > columns.len() {
        return Err(Unreadable::new(format!("row {rowid} has more values than its table has columns")));
    }
    let mut stored = stored.into_iter();
    let values = columns.iter().map(|column| match (stored.next(), &column.default) {
        (Some(Value::Null), _) if column.is_rowid => Ok(Value::Integer(rowid)),
        // A whole number in a column of reals is stored as an integer.
        (Some(Value::Integer(whole)), _) if column.affinity == Affinity::Real => {
            Ok(Value::Real(whole as f64))
        }
        (Some(value), _) => Ok(value),
        (None, Default::Constant(value)) => Ok(value.clone()),
        (None, Default::Other) => {
            Err(Unreadable::new(format!("the default of `{}` is no plain constant", column.name)))
        }
    });
    values.collect()
}

/// The bytes of a database with the numbers of its header.
struct File<'a> {
    bytes: &'a [u8],
    page_size: usize,
    usable: usize,
    pages: usize,
}

impl<'a> File<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self, Unreadable> {
        if bytes.get(..16) != Some(b"SQLite format 3\0".as_slice()) {
            return Err(Unreadable::new("it is no SQLite database"));
        }
        let page_size = match number(bytes, 16, 2)? {
            1 => 65_536,
            size if size.is_power_of_two() && size >= 512 => size,
            size => return Err(Unreadable::new(format!("{size} is no page size"))),
        };
        if (number(bytes, 18, 1)?, number(bytes, 19, 1)?) != (1, 1) {
            return Err(Unreadable::new("it has a write-ahead log, which is not read here"));
        }
        if number(bytes, 56, 4)? > 1 {
            return Err(Unreadable::new("its text is not in UTF-8"));
        }
        let usable = page_size - number(bytes, 20, 1)?;
        // The size in the header counts only if the last writer kept it.
        let written = number(bytes, 28, 4)?;
        let kept = written > 0 && number(bytes, 24, 4)? == number(bytes, 92, 4)?;
        let pages = if kept { written } else { bytes.len() / page_size };
        if usable < 480 || pages == 0 || pages.checked_mul(page_size).is_none_or(|size| size > bytes.len()) {
            return Err(Unreadable::new("it is cut off"));
        }
        Ok(Self { bytes, page_size, usable, pages })
    }

    /// The usable bytes of a page; pages count from 1.
    fn page(&self, page: usize) -> Result<&'a [u8], Unreadable> {
        let inside = (1..=self.pages).contains(&page);
        let start = page.saturating_sub(1).saturating_mul(self.page_size);
        self.bytes
            .get(start..start.saturating_add(self.usable))
            .filter(|_| inside)
            .ok_or_else(|| Unreadable::new(format!("there is no page {page}")))
    }

    /// The root page of a table and the statement that creates it.
    fn find(&self, name: &str) -> Result<(usize, String), Unreadable> {
        let mut found = None;
        self.each_row(1, &mut |_, row| {
            if let [Value::Text(kind), Value::Text(called), _, Value::Integer(root), Value::Text(sql)] =
                row.as_slice()
                && kind == "table"
                && called.eq_ignore_ascii_case(name)
            {
                let root = usize::try_from(*root).ok().filter(|root| *root > 0);
                found = root.map(|root| (root, sql.clone()));
            }
            Ok(())
        })?;
        found.ok_or_else(|| Unreadable::new(format!("there is no table `{name}`")))
    }

    /// Visits every row below the page `root`, in the order of the row ids.
    fn each_row(
        &self,
        root: usize,
        visit: &mut dyn FnMut(i64, Vec<Value>) -> Result<(), Unreadable>,
    ) -> Result<(), Unreadable> {
        let mut ahead = vec![root];
        // No sound tree has more pages than the file, and no sound table more content.
        let mut pages_left = self.pages;
        let mut bytes_left = self.bytes.len();
        while let Some(number) = ahead.pop() {
            pages_left =
                pages_left.checked_sub(1).ok_or_else(|| Unreadable::new("its pages form a circle"))?;
            let page = self.page(number)?;
            let tree = TreePage::of(page, number)?;
            match tree.kind {
                PageKind::Interior => ahead.extend(tree.children(page)?.into_iter().rev()),
                PageKind::Leaf => {
                    for cell in tree.cells(page)? {
                        let (rowid, payload) = self.payload(page, cell?, &mut bytes_left)?;
                        visit(rowid, record(&payload)?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// The row id and the content of the cell at `at`, joined with its overflow pages.
    fn payload(
        &self,
        page: &'a [u8],
        at: usize,
        bytes_left: &mut usize,
    ) -> Result<(i64, Cow<'a, [u8]>), Unreadable> {
        let mut reader = Reader { bytes: page, at };
        let length = reader.length()?;
        let rowid = reader.varint()?;
        *bytes_left =
            bytes_left.checked_sub(length).ok_or_else(|| Unreadable::new("a row is longer than the file"))?;
        let here = self.local_length(length);
        let local = reader.take(here)?;
        if here == length {
            return Ok((rowid, Cow::Borrowed(local)));
        }
        let mut payload = local.to_vec();
        let mut next = number(page, reader.at, 4)?;
        while payload.len() < length {
            let overflow = self.page(next)?;
            let wanted = (length - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(slice(overflow, 4, wanted)?);
            next = number(overflow, 0, 4)?;
        }
        Ok((rowid, Cow::Owned(payload)))
    }

    /// How much of a row of `length` bytes its leaf holds; the rest is on overflow pages.
    fn local_length(&self, length: usize) -> usize {
        if length <= self.usable - 35 {
            return length;
        }
        let least = (self.usable - 12) * 32 / 255 - 23;
        let fitting = least + (length - least) % (self.usable - 4);
        if fitting <= self.usable - 35 { fitting } else { least }
    }
}

enum PageKind {
    Interior,
    Leaf,
}

/// The header of a page of a table's tree.
struct TreePage {
    kind: PageKind,
    cells: usize,
    pointers: usize,
    rightmost: usize,
}

impl TreePage {
    fn of(page: &[u8], number_of_page: usize) -> Result<Self, Unreadable> {
        // The first page begins with the header of the file.
        let start = if number_of_page == 1 { 100 } else { 0 };
        let cells = number(page, start + 3, 2)?;
        match number(page, start, 1)? {
            0x05 => Ok(Self {
                kind: PageKind::Interior,
                cells,
                pointers: start + 12,
                rightmost: number(page, start + 8, 4)?,
            }),
            0x0d => Ok(Self { kind: PageKind::Leaf, cells, pointers: start + 8, rightmost: 0 }),
            other => {
                Err(Unreadable::new(format!("page {number_of_page} of kind {other} is none of a table")))
            }
        }
    }

    /// Where the cells of the page begin.
    fn cells(&self, page: &[u8]) -> Result<impl Iterator<Item = Result<usize, Unreadable>>, Unreadable> {
        let pointers = slice(page, self.pointers, self.cells * 2)?;
        Ok((0..self.cells).map(move |cell| number(pointers, cell * 2, 2)))
    }

    fn children(&self, page: &[u8]) -> Result<Vec<usize>, Unreadable> {
        let mut children =
            self.cells(page)?.map(|cell| number(page, cell?, 4)).collect::<Result<Vec<_>, _>>()?;
        children.push(self.rightmost);
        Ok(children)
    }
}

/// Reads the values of a row.
fn record(payload: &[u8]) -> Result<Vec<Value>, Unreadable> {
    let mut header = Reader { bytes: payload, at: 0 };
    let end = header.length()?;
    let mut body = Reader { bytes: payload, at: end };
    let mut values = Vec::new();
    while header.at < end {
        let serial_type = header.varint()?;
        values.push(value(&mut body, serial_type)?);
    }
    if header.at == end { Ok(values) } else { Err(Unreadable::new("the header of a row is cut off")) }
}

fn value(body: &mut Reader<'_>, serial_type: i64) -> Result<Value, Unreadable> {
    let malformed = || Unreadable::new(format!("{serial_type} is the type of no value"));
    Ok(match serial_type {
        0 => Value::Null,
        1..=4 => Value::Integer(body.integer(usize::try_from(serial_type).map_err(|_| malformed())?)?),
        5 => Value::Integer(body.integer(6)?),
        6 => Value::Integer(body.integer(8)?),
        7 => Value::Real(f64::from_bits(body.integer(8)?.cast_unsigned())),
        8 => Value::Integer(0),
        9 => Value::Integer(1),
        12.. => {
            let length = usize::try_from((serial_type - 12) / 2).map_err(|_| malformed())?;
            let content = body.take(length)?.to_vec();
            if serial_type % 2 == 0 {
                Value::Blob(content)
            } else {
                let text = String::from_utf8(content);
                Value::Text(text.map_err(|_| Unreadable::new("a text is not UTF-8"))?)
            }
        }
        _ => return Err(malformed()),
    })
}

/// Bytes and a place in them.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let taken = slice(self.bytes, self.at, length)?;
        self.at += length;
        Ok(taken)
    }

    /// A big-endian number in two's complement.
    fn integer(&mut self, length: usize) -> Result<i64, Unreadable> {
        let bytes = self.take(length)?;
        let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { -1 } else { 0 };
        Ok(bytes.iter().fold(sign, |number, byte| number << 8 | i64::from(*byte)))
    }

    /// A number of one to nine bytes: seven bits of each, all eight of the ninth.
    fn varint(&mut self) -> Result<i64, Unreadable> {
        let mut number = 0;
        for _ in 0..8 {
            let byte = i64::from(self.byte()?);
            number = number << 7 | byte & 0x7f;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Ok(number << 8 | i64::from(self.byte()?))
    }

    fn length(&mut self) -> Result<usize, Unreadable> {
        let length = self.varint()?;
        usize::try_from(length).map_err(|_| Unreadable::new(format!("{length} is no length")))
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        self.take(1)?.first().copied().ok_or_else(cut_off)
    }
}

fn slice(bytes: &[u8], start: usize, length: usize) -> Result<&[u8], Unreadable> {
    bytes.get(start..start.saturating_add(length)).ok_or_else(cut_off)
}

/// The unsigned big-endian number of up to four bytes at `start`.
fn number(bytes: &[u8], start: usize, length: usize) -> Result<usize, Unreadable> {
    Ok(slice(bytes, start, length)?.iter().fold(0, |number, byte| number << 8 | usize::from(*byte)))
}

fn cut_off() -> Unreadable {
    Unreadable::new("a page is cut off")
}
