//! The vault's suite: the fake keeps its promises, and each broken vault breaks the promise that it is paired with.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use flow_core::port::{Sealed, Vault};
use flow_core::{Digest, ErrorKind, Permit, StepError};
use flow_testkit::conformance::vault::VaultFixture;
use flow_testkit::conformance::{Checked, Outside};
use flow_testkit::fake::MemoryVault;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Break {
    Nothing,
    CutsTheEnd,
    ForgetsWithItsProcess,
    NamesItOtherwise,
    KeepsTwice,
    KeepsTheLastAlone,
    TrustsWhatStandsThere,
    TakesMissingForEmpty,
    BelievesItIsKept,
    BurnsAfterReading,
    LetsOthersRead,
    ShowsTheContent,
}

#[derive(Clone)]
struct Bench {
    vault: MemoryVault,
    breaks: Break,
    sealed: Arc<Mutex<Vec<Sealed>>>,
    tampered: Arc<Mutex<Vec<u8>>>,
}

fn bench(breaks: Break) -> Bench {
    let (sealed, tampered) = (Arc::default(), Arc::default());
    Bench { vault: MemoryVault::default(), breaks, sealed, tampered }
}

#[async_trait]
impl Vault for Bench {
    async fn seal(&self, permit: &Permit, content: &[u8]) -> Result<Sealed, StepError> {
        let before = self.sealed.lock().unwrap().clone();
        let wanted = Sealed { digest: Digest::of(content) };
        match self.breaks {
            Break::BelievesItIsKept if before.contains(&wanted) => return Ok(wanted),
            Break::KeepsTheLastAlone => before.iter().for_each(|sealed| self.vault.lose(sealed)),
            Break::KeepsTwice if before.contains(&wanted) => {
                self.vault.seal(permit, &[content, b"+"].concat()).await?;
            }
            Break::NamesItOtherwise => return self.vault.seal(permit, &[content, b"+"].concat()).await,
            _ => {}
        }
        let sealed = self.vault.seal(permit, content).await?;
        self.sealed.lock().unwrap().push(sealed.clone());
        Ok(sealed)
    }

    async fn open(&self, sealed: &Sealed) -> Result<Vec<u8>, StepError> {
        let opened = self.vault.open(sealed).await;
        let tampered = self.tampered.lock().unwrap().clone();
        match (self.breaks, opened) {
            (Break::CutsTheEnd, Ok(mut content)) => {
                content.pop();
                Ok(content)
            }
            (Break::BurnsAfterReading, Ok(content)) => {
                self.vault.lose(sealed);
                Ok(content)
            }
            (Break::TrustsWhatStandsThere, Err(error)) if error.kind() == ErrorKind::Conflict => Ok(tampered),
            (Break::TakesMissingForEmpty, Err(error)) if error.kind() == ErrorKind::NotFound => {
                Ok(Vec::new())
            }
            (Break::ShowsTheContent, Err(error)) if error.kind() == ErrorKind::Conflict => {
                Err(error.fact("found", String::from_utf8_lossy(&tampered)))
            }
            (_, opened) => opened,
        }
    }
}

#[async_trait]
impl VaultFixture for Bench {
    fn vault(&self) -> &dyn Vault {
        self
    }

    async fn reopened(&self) -> Outside<Box<dyn Vault>> {
        let forgets = self.breaks == Break::ForgetsWithItsProcess;
        Ok(Box::new(if forgets { bench(self.breaks) } else { self.clone() }))
    }

    async fn count(&self) -> Outside<usize> {
        Ok(self.vault.count())
    }

    async fn tamper(&self, sealed: &Sealed, content: &[u8]) -> Checked {
        content.clone_into(&mut self.tampered.lock().unwrap());
        self.vault.tamper(sealed, content);
        Ok(())
    }

    async fn lose(&self, sealed: &Sealed) -> Checked {
        self.vault.lose(sealed);
        Ok(())
    }

    async fn open_to_others(&self) -> Outside<Vec<String>> {
        let all = self.sealed.lock().unwrap().iter().map(|sealed| sealed.digest.hex()).collect();
        Ok(if self.breaks == Break::LetsOthersRead { all } else { Vec::new() })
    }
}

mod fake {
    use super::{Bench, Break, bench};

    async fn fresh() -> Bench {
        bench(Break::Nothing)
    }

    flow_testkit::vault_conformance!(fresh);
}

mod broken {
    use super::{Break, bench};

    flow_testkit::broken_implementations! { vault_conformance, vault:
        what_was_sealed_opens_again_whole => async || bench(Break::CutsTheEnd),
        another_process_opens_what_was_sealed => async || bench(Break::ForgetsWithItsProcess),
        the_reference_is_the_digest_of_the_content => async || bench(Break::NamesItOtherwise),
        the_same_content_is_kept_once => async || bench(Break::KeepsTwice),
        contents_do_not_disturb_each_other => async || bench(Break::KeepsTheLastAlone),
        what_was_changed_underneath_is_a_conflict => async || bench(Break::TrustsWhatStandsThere),
        what_is_gone_or_was_never_sealed_is_not_found => async || bench(Break::TakesMissingForEmpty),
        sealing_again_mends_what_was_changed => async || bench(Break::BelievesItIsKept),
        opening_changes_nothing => async || bench(Break::BurnsAfterReading),
        nobody_but_its_owner_can_read_it => async || bench(Break::LetsOthersRead),
        no_error_shows_the_content => async || bench(Break::ShowsTheContent),
    }
}
