//! What every [`Host`] promises, as checks.
//!
//! [`host_conformance!`](crate::host_conformance) makes a test of each: the failing test's name is the diagnosis. Commands
//! take real time here; what must end is waited for, so a slow machine makes a check slow and never wrong.

pub mod commands;
pub mod copies;
pub mod files;
pub mod links;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Command, Host, HostPath};

use super::patience::Patience;
use super::{Checked, Outside};
pub use crate::fake::HostNode;

/// Makes one `#[tokio::test]` for every promise of [`Host`](flow_core::port::Host).
///
/// It takes an async function without arguments that gives a fresh [`HostFixture`](crate::conformance::host::HostFixture).
///
/// ```
/// use std::collections::BTreeMap;
/// use std::path::{Path, PathBuf};
///
/// use async_trait::async_trait;
/// use flow_core::port::{Command, Host, HostPath};
/// use flow_testkit::conformance::{Checked, Outside};
/// use flow_testkit::conformance::host::{Behaviour, HostFixture, HostNode};
/// use flow_testkit::fake::{FakeHost, Script};
/// use flow_testkit::fault::{At, Fault};
/// use flow_testkit::permit;
///
/// struct InMemory(FakeHost, tempfile::TempDir);
///
/// #[async_trait]
/// impl HostFixture for InMemory {
///     fn host(&self) -> &dyn Host {
///         &self.0
///     }
///     fn environment(&self) -> BTreeMap<String, String> {
///         BTreeMap::from([("LANG".to_owned(), "C".to_owned())])
///     }
///     async fn tree(&self) -> Outside<BTreeMap<String, HostNode>> {
///         Ok(self.0.tree())
///     }
///     async fn put(&self, path: &str, node: HostNode) -> Checked {
///         Ok(self.0.put(&HostPath::new(path)?, node)?)
///     }
///     async fn outside(&self) -> Outside<BTreeMap<String, HostNode>> {
///         Ok(BTreeMap::new()) // Nothing is out there.
///     }
///     async fn command(&self, behaviour: Behaviour) -> Outside<Command> {
///         let (args, script) = match behaviour {
///             Behaviour::Arguments(args) => {
///                 let printed: String = args.iter().map(|arg| format!("{arg}\0")).collect();
///                 (args, Script::ends(0).stdout(printed))
///             }
///             Behaviour::Environment => (vec!["env".to_owned()], Script::ends(0).prints_environment()),
///             Behaviour::Ends(code) => {
///                 (vec![code.to_string()], Script::ends(code).stdout("out").stderr("err"))
///             }
///             Behaviour::Floods => {
///                 let flood = ["x".repeat(3 << 20), "end".to_owned()].concat();
///                 (vec!["flood".to_owned()], Script::ends(0).stdout(flood.clone()).stderr(flood))
///             }
///             Behaviour::Writes => {
///                 (vec!["write".to_owned()], Script::ends(0).writes(HostPath::new("made")?, "made"))
///             }
///             Behaviour::Hangs => (vec!["hang".to_owned()], Script::hangs().processes(2)),
///         };
///         self.0.script(std::iter::once("program").chain(args.iter().map(String::as_str)), script);
///         Ok(Command::new("program", args))
///     }
///     async fn running(&self) -> Outside<usize> {
///         Ok(self.0.running())
///     }
///     fn local(&self) -> &Path {
///         self.1.path()
///     }
///     async fn break_off(&self, from: &Path, to: &HostPath) -> Checked {
///         self.0.ledger().faults().inject(At::call("host.copy"), Fault::HalfDone);
///         self.0.copy(&permit(), from, to).await.err().map(drop).ok_or("it went through".into())
///     }
///     async fn arrived(&self, _: &str) -> Outside<u64> {
///         Ok(self.0.copied().try_into()?)
///     }
/// }
///
/// async fn fresh() -> InMemory {
///     let host = FakeHost::new();
///     host.allow("LANG", "C");
///     InMemory(host, tempfile::tempdir().unwrap())
/// }
///
/// flow_testkit::host_conformance!(fresh);
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! host_conformance {
    ($fresh:expr) => {
        $crate::host_conformance! { @each __promises ($fresh) }
    };
    (@each $then:ident $with:tt) => {
        $crate::$then! { host $with
            commands:
                arguments_reach_the_program_as_they_are
                no_shell_reads_the_arguments
                the_environment_is_the_allow_list_and_the_commands_own
                a_command_works_in_its_directory
                a_code_other_than_0_is_an_output
                only_the_last_mebibyte_of_each_stream_is_kept
                a_program_or_a_directory_that_is_not_there_is_not_found
                a_bad_command_is_refused_with_all_its_problems
                a_command_out_of_time_is_ended_with_all_its_children
                a_cancelled_command_is_ended_with_all_its_children
                a_cancelled_permit_starts_nothing
                an_abandoned_command_is_ended_with_all_its_children
                no_error_shows_the_environment;
            files:
                a_written_file_stands_whole_with_its_parents_and_nothing_beside
                writing_twice_is_writing_once
                a_reader_never_sees_half_of_a_file
                a_refused_change_leaves_what_stood_there
                a_removed_file_is_gone_and_what_is_not_there_is_done
                what_is_not_there_is_none_or_empty
                a_file_over_8_mebibytes_is_refused
                names_are_listed_in_order
                files_do_not_disturb_each_other
                reading_changes_nothing;
            copies:
                a_copied_file_stands_whole_with_its_parents_and_nothing_beside
                copying_twice_is_copying_once
                a_copy_may_be_executed_as_its_file_may
                a_reader_never_sees_half_of_a_copy
                a_copy_replaces_files_and_links_alone
                what_cannot_be_copied_is_refused_and_changes_nothing
                a_cancelled_copy_leaves_the_old_file
                a_copy_that_was_cut_off_goes_on_where_it_was
                what_an_earlier_copy_left_is_checked_before_it_is_used;
            links:
                a_link_leads_to_its_target_and_reads_as_it_was_given
                a_link_is_never_missing_while_it_is_swapped
                a_link_replaces_links_alone
                removing_a_link_leaves_its_target
                a_link_below_the_root_is_followed
                no_path_leaves_the_root_through_a_link
                a_write_replaces_a_link_and_does_not_follow_it;
        }
    };
}

