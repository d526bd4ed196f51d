//! What finished runs proved, in a directory.

use std::path::{Path, PathBuf};

use async_trait::async_trait;
use flow_core::port::{EvidenceStore, RunEvidence};
use flow_core::{Digest, Environment, ErrorKind, Name, Permit, StepError};

use super::blocking::{change, go_on, look};
use super::directory::{Directory, Readers, STAGED};

/// The largest evidence file: 1 MiB.
const LIMIT: u64 = 1 << 20;

/// Keeps evidence as one JSON file per digest and run: `<root>/<application>/<environment>/<sha256>/<run>.json`.
///
/// A file that is not whole, or stands where it does not belong, is an error that names it. It is never taken for the
/// absence of evidence, and so is a file that is no evidence at all.
#[derive(Debug, Clone)]
pub struct DirectoryEvidence {
    root: PathBuf,
}

impl DirectoryEvidence {
    /// A store in the directory `root`, which is made with the first evidence.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }
}

#[async_trait]
impl EvidenceStore for DirectoryEvidence {
    async fn record(&self, permit: &Permit, evidence: &RunEvidence) -> Result<(), StepError> {
        evidence.check()?;
        let evidence = evidence.clone();
        change(permit, &self.root, Readers::Everyone, move |root, token| {
            // The first record of a run stands: a repetition must not lengthen how long it can be relied on. It writes it
            // all the same, since an attempt in doubt may have left out some of it, or not made it durable.
            let evidence = match kept_of_run(&root, &evidence)? {
                None => evidence,
                Some((kept, _)) if kept.deploys_the_same_as(&evidence) => kept,
                Some((kept, path)) => {
                    return Err(StepError::new(ErrorKind::Conflict, "the run has recorded other evidence")
                        .fact("path", path.display())
                        .fact("release", kept.release));
                }
            };
            let content = serde_json::to_vec_pretty(&evidence).map_err(|error| {
                StepError::new(ErrorKind::Invalid, "the evidence has no JSON form").because(error)
            })?;
            for (index, digest) in evidence.digests.iter().enumerate() {
                let kept = go_on(token).and_then(|()| record_one(&root, &evidence, digest, &content));
                kept.map_err(|error| if index == 0 { error } else { error.after_effect() })?;
            }
            Ok(())
        })
        .await
    }

    async fn find(
        &self,
        application: &Name,
        environment: Environment,
        digest: &Digest,
    ) -> Result<Vec<RunEvidence>, StepError> {
        let (root, application, digest) = (self.root.clone(), application.clone(), *digest);
        look(move || {
            let Some(directory) = descend(&root, &application, environment, &digest)? else {
                return Ok(Vec::new());
            };
            let place = Place { application, environment, digest };
            let mut found = Vec::new();
            for (name, _) in directory.entries()? {
                if name == STAGED {
                    continue;
                }
                let path = directory.path_of(&name);
                let name = name.into_string().map_err(|_| misplaced("a name that is not text", &path))?;
                // A file that vanished since the listing was removed by hand; what remains is what there is.
                if let Some(evidence) = read_one(&directory, &name, &place)? {
                    found.push(evidence);
                }
            }
            found.sort_by(|left, right| (left.recorded, &left.run).cmp(&(right.recorded, &right.run)));
            Ok(found)
        })
        .await
    }
}

/// Where evidence stands, and so what it must say of itself.
struct Place {
    application: Name,
    environment: Environment,
    digest: Digest,
}

fn descend(
    root: &Path,
    application: &Name,
    environment: Environment,
    digest: &Digest,
) -> Result<Option<Directory>, StepError> {
    let mut directory = Directory::find(root)?;
    for part in [application.as_str(), environment.as_str(), &digest.hex()] {
        directory = match directory {
            Some(directory) => directory.child(part)?,
            None => return Ok(None),
        };
    }
    Ok(directory)
}

/// What the run of `evidence` has recorded under whichever digest, and where it stands.
fn kept_of_run(
    root: &Directory,
    evidence: &RunEvidence,
) -> Result<Option<(RunEvidence, PathBuf)>, StepError> {
    let Some(application) = root.child(evidence.application.as_str())? else { return Ok(None) };
    let Some(environment) = application.child(evidence.environment.as_str())? else { return Ok(None) };
    let name = file_of(evidence);
    for (digest, _) in environment.entries()? {
        // What is no digest is no place for evidence.
        let Some(digest) = digest.to_str().and_then(|hex| format!("sha256:{hex}").parse().ok()) else {
            continue;
        };
        let Some(directory) = environment.child(Digest::hex(&digest))? else { continue };
        let place =
            Place { application: evidence.application.clone(), environment: evidence.environment, digest };
        if let Some(kept) = read_one(&directory, &name, &place)? {
            return Ok(Some((kept, directory.path_of(&name))));
        }
    }
    Ok(None)
}

fn record_one(
    root: &Directory,
    evidence: &RunEvidence,
    digest: &Digest,
    content: &[u8],
) -> Result<(), StepError> {
    root.make_child(evidence.application.as_str(), Readers::Everyone)?
        .make_child(evidence.environment.as_str(), Readers::Everyone)?
        .make_child(digest.hex(), Readers::Everyone)?
        .replace(&file_of(evidence), content, Readers::Everyone)
}

fn file_of(evidence: &RunEvidence) -> String {
    format!("{}.json", evidence.run)
}

fn read_one(directory: &Directory, name: &str, place: &Place) -> Result<Option<RunEvidence>, StepError> {
    let path = directory.path_of(name);
    let Some(content) = directory.read(name, LIMIT)? else { return Ok(None) };
    let evidence: RunEvidence = serde_json::from_slice(&content).map_err(|error| {
        StepError::new(ErrorKind::Conflict, "the evidence is damaged")
            .fact("path", path.display())
            .because(error)
    })?;
    if file_of(&evidence) != name {
        return Err(misplaced("the evidence of another run", &path));
    }
    if evidence.application != place.application || evidence.environment != place.environment {
        return Err(misplaced("the evidence of another application or environment", &path));
    }
    if !evidence.digests.contains(&place.digest) {
        return Err(misplaced("evidence that does not name this digest", &path));
    }
    Ok(Some(evidence))
}

fn misplaced(found: &'static str, path: &Path) -> StepError {
    StepError::new(ErrorKind::Conflict, "the evidence store holds what does not belong there")
        .fact("path", path.display())
        .fact("found", found)
}
