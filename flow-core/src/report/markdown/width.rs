//! How much room a text takes in a terminal.

/// The columns of `text`: two for each character that [UAX #11](https://www.unicode.org/reports/tr11/) calls wide or
/// full-width, one for every other.
pub(super) fn width(text: &str) -> usize {
    text.chars().map(|char| if is_wide(char) { 2 } else { 1 }).sum()
}

/// The blocks of wide characters, without the few narrow ones inside them: in a report these are names that somebody
/// chose, and a column that is one too wide is no harm.
const fn is_wide(char: char) -> bool {
    matches!(
        char,
        '\u{1100}'..='\u{115f}'
            | '\u{2e80}'..='\u{303e}'
            | '\u{3041}'..='\u{a4cf}'
            | '\u{ac00}'..='\u{d7a3}'
            | '\u{f900}'..='\u{faff}'
            | '\u{fe30}'..='\u{fe6f}'
            | '\u{ff01}'..='\u{ff60}'
            | '\u{ffe0}'..='\u{ffe6}'
            | '\u{1f300}'..='\u{1faff}'
            | '\u{20000}'..='\u{3fffd}'
    )
}

#[cfg(test)]
mod tests {
    use super::width;

    #[test]
    fn chinese_characters_and_full_width_marks_take_two_columns() {
        assert_eq!(width("CDN缓存刷新"), 11);
        assert_eq!(width("镜像构建（如需要）"), 18);
        assert_eq!(width("「`web`」，10 %"), 15);
    }

    #[test]
    fn other_characters_take_one() {
        assert_eq!(width("Überprüfung: done"), 17);
    }
}
