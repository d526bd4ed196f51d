//! Links of this machine: a few system calls each, and no process.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use flow_core::{ErrorKind, StepError};

use super::{Change, Standing, resolved};
use crate::client::files::{self, Lock, off_thread, refused};
use crate::config::socket_name;
use crate::history::History;

/// nginx's workers must reach what is behind the links.
const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;

pub(super) async fn run<T: Send + 'static>(
    directory: &Path,
    work: impl FnOnce(&Path) -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let directory = directory.to_owned();
    off_thread(move || work(&directory)).await
}

pub(super) fn lock(directory: &Path) -> Result<Lock, StepError> {
    files::make_directory(directory, DIRECTORY_MODE)?;
    let found =
        fs::metadata(directory).map_err(|error| refused("the directory cannot be used", directory, error))?;
    if found.mode() & 0o002 != 0 {
        let error = StepError::new(ErrorKind::Denied, "anybody may write in the directory of the links");
        return Err(error.fact("path", directory.display()));
    }
    files::lock(&directory.join(".lock"))
}

pub(super) fn live(directory: &Path) -> Result<Option<String>, StepError> {
    let live = directory.join("live");
    match fs::read_link(&live) {
        Ok(target) => {
            let target = resolved(directory, &target);
            let id =
                target.strip_prefix(directory.join("tables")).ok().and_then(Path::to_str).map(str::to_owned);
            id.map(Some).ok_or_else(|| {
                let error = StepError::new(ErrorKind::Conflict, "the link leads out of its tables");
                error.fact("path", live.display()).fact("target", target.display())
            })
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => Ok(None),
        Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
            Err(StepError::new(ErrorKind::Conflict, "what stands there is no link")
                .fact("path", live.display()))
        }
        Err(error) => Err(refused("the link cannot be read", &live, error)),
    }
}

pub(super) fn table(directory: &Path, id: &str, places: u8) -> Result<Option<Standing>, StepError> {
    let table = directory.join("tables").join(id);
    let Some(text) = files::read(&table.join("routing.json"))? else { return Ok(None) };
    let mut targets = Vec::with_capacity(usize::from(places));
    for place in 0..places {
        let path = table.join(socket_name(place));
        targets.push(match fs::read_link(&path) {
            Ok(target) => Some(resolved(&table, &target)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound) => None,
            Err(error) => return Err(refused("the link cannot be read", &path, error)),
        });
    }
    Ok(Some(Standing { text, targets }))
}

pub(super) fn change(directory: &Path, change: &Change, noted: &[u8]) -> Result<Option<String>, StepError> {
    let Change { id, wanted } = change;
    let stands = || table(directory, id, change.places());
    if stands()?.as_ref() != Some(wanted) {
        lay(directory, id, wanted)?;
        if stands()?.as_ref() != Some(wanted) {
            return Err(change.missing());
        }
    }
    note(directory, noted)?;
    switch(directory, id).and_then(|()| live(directory)).map_err(StepError::after_effect)
}

fn lay(directory: &Path, id: &str, wanted: &Standing) -> Result<(), StepError> {
    let table = directory.join("tables").join(id);
    let fresh = !table.exists();
    let laid = lay_in(&table, wanted);
    if laid.is_err() && fresh {
        let _ = fs::remove_dir_all(&table);
    }
    laid
}

/// A table must be on the disk whole before a link leads to it, and not earlier: so everything is made before anything is fsynced, and the
/// first fsync finds all of it in one commit of the file system. Its record needs no rename: it is the last to be written, and one
/// that was cut off does not have the digest that it is named by.
fn lay_in(table: &Path, wanted: &Standing) -> Result<(), StepError> {
    if let Some(tables) = table.parent() {
        files::make_directory(tables, DIRECTORY_MODE)?;
    }
    files::add_directory(table, DIRECTORY_MODE)?;
    let mut made: HashMap<&Path, PathBuf> = HashMap::new();
    for (place, target) in (0_u8..).zip(&wanted.targets) {
        let Some(target) = target else { continue };
        let path = table.join(socket_name(place));
        let unusable = |error| refused("the link cannot be made", &path, error);
        match link(target, made.get(target.as_path()), &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if fs::read_link(&path).map_err(unusable)? != *target {
                    return Err(unusable(error));
                }
            }
            made => made.map_err(unusable)?,
        }
        made.entry(target).or_insert(path);
    }
    let record = table.join("routing.json");
    files::write_new(&record, &wanted.text, FILE_MODE)
        .and_then(|file| file.sync_all())
        .map_err(|error| refused("the file cannot be written", &record, error))?;
    files::sync(table)?;
    files::sync_parent(table)
}

