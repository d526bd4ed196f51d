//! What keeps events asleep.

use std::io::{self, Write};

const FROM: &[u8] = b"-- Dumping events for database";
const UNTIL: [&[u8]; 2] = [b"-- Dumping routines for database", b"-- Dump completed"];
/// The longest of them decides how much of a line must be known.
const DECIDED: usize = 32;

/// Writes a dump on without its events: created in a copy they would run there, and touch what is not the copy's. A line of a
/// value never begins so, as line feeds in values are written `\n`.
#[derive(Debug)]
pub(super) struct WithoutEvents<W> {
    inner: W,
    /// What is known of the line, until it is decided.
    head: Vec<u8>,
    in_head: bool,
    asleep: bool,
}

impl<W: Write> WithoutEvents<W> {
    pub(super) const fn new(inner: W) -> Self {
        Self { inner, head: Vec::new(), in_head: true, asleep: false }
    }

    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.asleep { Ok(()) } else { self.inner.write_all(bytes) }
    }

    fn decide(&mut self) -> io::Result<()> {
        let head = std::mem::take(&mut self.head);
        if head.starts_with(FROM) {
            self.asleep = true;
        } else if UNTIL.iter().any(|until| head.starts_with(until)) {
            self.asleep = false;
        }
        self.in_head = false;
        self.pass(&head)
    }
}

impl<W: Write> Write for WithoutEvents<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let mut rest = piece;
            if self.in_head {
                let (head, behind) = piece.split_at(piece.len().min(DECIDED - self.head.len()));
                self.head.extend_from_slice(head);
                rest = behind;
                if self.head.len() == DECIDED || self.head.ends_with(b"\n") {
                    self.decide()?;
                }
            }
            self.pass(rest)?;
            if piece.ends_with(b"\n") {
                self.in_head = true;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_but_the_events_is_written_on_however_it_is_cut() {
        let dump = b"-- a\n\nINSERT 'x';\n--\n-- Dumping events for database 'd'\n--\nCREATE EVENT e;\n--\n\
            -- Dumping routines for database 'd'\nCREATE FUNCTION f;\n-- Dump completed\n";
        let expected = "-- a\n\nINSERT 'x';\n--\n-- Dumping routines for database 'd'\nCREATE FUNCTION f;\n-- Dump completed\n";
        for cut in 1..dump.len() {
            let mut out = Vec::new();
            let mut filter = WithoutEvents::new(&mut out);
            for piece in dump.chunks(cut) {
                filter.write_all(piece).unwrap();
            }
            drop(filter);
            assert_eq!(String::from_utf8(out).unwrap(), expected, "{cut}");
        }
    }
}
