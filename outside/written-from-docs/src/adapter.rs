use std::collections::BTreeSet;

use async_trait::async_trait;
use flow_core::port::{EvidenceStore, RunEvidence};
use flow_core::{Digest, Environment, ErrorKind, Name, Permit, Problems, StepError};
use serde::{Deserialize, Serialize};

use crate::LedgerfileConfig;
use crate::client::Client;

const FORMAT: u32 = 1;

/// Ends a line that was cut off and never answered: the control character CAN, which no JSON holds.
const TORN: u8 = 0x18;

/// Evidence in one append-only file.
///
/// Calls block for as long as one read or one durable append takes. While another process appends,
/// [`record`](EvidenceStore::record) is [`Unavailable`](ErrorKind::Unavailable), and worth another attempt. Runs of several
/// journals share the file, so it keeps no fences.
#[derive(Clone, Debug)]
pub struct Ledgerfile {
    client: Client,
}

impl Ledgerfile {
    /// The ledger at its configured place, which must have been [created](Self::create) once. Reads nothing yet.
    #[must_use]
    pub const fn open(config: LedgerfileConfig) -> Self {
        Self { client: Client(config) }
    }

    /// Creates an empty ledger, durably. For set-up alone: a service that did this whenever it starts would take a ledger that
    /// was lost for one without evidence. Where it was interrupted, remove what it left and repeat it.
    ///
    /// # Errors
    ///
    /// [`Conflict`](ErrorKind::Conflict) where the file exists, any kind where it cannot be made durable.
    pub fn create(config: &LedgerfileConfig) -> Result<(), StepError> {
        Client(config.clone()).create(&Line::Ledger(FORMAT).written()?)
    }
}

#[async_trait]
impl EvidenceStore for Ledgerfile {
    async fn record(&self, _: &Permit, evidence: &RunEvidence) -> Result<(), StepError> {
        check(evidence)?;
        let append = self.client.begin()?;
        let ledger = Contents::read(&append.stood)?;
        let mut bytes = ledger.mended();
        match ledger.evidence.iter().find(|kept| of_one_run(kept, evidence)) {
            Some(kept) if !same(kept, evidence) => {
                let refused = StepError::new(ErrorKind::Conflict, "the run recorded other evidence");
                return Err(refused.fact("run", &evidence.run).fact("recorded release", &kept.release));
            }
            // An earlier attempt wrote it, and may not have got as far as making it durable.
            Some(_) => {}
            None => bytes.extend(Line::Evidence(evidence.clone()).written()?),
        }
        append.commit(&bytes)
    }

    async fn find(
        &self,
        application: &Name,
        environment: Environment,
        digest: &Digest,
    ) -> Result<Vec<RunEvidence>, StepError> {
        let ledger = Contents::read(&self.client.read()?)?;
        if let End::Torn(bytes) = ledger.end {
            let torn = StepError::new(ErrorKind::Unavailable, "the last line is torn: being written, or cut off");
            return Err(torn.fact("bytes", bytes));
        }
        let mut found = ledger.evidence;
        found.retain(|kept| {
            kept.application == *application && kept.environment == environment && kept.digests.contains(digest)
        });
        found.sort_by(|left, right| (left.recorded, &left.run).cmp(&(right.recorded, &right.run)));
        Ok(found)
    }
}

fn check(evidence: &RunEvidence) -> Result<(), Problems> {
    let mut problems = Problems::default();
    problems.check(!evidence.digests.is_empty(), "digests", "must name what was deployed");
    problems.check(evidence.expires > evidence.recorded, "expires", "must be after `recorded`");
    problems.into_result()
}

/// Whether both are of one run: its id may return in another application or environment.
fn of_one_run(kept: &RunEvidence, new: &RunEvidence) -> bool {
    kept.run == new.run && kept.application == new.application && kept.environment == new.environment
}

/// Whether both say that the run deployed the same, whatever it proved and however long that can be relied on.
fn same(kept: &RunEvidence, new: &RunEvidence) -> bool {
    let digests = |evidence: &RunEvidence| evidence.digests.iter().copied().collect::<BTreeSet<_>>();
    kept.release == new.release && digests(kept) == digests(new)
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    /// The first line: this is a ledger, of this format.
    Ledger(u32),
    Evidence(RunEvidence),
}

impl Line {
    fn written(&self) -> Result<Vec<u8>, StepError> {
        let mut bytes = serde_json::to_vec(self)
            .map_err(|error| StepError::new(ErrorKind::Invalid, "the line is no JSON").because(error))?;
        bytes.push(b'\n');
        Ok(bytes)
    }
}

enum End {
    Whole,
    /// The last line is whole but for its newline.
    Open,
    /// The last line was cut off after so many bytes.
    Torn(usize),
}

struct Contents {
    evidence: Vec<RunEvidence>,
    end: End,
}

impl Contents {
    fn read(bytes: &[u8]) -> Result<Self, StepError> {
        let mut lines = bytes.split(|byte| *byte == b'\n').enumerate().peekable();
        let mut contents = Self { evidence: Vec::new(), end: End::Whole };
        while let Some((at, text)) = lines.next() {
            let last = lines.peek().is_none();
            if at > 0 && last && text.is_empty() {
                break;
            }
            contents.end = if last { End::Open } else { End::Whole };
            match serde_json::from_slice(text) {
                _ if at > 0 && text.ends_with(&[TORN]) => {}
                Ok(Line::Ledger(FORMAT)) if at == 0 && !last => {}
                Ok(Line::Evidence(evidence)) if at > 0 => contents.evidence.push(evidence),
                Err(error) if at > 0 && last && error.is_eof() => contents.end = End::Torn(text.len()),
                Err(error) => return Err(damaged(at).because(error)),
                Ok(_) => return Err(damaged(at)),
            }
        }
        Ok(contents)
    }

    /// What must be appended before the next line. A crash within it leaves something that is mended in the same way.
    fn mended(&self) -> Vec<u8> {
        match self.end {
            End::Whole => vec![],
            End::Open => vec![b'\n'],
            End::Torn(_) => vec![TORN, b'\n'],
        }
    }
}

fn damaged(at: usize) -> StepError {
    StepError::new(ErrorKind::Conflict, "the ledger is damaged").fact("line", at + 1)
}
