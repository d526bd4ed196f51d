//! The host's suite: the fake keeps its promises, and each broken host breaks the promise that it is paired with.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Command, CommandOutput, Host, HostPath};
use flow_core::{ErrorKind, Fence, Permit, StepError};
use flow_testkit::conformance::host::{Behaviour, HostFixture, HostNode};
use flow_testkit::conformance::{Checked, Outside};
use flow_testkit::fake::{FakeHost, Script};
use flow_testkit::fault::{At, Fault};
use flow_testkit::{permit, permit_under};
use tempfile::TempDir;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    SplitsArguments,
    ReadsArgumentsAsAShell,
    HandsOnItsOwnEnvironment,
    WorksInTheRoot,
    TakesACodeForAnError,
    KeepsTheFirstMebibyte,
    AnswersMissingWith127,
    StopsAtTheFirstProblem,
    LeavesChildrenOnTimeout,
    LeavesChildrenOnCancel,
    StartsWhatWasCancelled,
    OutlivesItsCaller,
    ShowsTheEnvironment,
    WritesIntoOneDirectory,
    Appends,
    WritesInPlace,
    ClearsTheWay,
    MindsMissing,
    TakesMissingForEmpty,
    ReadsAnything,
    ListsBackwards,
    SweepsBesides,
    MakesWhatItReads,
    CutsLargeCopies,
    AppendsCopies,
    DropsTheBit,
    CopiesInPlace,
    CopiesOverDirectories,
    CopiesNothing,
    CopiesWhatWasCancelled,
    StartsAnew,
    TrustsWhatIsLeft,
    AnswersLinksAsWritten,
    UnlinksFirst,
    LinksOverFiles,
    RemovesTheTarget,
    FollowsNoLink,
    FollowsLinksOut,
    WritesThroughLinks,
}

#[derive(Clone)]
struct Bench {
    host: FakeHost,
    breaks: Break,
    leaked: Arc<Mutex<usize>>,
    outside: Arc<Mutex<String>>,
    local: Arc<TempDir>,
}

fn bench(breaks: Break) -> Bench {
    let host = FakeHost::new();
    host.allow("LANG", "C");
    let (outside, local) = (Mutex::new("secret".to_owned()), tempfile::tempdir().unwrap());
    Bench { host, breaks, leaked: Arc::default(), outside: Arc::new(outside), local: Arc::new(local) }
}

fn at(path: &str) -> HostPath {
    HostPath::new(path).unwrap()
}

impl Bench {
    fn is(&self, breaks: Break) -> bool {
        self.breaks == breaks
    }

    /// The command as a broken host gives it to its program.
    fn given(&self, command: &Command) -> Command {
        let mut command = command.clone();
        match self.breaks {
            Break::SplitsArguments => {
                let words = command.args.iter().flat_map(|arg| arg.split(' '));
                command.args = words.map(str::to_owned).collect();
            }
            Break::ReadsArgumentsAsAShell if command.args.iter().any(|arg| arg.contains("touch pwned")) => {
                self.host.put(&at("pwned"), HostNode::File(Vec::new())).unwrap();
            }
            Break::HandsOnItsOwnEnvironment => command = command.env("HOME", "/root"),
            Break::WorksInTheRoot => command.directory = None,
            _ => {}
        }
        command
    }

    fn ended(
        &self,
        command: &Command,
        ended: Result<CommandOutput, StepError>,
    ) -> Result<CommandOutput, StepError> {
        match (self.breaks, ended) {
            (Break::TakesACodeForAnError, Ok(output)) if !output.succeeded() => {
                Err(StepError::new(ErrorKind::Failed, "the command ended badly"))
            }
            (Break::KeepsTheFirstMebibyte, Ok(mut output)) if output.stdout.ends_with(b"end") => {
                output.stdout.truncate(output.stdout.len() - 3);
                Ok(output)
            }
            (Break::AnswersMissingWith127, Err(error)) if error.kind() == ErrorKind::NotFound => {
                Ok(CommandOutput { code: Some(127), stdout: Vec::new(), stderr: Vec::new() })
            }
            (Break::StopsAtTheFirstProblem, Err(error)) if error.kind() == ErrorKind::Invalid => {
                Err(StepError::new(ErrorKind::Invalid, "`program` is no name"))
            }
            (Break::LeavesChildrenOnTimeout, Err(error)) if error.kind() == ErrorKind::TimedOut => {
                *self.leaked.lock().unwrap() += 1;
                Err(error)
            }
            (Break::LeavesChildrenOnCancel, Err(error)) if error.kind() == ErrorKind::Cancelled => {
                *self.leaked.lock().unwrap() += 1;
                Err(error)
            }
            (Break::ShowsTheEnvironment, Err(error)) => Err(error.fact("env", format!("{:?}", command.env))),
            (_, ended) => ended,
        }
    }

