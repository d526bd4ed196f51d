//! Texts of the journal inside Markdown: whatever they hold, they stay text of the place where they stand.

use crate::plain::one_line;

/// `text` on one line, so that no part of it is markup: no HTML, no link, no emphasis, no end of a cell or a block.
///
/// Only a short text between two single backticks, as names in messages are, becomes a code span, and only where it holds
/// nothing that could matter anywhere.
pub(super) fn inline(text: &str) -> String {
    let line = one_line(text);
    let mut out = String::with_capacity(line.len() + 8);
    let mut rest = line.as_str();
    while let Some(first) = rest.chars().next() {
        if let Some(span) = code_span(rest, out.ends_with('`')) {
            out.push_str(span);
            rest = rest.get(span.len()..).unwrap_or_default();
            continue;
        }
        let tail = rest.get(first.len_utf8()..).unwrap_or_default();
        escape(&mut out, first, tail.chars().next());
        rest = tail;
    }
    out
}

/// `text` on one line that begins no block: at the start of a paragraph or a list item.
pub(super) fn block(text: &str) -> String {
    no_block(inline(text))
}

/// The code span at the start of `rest`, if there is a harmless one.
fn code_span(rest: &str, after_backtick: bool) -> Option<&str> {
    let inner = rest.strip_prefix('`').filter(|_| !after_backtick)?;
    let end = inner.find('`')?;
    let (content, after) = inner.split_at_checked(end)?;
    let plain = |char: char| !matches!(char, '|' | '<' | '>' | '&' | '\\');
    let harmless = !content.trim().is_empty() && content.chars().all(plain) && !after.starts_with("``");
    harmless.then(|| rest.get(..content.len() + 2)).flatten()
}

fn escape(out: &mut String, char: char, next: Option<char>) {
    match char {
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        // An ampersand is only markup where an entity could begin.
        '&' if next.is_some_and(|next| next.is_alphanumeric() || next == '#') => out.push_str("&amp;"),
        // Inside a word an underscore is no emphasis.
        '_' if out.ends_with(char::is_alphanumeric) && next.is_some_and(char::is_alphanumeric) => {
            out.push('_');
        }
        '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' => {
            out.push('\\');
            out.push(char);
        }
        other => out.push(other),
    }
}

fn no_block(text: String) -> String {
    let digits = text.chars().take_while(char::is_ascii_digit).count();
    let mark = text.get(digits..).unwrap_or_default();
    let blank = |rest: &str| rest.is_empty() || rest.starts_with(' ');
    let ordered = digits > 0 && mark.strip_prefix(['.', ')']).is_some_and(blank);
    let block = digits == 0 && mark.starts_with(['#', '-', '+']);
    if !ordered && !block {
        return text;
    }
    let (before, after) = text.split_at_checked(digits).unwrap_or(("", &text));
    format!("{before}\\{after}")
}

#[cfg(test)]
mod tests {
    use super::{block, inline};

    #[test]
    fn html_links_emphasis_and_pipes_are_text() {
        assert_eq!(inline("<script>|*a*[b](c)~~d~~"), r"&lt;script&gt;\|\*a\*\[b\](c)\~\~d\~\~");
        assert_eq!(inline("&lt; a && b &#124;"), "&amp;lt; a && b &amp;#124;");
    }

    #[test]
    fn breaks_and_control_characters_end_nothing() {
        assert_eq!(inline("a\r\n\n# b\u{1b}[31m\u{2028}c"), r"a # b \[31m c");
        assert_eq!(inline("ab\u{202e}cd\u{200b}"), "abcd");
    }

    #[test]
    fn names_in_backticks_are_code_and_other_backticks_are_text() {
        assert_eq!(inline("path: `src/lib.rs` (`a_b`)"), "path: `src/lib.rs` (`a_b`)");
        assert_eq!(inline("`a|b` ``x`` `"), r"\`a\|b\` \`\`x\`\` \`");
        assert_eq!(inline("`<b>`"), r"\`&lt;b&gt;\`");
    }

    #[test]
    fn nothing_begins_a_block() {
        assert_eq!(block("# a"), r"\# a");
        assert_eq!(block("- a"), r"\- a");
        assert_eq!(block("12. a"), r"12\. a");
        assert_eq!(block("1.2.0"), "1.2.0");
        assert_eq!(block("> a"), "&gt; a");
    }

    #[test]
    fn words_with_underscores_stay_readable() {
        assert_eq!(inline("kept_warm _x_"), r"kept_warm \_x\_");
    }
}
