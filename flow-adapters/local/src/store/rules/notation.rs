//! The small notations inside a rule file: durations, names, and the outer form of an expression.

/// Whether `text` is a duration as Prometheus writes it: `0`, or whole numbers with the units `y w d h m s ms`, each at
/// most once and in this order, as in `1h30m`.
pub(super) fn is_duration(text: &str) -> bool {
    const UNITS: [(&str, u64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    if text == "0" {
        return true;
    }
    let mut rest = text;
    let mut units = UNITS.iter();
    let mut total = 0_u64;
    while !rest.is_empty() {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, tail) = rest.split_at(digits);
        let unit = tail.len() - tail.trim_start_matches(|c: char| c.is_ascii_alphabetic()).len();
        let (unit, tail) = tail.split_at(unit);
        // Units already passed are used up, so one that comes again or out of order is not found.
        let Some((_, milliseconds)) = units.find(|(name, _)| *name == unit) else { return false };
        let part = number.parse::<u64>().ok().and_then(|number| number.checked_mul(*milliseconds));
        let Some(sum) = part.and_then(|part| total.checked_add(part)) else { return false };
        total = sum;
        rest = tail;
    }
    // Prometheus holds a duration in signed nanoseconds.
    !text.is_empty() && total <= i64::MAX.unsigned_abs() / 1_000_000
}

/// Whether `text` is a name for a label or an annotation.
pub(super) fn is_label_name(text: &str) -> bool {
    is_identifier(text, |c| c == '_') && text != "__name__"
}

/// Whether `text` is a name for a recorded metric.
pub(super) fn is_metric_name(text: &str) -> bool {
    is_identifier(text, |c| matches!(c, '_' | ':'))
}

fn is_identifier(text: &str, extra: impl Fn(char) -> bool) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || extra(c))
        && text.chars().all(|c| c.is_ascii_alphanumeric() || extra(c))
}

/// What is wrong with the outer form of a PromQL expression: a bracket or a quote that does not close, or nothing at all.
pub(super) fn expression_problem(text: &str) -> Option<String> {
    let mut open = Vec::new();
    let mut says_something = false;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '#' => {
                characters.by_ref().find(|c| *c == '\n');
                continue;
            }
            '"' | '\'' | '`' if !closes(&mut characters, character) => {
                return Some(format!("the quote {character} does not close"));
            }
            '(' => open.push(')'),
            '[' => open.push(']'),
            '{' => open.push('}'),
            ')' | ']' | '}' if open.pop() != Some(character) => {
                return Some(format!("the bracket {character} closes nothing"));
            }
            _ => {}
        }
        says_something |= !character.is_whitespace();
    }
    match open.pop() {
        Some(missing) => Some(format!("the bracket {missing} is missing")),
        None if says_something => None,
        None => Some("is empty".to_owned()),
    }
}

/// Passes over a string up to its closing quote. Backslashes escape in all but back-quoted ones.
fn closes(characters: &mut std::str::Chars<'_>, quote: char) -> bool {
    while let Some(character) = characters.next() {
        if character == quote {
            return true;
        }
        if character == '\\' && quote != '`' {
            characters.next();
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_numbers_with_units_in_order() {
        for good in ["0", "5m", "1h30m", "1y2w3d4h5m6s7ms", "100ms", "0s"] {
            assert!(is_duration(good), "{good}");
        }
        for bad in ["", "5", "5 m", "m", "30m1h", "5m5m", "-5m", "1.5h", "5min", "99999999999y", "5M"] {
            assert!(!is_duration(bad), "{bad}");
        }
    }

    #[test]
    fn an_expression_closes_its_brackets_and_quotes() {
        for good in ["up", "sum(rate(x{a=\"}\\\"\"}[5m])) > 1", "a # (\n+ b", "x{a=`\\`}", "1"] {
            assert_eq!(expression_problem(good), None, "{good}");
        }
        for bad in ["", " ", "# up", "sum(up", "up)", "up{a=\"b}", "rate(up[5m)]"] {
            assert!(expression_problem(bad).is_some(), "{bad}");
        }
    }
}
