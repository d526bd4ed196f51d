//! The adapters run the suites of their ports, against real files, processes and sockets.

#[path = "suite/configuration.rs"]
mod configuration;
#[path = "suite/evidence.rs"]
mod evidence;
#[path = "suite/host.rs"]
mod host;
#[path = "suite/notifier.rs"]
mod notifier;
#[path = "suite/rules.rs"]
mod rules;
#[path = "suite/vault.rs"]
mod vault;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::store::tree::tree;

/// Every file below `root` and what it holds; nothing where there is no such directory.
fn files(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = if root.exists() { tree(root) } else { BTreeMap::new() };
    all.into_iter().filter_map(|(path, content)| Some((path, content?))).collect()
}

/// Puts a directory where a store writes a file before it is whole: no file can be replaced any more.
fn obstruct(root: &Path) {
    fs::create_dir_all(root.join(".flow-new/in the way")).unwrap();
}