    /// Whether a link stands on the way to `path`.
    fn through_a_link(&self, path: &HostPath) -> bool {
        let tree = self.host.tree();
        let mut ways = path.as_str().match_indices('/').filter_map(|(end, _)| path.as_str().get(..end));
        ways.any(|way| matches!(tree.get(way), Some(HostNode::Link(_))))
    }

    fn link_at(&self, path: &HostPath) -> Option<String> {
        match self.host.tree().remove(path.as_str()) {
            Some(HostNode::Link(target)) => Some(target),
            _ => None,
        }
    }
}

#[async_trait]
impl Host for Bench {
    async fn query(&self, command: &Command) -> Result<CommandOutput, StepError> {
        self.ended(command, self.host.query(&self.given(command)).await)
    }

    async fn run(&self, permit: &Permit, command: &Command) -> Result<CommandOutput, StepError> {
        let given = self.given(command);
        if self.is(Break::OutlivesItsCaller) {
            let host = self.host.clone();
            let run =
                tokio::spawn(async move { host.run(&permit_under("outlives", Fence(1), 1), &given).await });
            return run.await.unwrap();
        }
        if self.is(Break::StartsWhatWasCancelled) && permit.cancel().is_cancelled() {
            return self.host.run(&permit_under("cancelled", Fence(1), 1), &given).await;
        }
        self.ended(command, self.host.run(permit, &given).await)
    }

    async fn read(&self, path: &HostPath) -> Result<Option<Vec<u8>>, StepError> {
        if self.is(Break::ReadsAnything) {
            return Ok(self.host.file(path));
        }
        if self.is(Break::FollowsNoLink) && (self.through_a_link(path) || self.link_at(path).is_some()) {
            return Err(StepError::new(ErrorKind::Invalid, "a link is in the way"));
        }
        match (self.breaks, self.host.read(path).await) {
            (Break::TakesMissingForEmpty, Ok(None)) => Ok(Some(Vec::new())),
            (Break::MakesWhatItReads, Ok(None)) => {
                self.host.put(path, HostNode::File(Vec::new())).unwrap();
                Ok(None)
            }
            (Break::FollowsLinksOut, Err(_)) => Ok(Some(self.outside.lock().unwrap().clone().into_bytes())),
            (_, found) => found,
        }
    }

    async fn write(&self, permit: &Permit, path: &HostPath, content: &[u8]) -> Result<(), StepError> {
        let (above, name) = path.as_str().rsplit_once('/').unwrap_or(("", path.as_str()));
        let beside = if above.is_empty() { at("config.new") } else { at(above).join("config.new").unwrap() };
        match self.breaks {
            Break::WritesIntoOneDirectory => return self.host.write(permit, &at(name), content).await,
            Break::Appends => {
                let longer = [self.host.file(path).unwrap_or_default(), content.to_vec()].concat();
                return self.host.write(permit, path, &longer).await;
            }
            Break::WritesInPlace => {
                self.host.put(path, HostNode::File(content[..content.len() / 2].to_vec())).unwrap();
                tokio::task::yield_now().await;
            }
            Break::ClearsTheWay => self.host.clear(path),
            Break::SweepsBesides => self.host.clear(&beside),
            Break::WritesThroughLinks if self.link_at(path).is_some_and(|to| to.contains("outside")) => {
                *self.outside.lock().unwrap() = String::from_utf8_lossy(content).into_owned();
                return Ok(());
            }
            _ => {}
        }
        self.host.write(permit, path, content).await
    }

