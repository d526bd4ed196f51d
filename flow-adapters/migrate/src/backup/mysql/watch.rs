//! When a dump has begun.

use std::io::{self, Read};

use tokio::sync::oneshot;

/// What `mariadb-dump` prints first of a database. Its header comes before its transaction, this after it.
const FIRST: [&[u8]; 4] = [
    b"-- Table structure for table",
    b"-- Temporary table structure for view",
    b"-- Current Database",
    b"-- Dumping events for database",
];

/// Reads a dump and tells, once, that its transaction is open: from its first words about a table, or at its end.
#[derive(Debug)]
pub(super) struct Watch<R> {
    inner: R,
    begun: Option<oneshot::Sender<()>>,
    seen: Vec<u8>,
}

impl<R> Watch<R> {
    pub(super) const fn new(inner: R, begun: oneshot::Sender<()>) -> Self {
        Self { inner, begun: Some(begun), seen: Vec::new() }
    }

    fn look(&mut self, bytes: &[u8]) {
        if self.begun.is_none() {
            return;
        }
        self.seen.extend_from_slice(bytes);
        let is_there = |first: &&[u8]| self.seen.windows(first.len()).any(|window| window == *first);
        if bytes.is_empty() || FIRST.iter().any(is_there) {
            // Who waited may have given up.
            let _ = self.begun.take().map(|begun| begun.send(()));
            self.seen = Vec::new();
        }
    }
}

impl<R: Read> Read for Watch<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.look(buffer.get(..read).unwrap_or_default());
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// After how many of the pieces the dump was seen to begin.
    fn begins_after(pieces: &[&str]) -> usize {
        let (sender, mut receiver) = oneshot::channel();
        let mut watch = Watch::new(io::empty(), sender);
        for (number, piece) in (1..).zip(pieces) {
            watch.look(piece.as_bytes());
            if receiver.try_recv().is_ok() {
                return number;
            }
        }
        0
    }

    #[test]
    fn a_dump_has_begun_with_its_first_table_and_not_with_its_header() {
        assert_eq!(
            begins_after(&["-- MariaDB dump 10.19\n", "-- Table struc", "ture for table `a`\n", "x"]),
            3
        );
        assert_eq!(begins_after(&["-- MariaDB dump 10.19\n", "/*!40101 SET NAMES utf8mb4 */;\n"]), 0);
        assert_eq!(begins_after(&["-- MariaDB dump 10.19\n", ""]), 2);
    }
}
