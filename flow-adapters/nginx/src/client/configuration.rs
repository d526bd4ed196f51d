//! A user's configuration, read as nginx reads it: never written.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Component, Path, PathBuf};

use flow_core::{ErrorKind, StepError};

use crate::client::files::refused;
use crate::syntax::{Statement, statements};

/// Bounds, so that an `include` of half a disk ends.
const FILES_MAX: usize = 5_000;
const BYTES_MAX: u64 = 64 * 1024 * 1024;

/// All files that a configuration is made of, by the path under which nginx opens them. Every byte is one character, so that none is lost.
#[derive(Debug, Clone, Default)]
pub(crate) struct Configuration {
    pub(crate) files: BTreeMap<PathBuf, String>,
}

impl Configuration {
    /// Reads `conf` and all that it includes.
    ///
    /// # Errors
    /// Any kind where a file cannot be read; [`Invalid`](ErrorKind::Invalid) for one that is larger than any configuration is.
    pub(crate) fn read(conf: &Path) -> Result<Self, StepError> {
        let directory = conf.parent().unwrap_or(Path::new("/"));
        let mut found = Self::default();
        let mut left = VecDeque::from([conf.to_owned()]);
        let mut bytes = 0;
        while let Some(path) = left.pop_front() {
            if found.files.contains_key(&path) {
                continue;
            }
            let text = read_text(&path)?;
            bytes += text.len() as u64;
            if found.files.len() >= FILES_MAX || bytes > BYTES_MAX {
                let error = StepError::new(ErrorKind::Invalid, "the configuration is too large to be copied");
                return Err(error.fact("conf", conf.display()));
            }
            for statement in statements(&text) {
                if let Some(included) = include_of(&statement) {
                    left.extend(matching(&directory.join(&included.value)));
                }
            }
            found.files.insert(path, text);
        }
        Ok(found)
    }

    /// The path under which nginx opens `file`; none where it is not part of the configuration.
    pub(crate) fn path_of(&self, file: &Path) -> Option<&Path> {
        let whole = fs::canonicalize(file).ok()?;
        let is_it =
            |path: &&PathBuf| **path == file || fs::canonicalize(path).is_ok_and(|path| path == whole);
        self.files.keys().find(is_it).map(PathBuf::as_path)
    }
}

/// The word that an `include` names its files by.
pub(crate) fn include_of(statement: &Statement) -> Option<&crate::syntax::Found> {
    match statement.words.as_slice() {
        [name, included] if name.value == "include" && !statement.opens => Some(included),
        _ => None,
    }
}

/// The bytes of a text whose characters are bytes.
pub(crate) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|each| u8::try_from(u32::from(each)).unwrap_or(b'?')).collect()
}

fn read_text(path: &Path) -> Result<String, StepError> {
    let unreadable = |error| refused("the configuration cannot be read", path, error);
    let mut content = Vec::new();
    File::open(path)
        .and_then(|file| file.take(BYTES_MAX + 1).read_to_end(&mut content))
        .map_err(unreadable)?;
    Ok(content.into_iter().map(char::from).collect())
}

/// The files that a pattern names, ordered as glob(7) has them. One without `*`, `?` and `[` names itself.
fn matching(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.components() {
        let Component::Normal(part) = part else { continue };
        let Some(text) = part.to_str().filter(|text| text.contains(['*', '?', '['])) else {
            found.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let mut next = Vec::new();
        for directory in &found {
            let entries = fs::read_dir(directory).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            let mut names: Vec<String> = names
                .filter(|name| !name.starts_with('.') && matches(text.as_bytes(), name.as_bytes()))
                .collect();
            names.sort_unstable();
            next.extend(names.iter().map(|name| directory.join(name)));
        }
        found = next;
    }
    found.retain(|path| path.is_file());
    found
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => {
            (0..=name.len()).any(|skipped| name.get(skipped..).is_some_and(|name| matches(rest, name)))
        }
        ([b'?', rest @ ..], [_, name @ ..]) => matches(rest, name),
        ([b'[', class @ ..], [byte, name @ ..]) => {
            let Some(end) = class.iter().skip(1).position(|each| *each == b']').map(|at| at + 1) else {
                return *byte == b'[' && matches(class, name);
            };
            let (set, rest) = class.split_at(end);
            in_class(set, *byte) && matches(rest.get(1..).unwrap_or_default(), name)
        }
        ([one, rest @ ..], [byte, name @ ..]) => one == byte && matches(rest, name),
        _ => false,
    }
}

fn in_class(set: &[u8], byte: u8) -> bool {
    let (set, is_wanted) = match set {
        [b'!' | b'^', rest @ ..] => (rest, false),
        set => (set, true),
    };
    let (mut rest, mut found) = (set, false);
    while let [first, tail @ ..] = rest {
        (found, rest) = match tail {
            [b'-', last, tail @ ..] => (found || (*first..=*last).contains(&byte), tail),
            _ => (found || *first == byte, tail),
        };
    }
    found == is_wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_shells_do() {
        for (pattern, name, expected) in [
            ("*.conf", "a.conf", true),
            ("*.conf", "a.conf.bak", false),
            ("a?c", "abc", true),
            ("[a-c]*", "bx", true),
            ("[!a-c]*", "bx", false),
            ("[]]", "]", true),
            ("**", "", true),
            ("a[", "a[", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), name.as_bytes()), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn all_that_is_included_is_found_under_the_path_that_nginx_opens() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("sites")).unwrap();
        fs::write(at("elsewhere.conf"), "include sites/../sites/b.conf;").unwrap();
        std::os::unix::fs::symlink(at("elsewhere.conf"), at("sites/a.conf")).unwrap();
        fs::write(at("sites/b.conf"), "# include c.conf;\n\u{e4};").unwrap();
        fs::write(at("sites/.hidden.conf"), "").unwrap();
        fs::write(
            at("n.conf"),
            format!("http {{ include sites/*.conf; include {}; }}", at("none").display()),
        )
        .unwrap();
        let found = Configuration::read(&at("n.conf")).unwrap();
        let names = ["n.conf", "sites/a.conf", "sites/b.conf"].map(at);
        assert_eq!(found.files.keys().collect::<Vec<_>>(), names.iter().collect::<Vec<_>>());
        assert_eq!(bytes(&found.files[&names[2]]), fs::read(&names[2]).unwrap());
        assert_eq!(found.path_of(&at("elsewhere.conf")), Some(names[1].as_path()));
        assert_eq!(found.path_of(&at("n.conf.bak")), None);
    }
}