    async fn copy(&self, permit: &Permit, from: &Path, to: &HostPath) -> Result<(), StepError> {
        let stands = self.host.file(to);
        let (above, name) = to.as_str().rsplit_once('/').unwrap_or(("", to.as_str()));
        let part = at(format!("{above}/.{name}.part").trim_start_matches('/'));
        let left = self.host.file(&part);
        match self.breaks {
            Break::CopiesInPlace => {
                let content = std::fs::read(from).unwrap();
                self.host.put(to, HostNode::File(content[..content.len() / 2].to_vec())).unwrap();
                tokio::task::yield_now().await;
            }
            Break::CopiesOverDirectories => self.host.clear(to),
            Break::CopiesWhatWasCancelled if permit.cancel().is_cancelled() => {
                return self.host.copy(&permit_under("cancelled", Fence(1), 1), from, to).await;
            }
            Break::StartsAnew => self.host.clear(&part),
            _ => {}
        }
        let copied = self.host.copy(permit, from, to).await;
        if self.is(Break::CopiesNothing) && copied.is_err() {
            return self.host.put(to, HostNode::File(Vec::new()));
        }
        copied?;
        let content = self.host.file(to).unwrap();
        let changed = match (self.breaks, left) {
            (Break::CutsLargeCopies, _) => content[..content.len().min(8 << 20)].to_vec(),
            (Break::AppendsCopies, _) => [stands.unwrap_or_default(), content].concat(),
            (Break::TrustsWhatIsLeft, Some(left)) => {
                [left.as_slice(), content.get(left.len()..).unwrap_or_default()].concat()
            }
            (Break::DropsTheBit, _) => content,
            _ => return Ok(()),
        };
        self.host.put(to, HostNode::File(changed))
    }

    async fn remove(&self, permit: &Permit, path: &HostPath) -> Result<(), StepError> {
        if self.is(Break::MindsMissing) && !self.host.tree().contains_key(path.as_str()) {
            return Err(StepError::new(ErrorKind::NotFound, "nothing stands there"));
        }
        if self.is(Break::RemovesTheTarget)
            && let Some(target) = self.host.read_link(path).await?
        {
            self.host.clear(&at(&target));
        }
        self.host.remove(permit, path).await
    }

    async fn read_link(&self, path: &HostPath) -> Result<Option<String>, StepError> {
        if self.is(Break::AnswersLinksAsWritten) {
            return Ok(self.link_at(path));
        }
        self.host.read_link(path).await
    }

    async fn link(&self, permit: &Permit, path: &HostPath, target: &HostPath) -> Result<(), StepError> {
        if self.is(Break::UnlinksFirst) {
            self.host.clear(path);
            tokio::task::yield_now().await;
        }
        if self.is(Break::LinksOverFiles) {
            self.host.clear(path);
        }
        self.host.link(permit, path, target).await
    }

    async fn list(&self, path: &HostPath) -> Result<Vec<String>, StepError> {
        let mut names = self.host.list(path).await?;
        if self.is(Break::ListsBackwards) {
            names.reverse();
        }
        Ok(names)
    }
}

#[async_trait]
impl HostFixture for Bench {
    fn host(&self) -> &dyn Host {
        self
    }

    fn environment(&self) -> BTreeMap<String, String> {
        BTreeMap::from([("LANG".to_owned(), "C".to_owned())])
    }

    async fn tree(&self) -> Outside<BTreeMap<String, HostNode>> {
        Ok(self.host.tree())
    }

    async fn put(&self, path: &str, node: HostNode) -> Checked {
        Ok(self.host.put(&HostPath::new(path)?, node)?)
    }

    async fn outside(&self) -> Outside<BTreeMap<String, HostNode>> {
        let secret = self.outside.lock().unwrap().clone().into_bytes();
        Ok(BTreeMap::from([("secret".to_owned(), HostNode::File(secret))]))
    }