/// A host whose root is empty, and ways to look at it and to arrange it from outside.
#[async_trait]
pub trait HostFixture: Send + Sync {
    /// The host under test.
    fn host(&self) -> &dyn Host;

    /// The environment that the host gives every command: its allow-list, as it was configured.
    fn environment(&self) -> BTreeMap<String, String>;

    /// All that stands below the root, by path from there, looked at without the host.
    async fn tree(&self) -> Outside<BTreeMap<String, HostNode>>;

    /// Puts something below the root, without the host, its parents included.
    async fn put(&self, path: &str, node: HostNode) -> Checked;

    /// What stands in the directory `outside` beside the root, which a link in the root reaches as `../outside`. It should
    /// hold a file `secret`; where a host has no such place, there is nothing.
    async fn outside(&self) -> Outside<BTreeMap<String, HostNode>>;

    /// A command that behaves like this, whatever program the host has for it, with the timeout of [`Command::new`].
    async fn command(&self, behaviour: Behaviour) -> Outside<Command>;

    /// How many processes of the command that [hangs](Behaviour::Hangs) run now, counted without the host: in the process
    /// table.
    async fn running(&self) -> Outside<usize>;

    /// An empty directory of the machine that the test runs on, for files to copy.
    fn local(&self) -> &Path;

    /// Copies a file, and breaks the copy off when at least a quarter of it has arrived and not all of it, as whatever befalls
    /// this host would: a cancel, a connection that breaks, a process that dies.
    async fn break_off(&self, from: &Path, to: &HostPath) -> Checked;

    /// How many bytes of copies the host was sent so far, counted without it: on the wire, in the blocks of the file that stands at
    /// `path`. Only what a copy that broke off adds to that is compared.
    async fn arrived(&self, path: &str) -> Outside<u64>;
}

/// What a command of the suite does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Behaviour {
    /// It gets these arguments behind whatever others its program needs, prints each of these with a zero byte behind it on
    /// standard output, and ends with 0.
    Arguments(Vec<String>),
    /// It prints its environment on standard output, a `NAME=value` a line, and ends with 0.
    Environment,
    /// It prints `out` on standard output and `err` on standard error, and ends with this code.
    Ends(i32),
    /// It prints 3 MiB and then `end` on both streams, and ends with 0.
    Floods,
    /// It writes a file `made` into its working directory that holds `made`, and ends with 0.
    Writes,
    /// It starts one child; neither ends by itself, nor when it is asked to.
    Hangs,
}

/// The timeout of commands that something else is to end: longer than any check takes.
const LONG: Duration = Duration::from_secs(600);

fn at(path: &str) -> Outside<HostPath> {
    Ok(HostPath::new(path)?)
}

fn file(content: &str) -> HostNode {
    HostNode::File(content.as_bytes().to_vec())
}

/// Waits until so many processes run.
async fn until_running(fixture: &impl HostFixture, count: usize) -> Checked {
    let patience = Patience::until(format!("{count} processes run"));
    while fixture.running().await? != count {
        patience.wait().await?;
    }
    Ok(())
}
