use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::table::{self, Process};
use crate::{Outside, patience};

/// How long a program may take to end when it is asked to, before it is killed.
const GRACE: Duration = Duration::from_secs(5);
/// How many characters an error repeats of what a program printed last.
const LAST: usize = 4_000;
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// A program in the foreground, ended with everything that it started when this is dropped: SIGTERM, and SIGKILL for what
/// stands five seconds later. Its children are known by its process group and by their parents, never by a name.
#[derive(Debug)]
pub struct Running {
    // Not reaped before the end, so its id cannot go to another process meanwhile.
    child: Child,
    process: Process,
    log: PathBuf,
}

impl Running {
    /// Starts a program; what it prints is appended to `log`.
    ///
    /// # Errors
    /// Where it does not start, or ended at once: with what it printed.
    pub fn start(command: &mut Command, log: &Path) -> Outside<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output).process_group(0);
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let Some(process) = Process::of(child.id()) else {
            child.wait()?;
            return Err(format!("{command:?} ended at once: {}", fs::read_to_string(log)?).into());
        };
        Ok(Self { child, process, log: log.to_owned() })
    }

    /// The process that was started.
    #[must_use]
    pub const fn process(&self) -> Process {
        self.process
    }

    /// What it has printed.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub fn printed(&self) -> Outside<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Waits until `look` finds something, as long as the program runs.
    ///
    /// # Errors
    /// `look`'s own, and where the program ended or time ran out: with what it printed last.
    pub async fn until<T, F>(&self, what: &str, mut look: impl FnMut() -> F) -> Outside<T>
    where
        F: Future<Output = Outside<Option<T>>>,
    {
        let awaited = patience::until(what, || {
            let looked = look();
            async move {
                match looked.await? {
                    None if !self.process.runs() => Err(format!("it ended before {what}").into()),
                    found => Ok(found),
                }
            }
        });
        match awaited.await {
            Err(error) => {
                let printed = self.printed()?;
                let last = printed.char_indices().rev().nth(LAST).map_or(0, |(from, _)| from);
                Err(format!("{error}: {}", printed.get(last..).unwrap_or_default()).into())
            }
            found => found,
        }
    }

    /// Kills the program with SIGKILL, and nothing that it started; returns when it is dead.
    pub fn kill(&self) {
        while self.process.runs() {
            self.process.signal(Signal::KILL);
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// Ends it as dropping it does, and then starts another program with the same log. A program that looks whether its
    /// predecessor lives finds no zombie.
    pub(crate) fn replace(&mut self, command: &mut Command) -> Outside<()> {
        self.finish()?;
        *self = Self::start(command, &self.log)?;
        Ok(())
    }

    /// Ends it with everything that it started, as dropping it does.
    ///
    /// # Errors
    /// Where something of it stands even after SIGKILL.
    pub fn end(mut self) -> Outside<()> {
        self.finish()
    }

    fn finish(&mut self) -> Outside<()> {
        let pid = self.process.pid;
        end(self.process, || table::group(pid).union(&table::descendants(pid)).copied().collect())?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.finish();
    }
}

/// Asks `first` to end, then what `find` finds besides, and kills what does not end within the grace.
pub(crate) fn end(first: Process, find: impl Fn() -> BTreeSet<Process>) -> Outside<()> {
    let begun = Instant::now();
    let mut asked = BTreeSet::new();
    // Looked for before anything ends: who the parent of an orphan was is not known any more.
    let mut standing = find();
    first.signal(Signal::TERM);
    loop {
        standing.extend(find());
        standing.retain(|process| process.runs());
        if !first.runs() {
            standing
                .iter()
                .filter(|process| asked.insert(**process))
                .for_each(|process| process.signal(Signal::TERM));
            if standing.is_empty() {
                return Ok(());
            }
        }
        if begun.elapsed() > GRACE {
            standing.iter().chain([&first]).for_each(|process| process.signal(Signal::KILL));
        }
        if begun.elapsed() > 2 * GRACE {
            return Err(format!("{first:?} or what it started does not end: {standing:?}").into());
        }
        thread::sleep(LOOK_AGAIN);
    }
}
