//! The configuration store's suite: the fake keeps its promises, and each broken store breaks the one it is paired with.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use flow_core::port::ConfigurationStore;
use flow_core::{ErrorKind, Name, Permit, StepError, name};
use flow_testkit::conformance::configuration::ConfigurationFixture;
use flow_testkit::conformance::{Checked, Outside};
use flow_testkit::fake::FakeConfiguration;
use flow_testkit::fault::{At, Fault};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    EndsTheLastLine,
    ForgetsWithItsProcess,
    TakesMissingForEmpty,
    EmptiesInsteadOfRemoving,
    Appends,
    KeepsOneFileForAll,
    WritesInPlace,
    RemovesTheOldOneFirst,
    MakesWhatItReads,
    ShowsTheContent,
}

#[derive(Clone)]
struct Bench {
    store: FakeConfiguration,
    breaks: Break,
    obstructed: Arc<AtomicBool>,
}

fn bench(breaks: Break) -> Bench {
    Bench { store: FakeConfiguration::new(), breaks, obstructed: Arc::default() }
}

#[async_trait]
impl ConfigurationStore for Bench {
    async fn read(&self, name: &Name) -> Result<Option<Vec<u8>>, StepError> {
        let found = self.store.read(name).await?;
        match self.breaks {
            Break::TakesMissingForEmpty => Ok(Some(found.unwrap_or_default())),
            Break::MakesWhatItReads if found.is_none() => {
                self.store.put(name.clone(), Vec::new());
                Ok(None)
            }
            _ => Ok(found),
        }
    }

    async fn write(&self, permit: &Permit, name: &Name, content: Option<Vec<u8>>) -> Result<(), StepError> {
        let old = self.store.in_force(name);
        match (self.breaks, content) {
            (Break::EndsTheLastLine, Some(content)) => {
                let ended = [content, b"\n".to_vec()].concat();
                self.store.write(permit, name, Some(ended)).await
            }
            (Break::EmptiesInsteadOfRemoving, None) => self.store.write(permit, name, Some(Vec::new())).await,
            (Break::Appends, Some(content)) => {
                let longer = [old.unwrap_or_default(), content].concat();
                self.store.write(permit, name, Some(longer)).await
            }
            (Break::KeepsOneFileForAll, content) => {
                self.store.write(permit, &name!("web.toml"), content).await
            }
            (Break::WritesInPlace, Some(content)) => {
                self.store.put(name.clone(), &content[..content.len() / 2]);
                tokio::task::yield_now().await;
                self.store.write(permit, name, Some(content)).await
            }
            (Break::RemovesTheOldOneFirst, content) if self.obstructed.load(Ordering::Relaxed) => {
                self.store.put(name.clone(), Vec::new());
                self.store.write(permit, name, content).await
            }
            (Break::ShowsTheContent, Some(content)) => {
                let text = String::from_utf8_lossy(&content).into_owned();
                self.store
                    .write(permit, name, Some(content))
                    .await
                    .map_err(|error| error.fact("content", text))
            }
            (_, content) => self.store.write(permit, name, content).await,
        }
    }
}

#[async_trait]
impl ConfigurationFixture for Bench {
    fn store(&self) -> &dyn ConfigurationStore {
        self
    }

    async fn reopened(&self) -> Outside<Box<dyn ConfigurationStore>> {
        let forgets = self.breaks == Break::ForgetsWithItsProcess;
        Ok(Box::new(if forgets { bench(self.breaks) } else { self.clone() }))
    }

    async fn kept(&self) -> Outside<BTreeMap<String, Vec<u8>>> {
        let names = self.store.names().into_iter();
        Ok(names.map(|name| (name.to_string(), self.store.in_force(&name).unwrap())).collect())
    }

    async fn obstruct(&self) -> Checked {
        self.obstructed.store(true, Ordering::Relaxed);
        let fault = Fault::Refused(ErrorKind::Unavailable);
        self.store.ledger().faults().inject(At::call("configuration.write").onwards(), fault);
        Ok(())
    }
}

mod fake {
    use super::{Bench, Break, bench};

    async fn fresh() -> Bench {
        bench(Break::Nothing)
    }

    flow_testkit::configuration_conformance!(fresh);
}

mod broken {
    use super::{Break, bench};

    flow_testkit::broken_implementations! { configuration_conformance, configuration:
        a_configuration_is_in_force_exactly_as_written => async || bench(Break::EndsTheLastLine),
        another_process_reads_what_was_written => async || bench(Break::ForgetsWithItsProcess),
        a_configuration_that_is_not_there_is_none_and_its_removal_is_done =>
            async || bench(Break::TakesMissingForEmpty),
        a_removed_configuration_is_gone => async || bench(Break::EmptiesInsteadOfRemoving),
        writing_twice_is_writing_once => async || bench(Break::Appends),
        names_do_not_disturb_each_other => async || bench(Break::KeepsOneFileForAll),
        a_reader_never_sees_half_of_a_configuration => async || bench(Break::WritesInPlace),
        a_write_that_fails_leaves_the_old_one_standing => async || bench(Break::RemovesTheOldOneFirst),
        reading_changes_nothing => async || bench(Break::MakesWhatItReads),
        no_error_shows_the_content => async || bench(Break::ShowsTheContent),
    }
}
