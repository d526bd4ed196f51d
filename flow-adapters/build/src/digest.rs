//! The canonical digest of a directory.
//!
//! A file's digest is the SHA-256 of its bytes, what `sha256sum` prints. A directory's is the SHA-256 of
//!
//! ```text
//! "flow-directory-v1\0"
//! for each entry below it, ordered by the bytes of its path:
//!     kind            1 byte: `d` directory, `f` file, `x` executable file
//!     path length     8 bytes, big-endian
//!     path            relative, `/` between its parts, UTF-8
//!     content digest  32 bytes, for files only
//! ```
//!
//! Owners, times and permissions other than "may be executed" are no part of it. Lengths stand before texts, so no two
//! directories share an encoding.

use flow_core::Digest;
use sha2::{Digest as _, Sha256};

/// One entry of a directory, at any depth.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Entry {
    /// Its path below the directory.
    pub(crate) path: String,
    /// What it is.
    pub(crate) content: Content,
}

/// What an entry of a directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Content {
    /// A directory.
    Directory,
    /// A file that is no program.
    File(Digest),
    /// A file that may be executed.
    Executable(Digest),
}

/// The canonical digest of the directory that holds `entries`, in any order.
pub(crate) fn of_directory(mut entries: Vec<Entry>) -> Digest {
    entries.sort();
    let mut hasher = Sha256::new_with_prefix(b"flow-directory-v1\0");
    for Entry { path, content } in &entries {
        let (kind, digest) = match content {
            Content::Directory => (b'd', None),
            Content::File(digest) => (b'f', Some(digest)),
            Content::Executable(digest) => (b'x', Some(digest)),
        };
        hasher.update([kind]);
        hasher.update((path.len() as u64).to_be_bytes());
        hasher.update(path);
        if let Some(digest) = digest {
            hasher.update(digest.as_bytes());
        }
    }
    Digest::from_bytes(hasher.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, content: Content) -> Entry {
        Entry { path: path.to_owned(), content }
    }

    #[test]
    fn the_encoding_of_a_directory_is_pinned() {
        let entries = vec![
            entry("bin/run", Content::Executable(Digest::of(b"#!"))),
            entry("a", Content::File(Digest::of(b""))),
            entry("bin", Content::Directory),
        ];
        let mut bytes = b"flow-directory-v1\0".to_vec();
        bytes.extend(b"f\0\0\0\0\0\0\0\x01a");
        bytes.extend(Digest::of(b"").as_bytes());
        bytes.extend(b"d\0\0\0\0\0\0\0\x03bin");
        bytes.extend(b"x\0\0\0\0\0\0\0\x07bin/run");
        bytes.extend(Digest::of(b"#!").as_bytes());
        assert_eq!(of_directory(entries), Digest::of(&bytes));
    }

    #[test]
    fn kind_path_and_content_each_change_the_digest() {
        let one = Digest::of(b"1");
        let all = [
            vec![],
            vec![entry("a", Content::File(one))],
            vec![entry("a", Content::Executable(one))],
            vec![entry("a", Content::Directory)],
            vec![entry("b", Content::File(one))],
            vec![entry("a", Content::File(Digest::of(b"2")))],
        ]
        .map(of_directory);
        for (index, digest) in all.iter().enumerate() {
            assert!(!all.iter().skip(index + 1).any(|other| other == digest));
        }
    }
}