    async fn command(&self, behaviour: Behaviour) -> Outside<Command> {
        let flood = || ["x".repeat(3 << 20), "end".to_owned()].concat();
        let (args, script) = match behaviour {
            Behaviour::Arguments(args) => {
                let printed: String = args.iter().map(|arg| format!("{arg}\0")).collect();
                (args, Script::ends(0).stdout(printed))
            }
            Behaviour::Environment => (vec!["env".to_owned()], Script::ends(0).prints_environment()),
            Behaviour::Ends(code) => (vec![code.to_string()], Script::ends(code).stdout("out").stderr("err")),
            Behaviour::Floods => (vec!["flood".to_owned()], Script::ends(0).stdout(flood()).stderr(flood())),
            Behaviour::Writes => (vec!["write".to_owned()], Script::ends(0).writes(at("made"), "made")),
            Behaviour::Hangs => (vec!["hang".to_owned()], Script::hangs().processes(2)),
        };
        self.host.script(std::iter::once("program").chain(args.iter().map(String::as_str)), script);
        Ok(Command::new("program", args))
    }

    async fn running(&self) -> Outside<usize> {
        Ok(self.host.running() + *self.leaked.lock().unwrap())
    }

    fn local(&self) -> &Path {
        self.local.path()
    }

    async fn break_off(&self, from: &Path, to: &HostPath) -> Checked {
        self.host.ledger().faults().inject(At::call("host.copy"), Fault::HalfDone);
        self.host.copy(&permit(), from, to).await.err().map(drop).ok_or("it went through".into())
    }

    async fn arrived(&self, _: &str) -> Outside<u64> {
        Ok(self.host.copied().try_into()?)
    }
}

mod fake {
    use super::{Bench, Break, bench};

    async fn fresh() -> Bench {
        bench(Break::Nothing)
    }

    flow_testkit::host_conformance!(fresh);
}

mod broken {
    use super::{Break, bench};

    flow_testkit::broken_implementations! { host_conformance, host:
        commands::arguments_reach_the_program_as_they_are => async || bench(Break::SplitsArguments),
        commands::no_shell_reads_the_arguments => async || bench(Break::ReadsArgumentsAsAShell),
        commands::the_environment_is_the_allow_list_and_the_commands_own =>
            async || bench(Break::HandsOnItsOwnEnvironment),
        commands::a_command_works_in_its_directory => async || bench(Break::WorksInTheRoot),
        commands::a_code_other_than_0_is_an_output => async || bench(Break::TakesACodeForAnError),
        commands::only_the_last_mebibyte_of_each_stream_is_kept => async || bench(Break::KeepsTheFirstMebibyte),
        commands::a_program_or_a_directory_that_is_not_there_is_not_found =>
            async || bench(Break::AnswersMissingWith127),
        commands::a_bad_command_is_refused_with_all_its_problems => async || bench(Break::StopsAtTheFirstProblem),
        commands::a_command_out_of_time_is_ended_with_all_its_children =>
            async || bench(Break::LeavesChildrenOnTimeout),
        commands::a_cancelled_command_is_ended_with_all_its_children =>
            async || bench(Break::LeavesChildrenOnCancel),
        commands::a_cancelled_permit_starts_nothing => async || bench(Break::StartsWhatWasCancelled),
        commands::an_abandoned_command_is_ended_with_all_its_children => async || bench(Break::OutlivesItsCaller),
        commands::no_error_shows_the_environment => async || bench(Break::ShowsTheEnvironment),
        files::a_written_file_stands_whole_with_its_parents_and_nothing_beside =>
            async || bench(Break::WritesIntoOneDirectory),
        files::writing_twice_is_writing_once => async || bench(Break::Appends),
        files::a_reader_never_sees_half_of_a_file => async || bench(Break::WritesInPlace),
        files::a_refused_change_leaves_what_stood_there => async || bench(Break::ClearsTheWay),
        files::a_removed_file_is_gone_and_what_is_not_there_is_done => async || bench(Break::MindsMissing),
        files::what_is_not_there_is_none_or_empty => async || bench(Break::TakesMissingForEmpty),
        files::a_file_over_8_mebibytes_is_refused => async || bench(Break::ReadsAnything),
        files::names_are_listed_in_order => async || bench(Break::ListsBackwards),
        files::files_do_not_disturb_each_other => async || bench(Break::SweepsBesides),
        files::reading_changes_nothing => async || bench(Break::MakesWhatItReads),
        copies::a_copied_file_stands_whole_with_its_parents_and_nothing_beside =>
            async || bench(Break::CutsLargeCopies),
        copies::copying_twice_is_copying_once => async || bench(Break::AppendsCopies),
        copies::a_copy_may_be_executed_as_its_file_may => async || bench(Break::DropsTheBit),
        copies::a_reader_never_sees_half_of_a_copy => async || bench(Break::CopiesInPlace),
        copies::a_copy_replaces_files_and_links_alone => async || bench(Break::CopiesOverDirectories),
        copies::what_cannot_be_copied_is_refused_and_changes_nothing => async || bench(Break::CopiesNothing),
        copies::a_cancelled_copy_leaves_the_old_file => async || bench(Break::CopiesWhatWasCancelled),
        copies::a_copy_that_was_cut_off_goes_on_where_it_was => async || bench(Break::StartsAnew),
        copies::what_an_earlier_copy_left_is_checked_before_it_is_used =>
            async || bench(Break::TrustsWhatIsLeft),
        links::a_link_leads_to_its_target_and_reads_as_it_was_given =>
            async || bench(Break::AnswersLinksAsWritten),
        links::a_link_is_never_missing_while_it_is_swapped => async || bench(Break::UnlinksFirst),
        links::a_link_replaces_links_alone => async || bench(Break::LinksOverFiles),
        links::removing_a_link_leaves_its_target => async || bench(Break::RemovesTheTarget),
        links::a_link_below_the_root_is_followed => async || bench(Break::FollowsNoLink),
        links::no_path_leaves_the_root_through_a_link => async || bench(Break::FollowsLinksOut),
        links::a_write_replaces_a_link_and_does_not_follow_it => async || bench(Break::WritesThroughLinks),
    }
}