/// Makes a link to `target`, as another name of `same` where that leads there already: a link to a long path takes a block of the disk, and
/// giving back a hundred of them takes longer than all else in a change.
fn link(target: &Path, same: Option<&PathBuf>, path: &Path) -> io::Result<()> {
    match same.map(|same| fs::hard_link(same, path)) {
        Some(Err(error)) if error.kind() == io::ErrorKind::AlreadyExists => Err(error),
        // Not every file system gives a link a second name, nor as many as there are places, nor one of another user's.
        None | Some(Err(_)) => symlink(target, path),
        Some(Ok(())) => Ok(()),
    }
}

/// The switch itself. What it leads to is on the disk already; that it leads there is made so by [`remember`].
fn switch(directory: &Path, id: &str) -> Result<(), StepError> {
    let (live, beside) = (directory.join("live"), directory.join(".live.new"));
    let unusable = |error| refused("the link cannot be switched", &live, error);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(unusable(error)),
        _ => {}
    }
    symlink(Path::new("tables").join(id), &beside).map_err(unusable)?;
    fs::rename(&beside, &live).map_err(|error| {
        let _ = fs::remove_file(&beside);
        unusable(error)
    })
}

pub(super) fn clear(directory: &Path, kept: &[String]) -> Result<(), StepError> {
    let tables = directory.join("tables");
    let unusable = |error| refused("old tables cannot be removed", &tables, error).after_effect();
    for entry in fs::read_dir(&tables).map_err(unusable)? {
        let entry = entry.map_err(unusable)?;
        if !kept.iter().any(|id| entry.file_name() == id.as_str()) {
            fs::remove_dir_all(entry.path()).map_err(unusable)?;
        }
    }
    Ok(())
}

pub(crate) fn history(directory: &Path) -> Result<History, StepError> {
    let path = directory.join("history.json");
    // What a loss of power cut off says nothing: what is behind it was on the disk before, and no request is under way any more.
    for newer in [directory.join("noted.json"), files::beside(&path)] {
        let newer = files::read(&newer)?.and_then(|text| History::read(&text).ok());
        if let Some(newer) = newer {
            return Ok(newer);
        }
    }
    files::read(&path)?.map_or_else(|| Ok(History::default()), |text| History::read(&text))
}

/// Remembers what is written before a switch: nothing waits for the disk.
fn note(directory: &Path, text: &[u8]) -> Result<(), StepError> {
    let path = directory.join("noted.json");
    let beside = files::beside(&path);
    let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &path));
    written.map_err(|error| refused("the file cannot be written", &path, error))
}

