//! The writer of our own block. It takes typed values and nothing else.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use flow_core::Name;

use crate::value::Address;

/// A word of a configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word(String);

impl Word {
    /// One of this crate's own.
    pub(crate) fn own(text: &'static str) -> Self {
        Self(text.to_owned())
    }

    /// A name, which holds no character that means something to nginx, behind a part of our own.
    pub(crate) fn name(own: &'static str, name: &Name) -> Self {
        Self(format!("{own}{name}"))
    }

    /// A variable of our own for a service: the characters that a variable cannot hold are underscores.
    pub(crate) fn variable(own: &'static str, service: &Name) -> Self {
        let fits = |each: char| if each.is_ascii_alphanumeric() { each } else { '_' };
        Self(format!("${own}_{}", service.as_str().chars().map(fits).collect::<String>()))
    }

    /// The name of a version's upstream. No name has a tilde in it, so two pairs never have one name.
    pub(crate) fn upstream(service: &Name, version: &str) -> Self {
        Self(format!("flow~{service}~{version}"))
    }

    /// A path that [is plain](crate::value::is_plain).
    pub(crate) fn path(own: &'static str, path: &Path) -> Self {
        Self(format!("{own}{}", path.display()))
    }

    pub(crate) fn address(address: &Address) -> Self {
        match address {
            Address::Unix(path) => Self::path("unix:", path),
            Address::Tcp(address) => Self::socket(*address),
        }
    }

    pub(crate) fn socket(address: SocketAddr) -> Self {
        Self(address.to_string())
    }

    /// Hexadecimal digits.
    pub(crate) fn digest(hex: &str) -> Self {
        Self(hex.to_owned())
    }

    pub(crate) fn time(own: &'static str, time: Duration) -> Self {
        Self(format!("{own}{}ms", time.as_millis()))
    }

    pub(crate) fn number(own: &'static str, number: impl Into<u64>, behind: &'static str) -> Self {
        Self(format!("{own}{}{behind}", number.into()))
    }

    /// The name of a variable goes on with a name that was checked to be of letters, digits and underscores.
    pub(crate) fn followed_by(self, checked: &str) -> Self {
        Self(self.0 + checked)
    }

    /// Several words as one, in quotes where that is needed.
    pub(crate) fn joined(words: &[Self], between: &'static str) -> Self {
        Self(words.iter().map(|word| word.0.as_str()).collect::<Vec<_>>().join(between))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    fn written(&self) -> String {
        let bare = |each: char| !each.is_whitespace() && !"{};'\"\\#".contains(each);
        if !self.0.is_empty() && self.0.chars().all(bare) {
            return self.0.clone();
        }
        format!("\"{}\"", self.0.replace('\\', "\\\\").replace('"', "\\\""))
    }
}

/// A configuration that is being written.
#[derive(Debug, Default)]
pub(crate) struct Block {
    text: String,
    depth: usize,
}

impl Block {
    /// A line for people.
    pub(crate) fn comment(&mut self, line: &str) {
        let line: String = line.chars().filter(|each| !each.is_control()).collect();
        self.line(&format!("# {line}"));
    }

    pub(crate) fn directive(&mut self, name: &str, words: &[Word]) {
        let line = Self::statement(name, words);
        self.line(&format!("{line};"));
    }

    /// A directive with a block, written by `inside`.
    pub(crate) fn block(&mut self, name: &str, words: &[Word], inside: impl FnOnce(&mut Self)) {
        let line = Self::statement(name, words);
        self.line(&format!("{line} {{"));
        self.depth += 1;
        inside(self);
        self.depth -= 1;
        self.line("}");
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    fn statement(name: &str, words: &[Word]) -> String {
        words.iter().fold(Word(name.to_owned()).written(), |line, word| line + " " + &word.written())
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(&"    ".repeat(self.depth));
        self.text.push_str(line);
        self.text.push('\n');
    }
}
