use std::cmp::Reverse;

use serde::Serialize;

/// When a file comes into force: the lower, the earlier. What is removed goes the other way round.
///
/// A page names assets and never the other way round, so pages come after everything that they may name, and entry pages,
/// which name other pages, come last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AssetRank {
    /// An asset whose name holds the hash of its content: it never changes, so it disturbs nobody.
    Hashed,
    /// Any other asset.
    Asset,
    /// An HTML page.
    Page,
    /// An `index.html`.
    Entry,
}

/// The rank of the file at `path`.
fn rank(path: &str) -> AssetRank {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    let extension = name.rsplit_once('.').map(|(_, extension)| extension);
    if name == "index.html" || name == "index.htm" {
        AssetRank::Entry
    } else if matches!(extension, Some("html" | "htm" | "xhtml")) {
        AssetRank::Page
    } else if names_its_hash(&name) {
        AssetRank::Hashed
    } else {
        AssetRank::Asset
    }
}

/// The key to sort a site's paths by for the order in which they come into force: rank first, then those of inner
/// directories before outer ones, then the path. What is removed goes the other way round.
///
/// ```
/// let mut paths = ["index.html", "about.html", "app.3f2a9c1b.js", "site.css"];
/// paths.sort_by_key(|path| flow_core::port::asset_order(path));
/// assert_eq!(paths, ["app.3f2a9c1b.js", "site.css", "about.html", "index.html"]);
/// ```
#[must_use]
pub fn asset_order(path: &str) -> (AssetRank, Reverse<usize>, &str) {
    (rank(path), Reverse(path.matches('/').count()), path)
}

/// Whether a part of the file name before its extension, between `.`, `-` and `_`, looks like a hash: 8 or more
/// hexadecimal digits, at least one of them a decimal one, so that a word such as `feedface` is none. `app.3f2a9c1b.js`
/// does. A name that is taken wrongly for the one or the other still comes before every page.
fn names_its_hash(name: &str) -> bool {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    stem.split(['.', '-', '_']).any(|part| {
        part.len() >= 8
            && part.bytes().all(|byte| byte.is_ascii_hexdigit())
            && part.bytes().any(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_eight_hexadecimal_digits_is_a_hash_and_a_word_is_none() {
        for hashed in ["app.3f2a9c1b.js", "css/site-0123456789abcdef.css", "3F2A9C1B.png"] {
            assert_eq!(rank(hashed), AssetRank::Hashed, "{hashed}");
        }
        for plain in
            ["app.js", "feedface.js", "app.3f2a9c1.js", "app.3f2a9c1x.js", "x.3f2a9c1b", "robots.txt"]
        {
            assert_eq!(rank(plain), AssetRank::Asset, "{plain}");
        }
    }

    #[test]
    fn the_outermost_entry_page_comes_last() {
        let mut paths =
            ["index.html", "about.html", "app.3f2a9c1b.js", "docs/index.html", "a.css", "p.3f2a9c1b.html"];
        paths.sort_by_key(|path| asset_order(path));
        assert_eq!(
            paths,
            ["app.3f2a9c1b.js", "a.css", "about.html", "p.3f2a9c1b.html", "docs/index.html", "index.html"]
        );
    }
}
