use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flow_core::port::{AssetFile, AssetStore, HostPath, Manifest};
use flow_core::{Digest, ErrorKind, Name, Permit, Problems, StepError, name};

use crate::ledger::{Change, Ledger};

/// A site's files in memory, and the directories that are deployed from.
///
/// Files come into force one by one, entry pages last; [half of](crate::fault::Fault::HalfDone) a `put` is half of them. Stricter
/// than production: a manifest that the site never served as a whole is not restored, and nothing is no release.
#[derive(Debug, Clone)]
pub struct FakeAssets {
    ledger: Ledger,
    name: Name,
    state: Arc<Mutex<State>>,
}

/// Files by their paths.
type Files = BTreeMap<String, Vec<u8>>;

#[derive(Debug, Default)]
struct State {
    directories: BTreeMap<PathBuf, Files>,
    served: Files,
    kept: BTreeMap<Digest, Vec<u8>>,
    obstructed: BTreeSet<String>,
    /// What was served as a whole before each change.
    stood: Vec<Manifest>,
}

impl Default for FakeAssets {
    fn default() -> Self {
        Self::in_ledger(&Ledger::new())
    }
}

impl FakeAssets {
    /// A site without files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A site without files that writes into `ledger`.
    #[must_use]
    pub fn in_ledger(ledger: &Ledger) -> Self {
        Self { ledger: ledger.clone(), name: name!("site"), state: Arc::default() }
    }

    /// Calls the site `name`, for a world with several.
    #[must_use]
    pub fn named(mut self, name: Name) -> Self {
        self.name = name;
        self
    }

    /// What it was asked.
    #[must_use]
    pub const fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// Lays `files` out as the directory that is to be deployed, in place of what stood there.
    pub fn lay_out<P: Into<String>, C: Into<Vec<u8>>>(
        &self,
        directory: impl Into<PathBuf>,
        files: impl IntoIterator<Item = (P, C)>,
    ) {
        self.state().directories.insert(directory.into(), owned(files));
    }

    /// Removes a directory that was laid out.
    pub fn clear(&self, directory: &Path) {
        self.state().directories.remove(directory);
    }

    /// Makes `files` what the site serves, as an earlier release did.
    pub fn serve<P: Into<String>, C: Into<Vec<u8>>>(&self, files: impl IntoIterator<Item = (P, C)>) {
        self.state().served = owned(files);
    }

    /// The files that the site serves, as its origin has them.
    #[must_use]
    pub fn served(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().served.clone()
    }

    /// The content of one file, as the site's origin has it.
    #[must_use]
    pub fn file(&self, path: &str) -> Option<Vec<u8>> {
        self.state().served.get(path).cloned()
    }

    /// Makes whatever is put at `path` fail from now on, as something of another kind in its place does.
    pub fn obstruct(&self, path: impl Into<String>) {
        self.state().obstructed.insert(path.into());
    }

    /// Loses all content that was kept of overwritten and removed files.
    pub fn lose_kept(&self) {
        self.state().kept.clear();
    }

    /// All that an undo must bring back, as text to compare: the files that are served.
    #[must_use]
    pub fn seen(&self) -> String {
        let served = self.served();
        served.iter().map(|(path, content)| format!("{path}: {}\n", content.escape_ascii())).collect()
    }

    fn change<'a>(&self, point: &'static str, permit: &'a Permit) -> Change<'a> {
        Change::new(point, &self.name, permit)
    }

    /// Refuses to bring back what never stood.
    fn restorable(&self, state: &State, before: &Manifest) -> Result<(), StepError> {
        let now = manifest(&state.served);
        let mut problems = Problems::default();
        for (path, file) in before.iter().filter(|(path, file)| now.get(*path) != Some(*file)) {
            problems.check(state.kept.contains_key(&file.digest), path, "its content is not kept");
        }
        problems.into_result().map_err(|problems| {
            StepError::new(ErrorKind::NotFound, "the site cannot be restored from what was kept")
                .because(problems)
        })?;
        if *before == now || before.is_empty() || state.stood.contains(before) {
            return Ok(());
        }
        Err(self.ledger.refuse(format!("`{}` never served what is to be restored", self.name)))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn owned<P: Into<String>, C: Into<Vec<u8>>>(files: impl IntoIterator<Item = (P, C)>) -> Files {
    files.into_iter().map(|(path, content)| (path.into(), content.into())).collect()
}

fn file(content: &[u8]) -> AssetFile {
    AssetFile { digest: Digest::of(content), bytes: u64::try_from(content.len()).unwrap_or(u64::MAX) }
}

fn manifest(files: &Files) -> Manifest {
    files.iter().map(|(path, content)| (path.clone(), file(content))).collect()
}

/// The order in which files come into force: assets, pages, entry pages, inner ones first. They go the other way round.
fn rank(path: &str) -> (u8, Reverse<usize>, String) {
    let name = path.rsplit('/').next().unwrap_or(path);
    let rank = match name.rsplit_once('.') {
        Some(("index", "html" | "htm")) => 2,
        Some((_, "html" | "htm")) => 1,
        _ => 0,
    };
    (rank, Reverse(path.matches('/').count()), path.to_owned())
}

fn check_paths<'a>(paths: impl Iterator<Item = &'a String>) -> Result<(), Problems> {
    let mut problems = Problems::default();
    for path in paths.filter(|path| HostPath::new(path.as_str()).is_err()) {
        problems.add(path.escape_debug().to_string(), "is not a plain relative path below the site");
    }
    problems.into_result()
}

/// What part of a change does to one file.
#[derive(Clone)]
enum Move {
    Put(String, Vec<u8>),
    Remove(String),
}

impl State {
    fn carry_out(&mut self, step: Move) -> Result<(), StepError> {
        let old = match step {
            Move::Put(path, _) if self.obstructed.contains(&path) => {
                let message = "something of another kind is in its place";
                return Err(StepError::new(ErrorKind::Conflict, message).fact("path", path));
            }
            Move::Put(path, content) => self.served.insert(path, content),
            Move::Remove(path) => self.served.remove(&path),
        };
        self.kept.extend(old.map(|old| (Digest::of(&old), old)));
        Ok(())
    }