/// What a loss of power must not take back when this has returned is that the link leads where it leads, and what was remembered. Both are
/// made before the first fsync, so one commit of the file system holds them. The rename behind it may be lost: [`history`] reads what stands
/// beside the file too.
pub(super) fn remember(directory: &Path, text: &[u8]) -> Result<(), StepError> {
    let path = directory.join("history.json");
    files::write_beside(&path, text, FILE_MODE)?;
    files::sync(directory)?;
    files::put_in_place(&path).map_err(StepError::after_effect)?;
    let noted = directory.join("noted.json");
    match fs::remove_file(&noted) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(refused("the file cannot be removed", &noted, error).after_effect())
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::time::Instant;

    use super::*;

    fn lay_two(directory: &Path) -> [&'static str; 2] {
        let ids = ["aaaaaaaaaaaa", "bbbbbbbbbbbb"];
        for id in ids {
            let targets = (0..100).map(|place| Some(format!("/run/{id}/{place}.sock").into())).collect();
            lay(directory, id, &Standing { text: id.into(), targets }).unwrap();
        }
        ids
    }

    #[test]
    fn a_switch_takes_less_than_a_millisecond() {
        let directory = tempfile::tempdir().unwrap();
        let ids = lay_two(directory.path());
        let mut taken: Vec<_> = (0..200)
            .map(|number| {
                let begun = Instant::now();
                switch(directory.path(), ids[number % 2]).unwrap();
                begun.elapsed()
            })
            .collect();
        taken.sort_unstable();
        let median = taken[taken.len() / 2];
        println!("median {median:?}, max {:?}", taken.last().unwrap());
        assert!(median.as_micros() < 1_000, "{median:?}");
    }

    #[test]
    fn at_no_moment_is_there_no_link() {
        let directory = tempfile::tempdir().unwrap();
        let ids = lay_two(directory.path());
        switch(directory.path(), ids[0]).unwrap();
        let seen = std::thread::scope(|scope| {
            // Counted are changes from one to the other: only they show that both were at work at the same time.
            let looking = scope.spawn(|| {
                let (mut changes, mut last) = (0, 0);
                while changes < 300 {
                    let target = fs::read_link(directory.path().join("live/42.sock")).expect("a link");
                    let found = ids.iter().position(|id| target.starts_with(Path::new("/run").join(id)));
                    let found = found.expect("one of the two");
                    changes += usize::from(found != last);
                    last = found;
                }
                changes
            });
            for number in 0.. {
                switch(directory.path(), ids[number % 2]).unwrap();
                if looking.is_finished() {
                    break;
                }
            }
            looking.join().unwrap()
        });
        assert_eq!(seen, 300);
    }

    #[test]
    fn what_a_loss_of_power_left_beside_the_history_counts_unless_it_was_cut_off() {
        let directory = tempfile::tempdir().unwrap();
        let text = |begun| {
            let mut history = History::default();
            history.begin(begun, 1, Vec::new());
            history.written().unwrap()
        };
        let found = || history(directory.path()).unwrap().written().unwrap();
        remember(directory.path(), &text(1)).unwrap();
        assert_eq!(found(), text(1));
        let beside = directory.path().join(".history.json.new");
        assert!(!beside.exists());
        fs::write(&beside, text(2)).unwrap();
        assert_eq!(found(), text(2));
        note(directory.path(), &text(3)).unwrap();
        assert_eq!(found(), text(3));
        for cut in [beside, directory.path().join("noted.json")] {
            fs::write(cut, &text(2)[..9]).unwrap();
        }
        assert_eq!(found(), text(1));
    }

    #[test]
    fn laying_again_finishes_what_was_begun_and_refuses_what_leads_elsewhere() {
        let directory = tempfile::tempdir().unwrap();
        let standing =
            |targets: &[Option<PathBuf>]| Standing { text: b"text".to_vec(), targets: targets.to_vec() };
        let wanted = standing(&[Some("/run/a.sock".into()), None, Some("/run/b.sock".into())]);
        let table_of = |id: &str| table(directory.path(), id, 3).unwrap();
        let begun = directory.path().join("tables/begun");
        fs::create_dir_all(&begun).unwrap();
        symlink("/run/a.sock", begun.join("00.sock")).unwrap();
        assert_eq!(table_of("begun"), None, "it has no record yet");
        lay(directory.path(), "begun", &wanted).unwrap();
        assert_eq!(table_of("begun"), Some(wanted));
        symlink("/elsewhere", begun.join("01.sock")).unwrap();
        let other = standing(&[None, Some("/run/b.sock".into()), None]);
        assert_eq!(lay(directory.path(), "begun", &other).unwrap_err().kind(), ErrorKind::Conflict);
    }

    #[test]
    fn places_that_lead_to_the_same_share_one_link_where_a_link_can_have_two_names() {
        let directory = tempfile::tempdir().unwrap();
        let of = |place| Some(if place < 5 { "/run/new.sock" } else { "/run/old.sock" }.into());
        let wanted = Standing { text: b"text".to_vec(), targets: (0..100).map(of).collect() };
        lay(directory.path(), "id", &wanted).unwrap();
        assert_eq!(table(directory.path(), "id", 100).unwrap(), Some(wanted));
        let at = |place| directory.path().join("tables/id").join(socket_name(place));
        let links: BTreeSet<u64> =
            (0..100).map(|place| at(place).symlink_metadata().unwrap().ino()).collect();
        assert_eq!(links.len(), 2);
        // No file system has room for a second name of what is not there.
        let beside = directory.path().join("own.sock");
        link(Path::new("/run/new.sock"), Some(&directory.path().join("none")), &beside).unwrap();
        assert_eq!(fs::read_link(beside).unwrap(), Path::new("/run/new.sock"));
    }
}