#[tokio::test]
async fn what_nobody_scripted_and_a_query_that_changes_something_are_refused() {
    let host = FakeHost::new();
    host.script(["npm", "ci"], Script::ends(0).writes(at("node_modules/x"), "x"));
    let other = host.run(&permit(), &Command::new("npm", ["install"])).await.unwrap_err();
    let query = host.query(&Command::new("npm", ["ci"])).await.unwrap_err();
    for error in [other, query] {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
    }
    assert_eq!(host.ledger().refusals().len(), 2, "{:?}", host.ledger().refusals());
    assert!(host.tree().is_empty());

    let elsewhere = host.run(&permit(), &Command::new("yarn", [""; 0])).await.unwrap_err();
    assert_eq!(elsewhere.kind(), ErrorKind::NotFound);
    host.run(&permit_under("run-1/install", Fence(1), 1), &Command::new("npm", ["ci"])).await.unwrap();
    let again = permit_under("run-1/other", Fence(1), 1);
    let twice = host.run(&again, &Command::new("npm", ["ci"])).await.unwrap_err();
    assert!(twice.message().contains("repeated under another key"), "{twice}");
}

#[tokio::test(start_paused = true)]
async fn a_command_takes_virtual_time_and_leaves_half_of_its_effects_when_it_is_ended() {
    let host = FakeHost::new();
    let slow = Script::ends(0).writes(at("a"), "1").writes(at("b"), "2").takes(Duration::from_secs(90));
    host.script(["build"], slow);
    let begun = tokio::time::Instant::now();
    let build = Command::new("build", [""; 0]);
    let error = host.run(&permit(), &build).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::TimedOut, Duration::from_secs(60)));
    assert_eq!(host.tree().keys().collect::<Vec<_>>(), ["a"]);

    host.run(&permit(), &build.clone().timeout(Duration::from_secs(100))).await.unwrap();
    assert_eq!(host.tree().keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(host.ledger().changes(), ["host.run build"]);
}

#[tokio::test]
async fn a_fault_at_a_command_leaves_half_of_it_and_is_in_doubt() {
    let host = FakeHost::new();
    host.script(["build"], Script::ends(0).writes(at("a"), "1").writes(at("b"), "2"));
    host.ledger().faults().inject(At::call("host.run").about("build"), Fault::HalfDone);
    let error = host.run(&permit(), &Command::new("build", [""; 0])).await.unwrap_err();
    assert!(!error.kind().is_rejection() && error.source().is_none());
    assert_eq!(host.tree().keys().collect::<Vec<_>>(), ["a"]);
    assert!(host.ledger().faults().unfired().is_empty());
}
