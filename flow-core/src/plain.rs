//! Free texts where they must stay on one line.

/// `text` on one line: line breaks and other control characters become blanks, and runs of blanks one; characters that turn
/// the direction of writing or that nobody sees are left out, since they make a text look like another.
pub(crate) fn one_line(text: &str) -> String {
    let visible = text.chars().filter(|char| !is_hidden(*char));
    let spaced: String =
        visible.map(|char| if char.is_control() || is_break(char) { ' ' } else { char }).collect();
    spaced.split_whitespace().collect::<Vec<_>>().join(" ")
}

const fn is_hidden(char: char) -> bool {
    matches!(char, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

const fn is_break(char: char) -> bool {
    matches!(char, '\u{2028}' | '\u{2029}' | '\u{85}')
}
