//! What cargo says of the workspace: its members, their dependencies and how these were resolved.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use serde::Deserialize;
use thiserror::Error;

use crate::workspace::Workspace;

/// The part of `cargo metadata` that the rules read.
#[derive(Debug, Deserialize)]
pub(crate) struct Metadata {
    packages: Vec<Package>,
    resolve: Resolve,
    workspace_members: BTreeSet<String>,
    workspace_root: PathBuf,
}

/// A package, a member of the workspace or not.
#[derive(Debug, Deserialize)]
pub(crate) struct Package {
    /// How cargo tells it from every other.
    pub(crate) id: String,
    /// Its name.
    pub(crate) name: String,
    /// What it says of itself.
    pub(crate) description: Option<String>,
    /// What its manifest asks for.
    pub(crate) dependencies: Vec<Dependency>,
    /// Its features and what each turns on.
    pub(crate) features: BTreeMap<String, Vec<String>>,
    manifest_path: PathBuf,
}

/// What a manifest asks for.
#[derive(Debug, Deserialize)]
pub(crate) struct Dependency {
    /// The wanted package's own name.
    pub(crate) name: String,
    /// The features that are turned on for it.
    pub(crate) features: Vec<String>,
    kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    Dev,
    Build,
}

#[derive(Debug, Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    id: String,
    deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
struct Edge {
    pkg: String,
    dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
struct EdgeKind {
    kind: Option<Kind>,
}

/// Why the workspace's metadata is not known.
#[derive(Debug, Error)]
pub(crate) enum MetadataError {
    /// Cargo could not be started.
    #[error("`cargo metadata` could not be started")]
    Start(#[source] io::Error),
    /// Cargo refused; it has said why.
    #[error("`cargo metadata --locked` ended with {0}")]
    Ended(ExitStatus),
    /// Cargo said something else than its format promises.
    #[error("`cargo metadata` printed what cannot be read")]
    Unreadable(#[from] serde_json::Error),
}

impl Metadata {
    /// Asks cargo. The lock file must be current.
    pub(crate) fn of(workspace: &Workspace) -> Result<Self, MetadataError> {
        let mut command = workspace.cargo();
        command.args(["metadata", "--locked", "--format-version", "1"]).stderr(Stdio::inherit());
        let output = command.output().map_err(MetadataError::Start)?;
        if !output.status.success() {
            return Err(MetadataError::Ended(output.status));
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The workspace's own packages, each with its folder below the root.
    pub(crate) fn members(&self) -> impl Iterator<Item = (&Package, &Path)> {
        let own = self.packages.iter().filter(|package| self.workspace_members.contains(&package.id));
        own.map(|package| {
            let folder = package.manifest_path.parent().unwrap_or(&package.manifest_path);
            (package, folder.strip_prefix(&self.workspace_root).unwrap_or(folder))
        })
    }

    /// All packages that `package` is built from, with the features that are on by default: itself aside, without what only its
    /// tests need. Two versions of a package are two packages.
    pub(crate) fn built_from(&self, package: &Package) -> Vec<&Package> {
        let nodes: BTreeMap<_, _> = self.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
        let mut seen = BTreeSet::new();
        let mut open = vec![package.id.as_str()];
        while let Some(node) = open.pop().and_then(|id| nodes.get(id)) {
            let built = node.deps.iter().filter(|edge| edge.is_built());
            open.extend(built.map(|edge| edge.pkg.as_str()).filter(|id| seen.insert(*id)));
        }
        self.packages.iter().filter(|package| seen.contains(package.id.as_str())).collect()
    }
}

impl Dependency {
    /// Whether only tests, examples and benches get it.
    pub(crate) fn is_dev(&self) -> bool {
        self.kind == Some(Kind::Dev)
    }

    /// Whether the package's own code gets it, its build script not counted.
    pub(crate) fn is_normal(&self) -> bool {
        self.kind.is_none()
    }
}

impl Edge {
    fn is_built(&self) -> bool {
        self.dep_kinds.iter().any(|edge| edge.kind != Some(Kind::Dev))
    }
}

#[cfg(test)]
pub(crate) mod fixture {
    //! Workspaces that are made up, in cargo's own words.

    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::Metadata;

    /// A workspace at `/w`.
    #[derive(Default)]
    pub(crate) struct Fixture {
        folders: BTreeMap<&'static str, Option<&'static str>>,
        needs: Vec<(&'static str, &'static str, Value, Vec<&'static str>)>,
        features: Vec<(&'static str, &'static str, Vec<&'static str>)>,
    }

    impl Fixture {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn member(mut self, name: &'static str, folder: &'static str) -> Self {
            self.folders.insert(name, Some(folder));
            self
        }

        /// A package of others, `name` or `name@version`.
        pub(crate) fn outside(mut self, name: &'static str) -> Self {
            self.folders.insert(name, None);
            self
        }

        pub(crate) fn needs(self, from: &'static str, to: &'static str) -> Self {
            self.needs_with(from, to, &[])
        }

        pub(crate) fn needs_with(
            mut self,
            from: &'static str,
            to: &'static str,
            on: &[&'static str],
        ) -> Self {
            self.needs.push((from, to, Value::Null, on.to_vec()));
            self
        }

        pub(crate) fn needs_for_tests(mut self, from: &'static str, to: &'static str) -> Self {
            self.needs.push((from, to, json!("dev"), Vec::new()));
            self
        }

        pub(crate) fn feature(mut self, of: &'static str, name: &'static str, on: &[&'static str]) -> Self {
            self.features.push((of, name, on.to_vec()));
            self
        }

        pub(crate) fn metadata(self) -> Metadata {
            let names = || self.folders.keys();
            let members: Vec<_> = self.folders.iter().filter(|(_, folder)| folder.is_some()).collect();
            let members: Vec<_> = members.iter().map(|(name, _)| **name).collect();
            let value = json!({
                "packages": names().map(|name| self.package(name)).collect::<Vec<_>>(),
                "resolve": { "nodes": names().map(|name| self.node(name)).collect::<Vec<_>>() },
                "workspace_members": members,
                "workspace_root": "/w",
            });
            serde_json::from_value(value).unwrap()
        }

        fn package(&self, name: &str) -> Value {
            let folder = match self.folders[name] {
                Some(folder) => format!("/w/{folder}"),
                None => format!("/registry/{name}"),
            };
            let wanted = self.needs.iter().filter(|(from, ..)| *from == name);
            let wanted = wanted.map(|(_, to, kind, on)| json!({ "name": to, "kind": kind, "features": on }));
            let features = self.features.iter().filter(|(of, ..)| *of == name);
            let (own, _) = name.split_once('@').unwrap_or((name, ""));
            json!({
                "id": name, "name": own, "description": "what it is",
                "manifest_path": format!("{folder}/Cargo.toml"),
                "dependencies": wanted.collect::<Vec<_>>(),
                "features": features.map(|(_, name, on)| (*name, on)).collect::<BTreeMap<_, _>>(),
            })
        }

        fn node(&self, name: &str) -> Value {
            let edges = self.needs.iter().filter(|(from, ..)| *from == name);
            let edges = edges.map(|(_, to, kind, _)| json!({ "pkg": to, "dep_kinds": [{ "kind": kind }] }));
            json!({ "id": name, "deps": edges.collect::<Vec<_>>() })
        }
    }
}