    /// What brings the files of `wanted` into force that are not served yet, in order.
    fn moves(&self, wanted: &Manifest, content: impl Fn(&str, &Digest) -> Option<Vec<u8>>) -> Vec<Move> {
        let now = manifest(&self.served);
        let mut changed: Vec<&String> = wanted
            .iter()
            .filter(|(path, file)| now.get(*path) != Some(*file))
            .map(|(path, _)| path)
            .collect();
        changed.sort_by_key(|path| rank(path));
        let put = |path: &String| Some(Move::Put(path.clone(), content(path, &wanted.get(path)?.digest)?));
        changed.into_iter().filter_map(put).collect()
    }

    fn removals(&self, before: &Manifest) -> Vec<Move> {
        let mut later: Vec<&String> = self.served.keys().filter(|path| !before.contains_key(*path)).collect();
        later.sort_by_key(|path| Reverse(rank(path)));
        later.into_iter().map(|path| Move::Remove(path.clone())).collect()
    }
}

fn go_on(permit: &Permit) -> Result<(), StepError> {
    if permit.cancel().is_cancelled() {
        return Err(StepError::new(ErrorKind::Cancelled, "cancelled between two files"));
    }
    Ok(())
}

#[async_trait]
impl AssetStore for FakeAssets {
    fn resource(&self) -> Name {
        self.name.clone()
    }

    async fn read(&self, directory: &Path) -> Result<Manifest, StepError> {
        self.ledger
            .read("assets.read", directory.display(), || {
                let state = self.state();
                let missing = || {
                    StepError::new(ErrorKind::NotFound, "the directory to deploy is missing")
                        .fact("path", directory.display())
                };
                let files = state.directories.get(directory).ok_or_else(missing)?;
                check_paths(files.keys())?;
                Ok(manifest(files))
            })
            .await
    }

    async fn serving(&self) -> Result<Manifest, StepError> {
        self.ledger.read("assets.serving", &self.name, || Ok(manifest(&self.state().served))).await
    }

    async fn put(&self, permit: &Permit, directory: &Path, wanted: &Manifest) -> Result<(), StepError> {
        let files = self.state().directories.get(directory).cloned();
        let content = |path: &str, _: &Digest| files.as_ref()?.get(path).cloned();
        let moves = self.state().moves(wanted, content);
        let parts = moves.len().max(1);
        self.ledger
            .change_in_parts(self.change("assets.put", permit), parts, |part| {
                let mut state = self.state();
                if part == 0 {
                    check_paths(wanted.keys())?;
                    if files.as_ref().map(manifest).as_ref() != Some(wanted) {
                        let message = "the directory no longer matches the manifest";
                        return Err(StepError::new(ErrorKind::Conflict, message)
                            .fact("directory", directory.display()));
                    }
                    if wanted.is_empty() {
                        return Err(self.ledger.refuse(format!("nothing is put on `{}`", self.name)));
                    }
                    let standing = manifest(&state.served);
                    state.stood.push(standing);
                }
                go_on(permit)?;
                moves.get(part).map_or(Ok(()), |step| state.carry_out(step.clone()))
            })
            .await
    }

    async fn restore(&self, permit: &Permit, before: &Manifest) -> Result<(), StepError> {
        let moves = {
            let state = self.state();
            let content = |_: &str, digest: &Digest| state.kept.get(digest).cloned();
            let mut moves = state.moves(before, content);
            moves.extend(state.removals(before));
            moves
        };
        let parts = moves.len().max(1);
        self.ledger
            .change_in_parts(self.change("assets.restore", permit), parts, |part| {
                let mut state = self.state();
                if part == 0 {
                    check_paths(before.keys())?;
                    self.restorable(&state, before)?;
                    let standing = manifest(&state.served);
                    state.stood.push(standing);
                }
                go_on(permit)?;
                moves.get(part).map_or(Ok(()), |step| state.carry_out(step.clone()))
            })
            .await
    }
}
