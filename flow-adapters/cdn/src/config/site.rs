use std::collections::BTreeMap;

use flow_core::Problems;
use flow_core::port::{AssetRank, asset_order};
use flow_tencent::{Attributes, ObjectKey};

use super::media::media_type;

/// Connections to one bucket at a time: more help nobody.
const AT_ONCE_MAX: usize = 256;

/// What no file is otherwise known to be.
const UNKNOWN: &str = "application/octet-stream";

/// Where in a bucket a site stands, and how its files are served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteConfig {
    /// What the keys of the site begin with: nothing, or a path that ends with `/`. Objects outside of it are never touched.
    pub prefix: String,
    /// How many files are sent at a time; of those of 2 MiB and more at most six, which bounds the memory.
    pub at_once: usize,
    /// How many releases keep their files, the newest included. 1 removes what the newest does not have at once, also from under pages of the
    /// release before that a cache or a browser still has: behind a CDN it is 2 or more.
    pub keep_releases: u64,
    /// The `Cache-Control` of each class of files; without one COS sends none.
    pub cache_control: BTreeMap<AssetRank, String>,
    /// `Content-Type` by extension in lower case, before the usual ones. Other files are `application/octet-stream`.
    pub content_types: BTreeMap<String, String>,
}

impl SiteConfig {
    /// A whole bucket, 16 files at a time, with the files of five releases. Hashed names are served as immutable for a year, pages with `no-cache`, other
    /// files are fresh for five minutes.
    #[must_use]
    pub fn new() -> Self {
        let cache_control = [
            (AssetRank::Hashed, "public, max-age=31536000, immutable"),
            (AssetRank::Asset, "public, max-age=300"),
            (AssetRank::Page, "no-cache"),
            (AssetRank::Entry, "no-cache"),
        ];
        let cache_control = cache_control.map(|(rank, value)| (rank, value.to_owned()));
        Self {
            prefix: String::new(),
            at_once: 16,
            keep_releases: 5,
            cache_control: BTreeMap::from(cache_control),
            content_types: BTreeMap::new(),
        }
    }

    /// Finds everything wrong with it.
    ///
    /// # Errors
    /// All that is wrong, by field.
    pub(crate) fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        let sound = self.prefix.is_empty()
            || (self.prefix.ends_with('/') && ObjectKey::new(self.prefix.as_str()).is_ok());
        problems.check(sound, "prefix", "must be empty, or a path that ends with `/`");
        let ours = self.prefix.split('/').any(|part| part == ".flow");
        problems.check(!ours, "prefix", "must not lead into the bookkeeping of a site");
        let at_once = (1..=AT_ONCE_MAX).contains(&self.at_once);
        problems.check(at_once, "at_once", &format!("must be 1 to {AT_ONCE_MAX}"));
        problems.check(self.keep_releases > 0, "keep_releases", "must be at least 1");
        let sendable = |value: &str| value.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ');
        for value in self.cache_control.values() {
            problems.check(sendable(value) && !value.is_empty(), "cache_control", "must be a header's value");
        }
        for (extension, value) in &self.content_types {
            let field = format!("content_types.{extension}");
            problems.check(sendable(value) && value.contains('/'), &field, "must be a media type");
        }
        problems.into_result()
    }

    /// How the file at `path` is served.
    pub(crate) fn attributes(&self, path: &str) -> Attributes {
        let name = path.rsplit('/').next().unwrap_or(path);
        let extension = name.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase());
        let content_type = extension.as_deref().and_then(|extension| {
            let own = self.content_types.get(extension).map(String::as_str);
            own.or_else(|| media_type(extension))
        });
        Attributes {
            content_type: Some(content_type.unwrap_or(UNKNOWN).to_owned()),
            cache_control: self.cache_control.get(&asset_order(path).0).cloned(),
            ..Attributes::default()
        }
    }
}

impl Default for SiteConfig {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_served_by_their_class_and_their_extension() {
        let mut config = SiteConfig::new();
        config.content_types.insert("foo".into(), "text/foo".into());
        for (path, content_type, cache_control) in [
            (
                "app.3f2a9c1b.JS",
                "text/javascript; charset=utf-8",
                Some("public, max-age=31536000, immutable"),
            ),
            ("a/index.html", "text/html; charset=utf-8", Some("no-cache")),
            ("about.html", "text/html; charset=utf-8", Some("no-cache")),
            ("a.foo", "text/foo", Some("public, max-age=300")),
            ("LICENSE", "application/octet-stream", Some("public, max-age=300")),
        ] {
            let attributes = config.attributes(path);
            assert_eq!(attributes.content_type.as_deref(), Some(content_type), "{path}");
            assert_eq!(attributes.cache_control.as_deref(), cache_control, "{path}");
        }
    }

    #[test]
    fn all_that_is_wrong_with_a_site_is_said_at_once() {
        let mut config =
            SiteConfig { prefix: "/a".into(), at_once: 0, keep_releases: 0, ..SiteConfig::new() };
        config.cache_control.insert(AssetRank::Page, "a\nb".into());
        config.content_types.insert("x".into(), "x".into());
        let said = config.check().unwrap_err().to_string();
        for field in ["`prefix`", "`at_once`", "`keep_releases`", "`cache_control`", "`content_types.x`"] {
            assert!(said.contains(field), "{said}");
        }
        for (prefix, sound) in
            [("", true), ("www/", true), ("a/b/", true), ("www", false), ("a/.flow/", false)]
        {
            let config = SiteConfig { prefix: prefix.into(), ..SiteConfig::new() };
            assert_eq!(config.check().is_ok(), sound, "{prefix}");
        }
    }
}
