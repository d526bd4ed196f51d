//! The rules that a tag's name follows, as `git check-ref-format` states them.

use flow_core::Problems;

/// The longest tag, in bytes: what a file name may be, with room for `.lock`.
const TAG_MAX: usize = 250;

/// Checks that `tag` is a tag's plain name: no option, no revision expression, nothing that Git would refuse.
///
/// A name such as `a;b` or `$(x)` is legal in Git and harmless here, where no shell ever sees it.
pub(crate) fn check(tag: &str) -> Result<(), Problems> {
    let mut problems = Problems::default();
    let mut holds = |holds: bool, problem: &str| problems.check(holds, "tag", problem);
    holds(!tag.is_empty(), "must not be empty");
    holds(tag.len() <= TAG_MAX, "must be at most 250 bytes");
    holds(!tag.starts_with('-'), "must not begin with a dash");
    holds(!tag.contains(char::is_control), "must not hold a control character");
    holds(
        !tag.contains([' ', '~', '^', ':', '?', '*', '[', '\\']),
        "must not hold a space or one of ``~^:?*[\\``",
    );
    holds(!tag.contains("..") && !tag.contains("@{") && tag != "@", "must not hold `..` or `@{` or be `@`");
    holds(!tag.ends_with('.'), "must not end with a dot");
    let part_is_plain = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    holds(
        tag.is_empty() || tag.split('/').all(part_is_plain),
        "no part may be empty, begin with a dot or end with `.lock`",
    );
    problems.into_result()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_tags_pass_and_hostile_ones_do_not() {
        for good in ["v1.0.0", "release/2024-01", "a;b", "$(x)", "ü", "a@b", "1", &"a".repeat(250)] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            "-",
            "--upload-pack=x",
            "..",
            "a..b",
            "a b",
            "a\nb",
            "a\0b",
            "\u{7f}",
            "a~1",
            "a^{commit}",
            "a:b",
            "a?",
            "a*",
            "[a]",
            "a\\b",
            "@",
            "a@{1}",
            ".a",
            "a/.b",
            "/a",
            "a/",
            "a//b",
            "a.lock",
            "a.lock/b",
            "a.",
            "../a",
            &"a".repeat(251),
        ];
        for bad in bad {
            assert!(check(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn all_problems_of_a_tag_are_named_at_once() {
        let problems = check("-a b.").unwrap_err();
        assert_eq!(problems.as_slice().len(), 3);
        assert!(problems.as_slice().iter().all(|problem| problem.field == "tag"));
    }
}
