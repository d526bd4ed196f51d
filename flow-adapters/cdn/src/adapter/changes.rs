use std::cmp::Reverse;
use std::collections::BTreeMap;

use flow_core::port::{AssetFile, AssetRank, Manifest, asset_order};
use flow_core::{ErrorKind, Problems, StepError};

use crate::client::LocalFile;

/// Paths in groups that come into force one after the other. Within a group the order does not matter: nothing in it names another.
pub(super) fn groups(mut paths: Vec<String>) -> Vec<Vec<String>> {
    // Entry pages name each other, outer ones inner ones.
    let group = |path: &str| {
        let (rank, depth, _) = asset_order(path);
        (rank, if rank == AssetRank::Entry { depth } else { Reverse(0) })
    };
    paths.sort_by(|left, right| asset_order(left).cmp(&asset_order(right)));
    paths.chunk_by(|left, right| group(left) == group(right)).map(<[String]>::to_vec).collect()
}

/// The files of `wanted` that are not served as they must be.
pub(super) fn changed(wanted: &Manifest, serving: &Manifest) -> BTreeMap<String, AssetFile> {
    let differs = |(path, file): &(&String, &AssetFile)| serving.get(*path) != Some(*file);
    wanted.iter().filter(differs).map(|(path, file)| (path.clone(), file.clone())).collect()
}

/// Refuses a directory that is not what a manifest says.
pub(super) fn as_read(manifest: &Manifest, found: &BTreeMap<String, LocalFile>) -> Result<(), StepError> {
    let mut problems = Problems::default();
    for (path, file) in manifest {
        match found.get(path) {
            None => problems.add(path, "is missing"),
            Some(other) if other.file != *file => {
                problems.add(path, format!("holds {}, not {}", other.file.digest, file.digest));
            }
            Some(_) => {}
        }
    }
    for path in found.keys().filter(|path| !manifest.contains_key(*path)) {
        problems.add(path, "is one too many");
    }
    problems.into_result().map_err(|problems| {
        StepError::new(ErrorKind::Conflict, "the directory no longer matches the manifest").because(problems)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entry_pages_come_into_force_from_the_inside_out_and_the_outermost_alone_and_last() {
        let paths = [
            "index.html",
            "b/index.html",
            "a/index.html",
            "a/b/index.html",
            "a.css",
            "x/b.css",
            "p.html",
            "a.3f2a9c1b.js",
        ];
        let groups = groups(paths.map(str::to_owned).to_vec());
        let expected = [
            vec!["a.3f2a9c1b.js"],
            vec!["x/b.css", "a.css"],
            vec!["p.html"],
            vec!["a/b/index.html"],
            vec!["a/index.html", "b/index.html"],
            vec!["index.html"],
        ];
        assert_eq!(groups, expected);
    }
}
