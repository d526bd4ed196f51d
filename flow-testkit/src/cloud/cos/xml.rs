//! As much XML as object storage speaks: elements and text. What has more is refused.

/// An element.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Element {
    pub(super) name: String,
    pub(super) text: String,
    pub(super) children: Vec<Element>,
}

/// How deep elements may lie in each other.
const DEPTH: usize = 8;

impl Element {
    /// Reads a document; none if it is not well-formed.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut rest = std::str::from_utf8(bytes).ok()?.trim_start_matches('\u{feff}').trim_start();
        if let Some(declared) = rest.strip_prefix("<?") {
            rest = declared.split_once("?>")?.1.trim_start();
        }
        let (root, rest) = element(rest, DEPTH)?;
        rest.trim().is_empty().then_some(root)
    }

    pub(super) fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.name == name)
    }

    /// The text of a child.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.child(name).map(|child| child.text.as_str())
    }

    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Self> + use<'a> {
        self.children.iter().filter(move |child| child.name == name)
    }
}

/// The element at the start, and what follows it.
fn element(text: &str, depth: usize) -> Option<(Element, &str)> {
    let depth = depth.checked_sub(1)?;
    let (tag, mut rest) = text.strip_prefix('<')?.split_once('>')?;
    let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
    let name = tag.split_whitespace().next()?;
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b':')) {
        return None;
    }
    let mut element = Element { name: name.to_owned(), ..Element::default() };
    if empty {
        return Some((element, rest));
    }
    loop {
        let (said, after) = rest.split_at(rest.find('<')?);
        element.text.push_str(&unescaped(said)?);
        if let Some(closing) = after.strip_prefix("</") {
            let (closed, rest) = closing.split_once('>')?;
            if !element.children.is_empty() {
                element.text.clear();
            }
            return (closed.trim_end() == name).then_some((element, rest));
        }
        let (child, following) = self::element(after, depth)?;
        element.children.push(child);
        rest = following;
    }
}

fn unescaped(text: &str) -> Option<String> {
    let mut parts = text.split('&');
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (entity, rest) = part.split_once(';')?;
        plain.push(match entity {
            "amp" => '&',
            "lt" => '<',
            "gt" => '>',
            "quot" => '"',
            "apos" => '\'',
            _ => {
                let number = entity.strip_prefix('#')?;
                let code = match number.strip_prefix('x') {
                    Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                    None => number.parse().ok()?,
                };
                char::from_u32(code)?
            }
        });
        plain.push_str(rest);
    }
    Some(plain)
}

/// A document being written.
#[derive(Debug)]
pub(super) struct Document {
    root: &'static str,
    text: String,
}

impl Document {
    pub(super) fn new(root: &'static str) -> Self {
        Self { root, text: format!("<?xml version='1.0' encoding='utf-8' ?>\n<{root}>") }
    }

    /// Adds an element with a text.
    #[expect(clippy::needless_pass_by_value, reason = "texts, numbers and times are written alike")]
    pub(super) fn value(&mut self, name: &str, value: impl ToString) -> &mut Self {
        let value = escaped(&value.to_string());
        self.text.push_str(&format!("<{name}>{value}</{name}>"));
        self
    }

    /// Adds an element with elements.
    pub(super) fn within(&mut self, name: &str, fill: impl FnOnce(&mut Self)) -> &mut Self {
        self.text.push_str(&format!("<{name}>"));
        fill(self);
        self.text.push_str(&format!("</{name}>"));
        self
    }

    pub(super) fn end(self) -> String {
        format!("{}</{}>", self.text, self.root)
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut document = Document::new("Delete");
        document.value("Quiet", true).within("Object", |object| {
            object.value("Key", "a&b<\"c\">d");
        });
        let read = Element::read(document.end().as_bytes()).unwrap();
        assert_eq!(read.value("Quiet"), Some("true"));
        assert_eq!(read.all("Object").next().unwrap().value("Key"), Some("a&b<\"c\">d"));
    }

    #[test]
    fn clients_write_in_their_own_way() {
        let text =
            "<?xml version=\"1.0\"?>\n<A xmlns=\"x\">\n  <B>1</B>\n  <C/>\n <D>&#65;&#x4e2d;</D></A>\n";
        let read = Element::read(text.as_bytes()).unwrap();
        assert_eq!((read.value("B"), read.value("C"), read.value("D")), (Some("1"), Some(""), Some("A中")));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        for wrong in
            ["", "A", "<A>", "<A></B>", "<A>&x;</A>", "<A/><B/>", "<A><![CDATA[x]]></A>", &"<A>".repeat(9)]
        {
            assert_eq!(Element::read(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
