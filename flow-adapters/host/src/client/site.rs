//! A site's files on a host, and the content that is kept beside them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flow_core::port::{AssetFile, Host, HostPath, Manifest};
use flow_core::{Digest, ErrorKind, Permit, Problems, StepError};

use super::commands::{query, run};

/// How many bytes of paths one command gets.
const BATCH: usize = 32 << 10;

/// A site below `root`, and what is kept of it in a directory beside that.
pub(crate) struct Site<'a> {
    pub(crate) host: &'a dyn Host,
    pub(crate) root: &'a HostPath,
    pub(crate) kept: &'a HostPath,
}

impl Site<'_> {
    /// The files that stand there now, as the host reads them.
    pub(crate) async fn serving(&self) -> Result<Manifest, StepError> {
        if self.host.list(self.root).await?.is_empty() {
            return Ok(Manifest::new());
        }
        let root = self.root.as_str();
        let found = query(self.host, ["find", "-H", root, "-type", "f", "-printf", "%s %P\\0"]).await?;
        let mut sizes = BTreeMap::new();
        for entry in text(&found)?.split_terminator('\0') {
            let (bytes, path) = entry.split_once(' ').ok_or_else(|| unreadable("find"))?;
            sizes.insert(path.to_owned(), bytes.parse().map_err(|_| unreadable("find"))?);
        }
        let digests = self.digests(self.root, sizes.keys()).await?;
        let file = |(path, bytes): (String, u64)| {
            let digest = *digests.get(&path).ok_or_else(|| unreadable("sha256sum"))?;
            Ok((path, AssetFile { digest, bytes }))
        };
        sizes.into_iter().map(file).collect()
    }

    /// What content the files at `paths` below `directory` have.
    async fn digests(
        &self,
        directory: &HostPath,
        paths: impl Iterator<Item = &String> + Send,
    ) -> Result<BTreeMap<String, Digest>, StepError> {
        let prefix = format!("{directory}/");
        let whole: Vec<String> = paths.map(|path| format!("{prefix}{path}")).collect();
        let mut digests = BTreeMap::new();
        for batch in batches(&whole) {
            let argv = ["sha256sum", "--zero", "--"].into_iter().chain(batch.iter().map(String::as_str));
            let found = query(self.host, argv).await?;
            for entry in text(&found)?.split_terminator('\0') {
                let (hex, path) = entry.split_once("  ").ok_or_else(|| unreadable("sha256sum"))?;
                let path = path.strip_prefix(&prefix).ok_or_else(|| unreadable("sha256sum"))?;
                let digest = format!("sha256:{hex}").parse().map_err(|_| unreadable("sha256sum"))?;
                digests.insert(path.to_owned(), digest);
            }
        }
        Ok(digests)
    }

    /// Copies a file into its place.
    pub(crate) async fn put(&self, permit: &Permit, from: &Path, path: &str) -> Result<(), StepError> {
        self.host.copy(permit, from, &self.root.join(path)?).await
    }

    /// Keeps the content of the files at `paths`, which are about to be overwritten.
    pub(crate) async fn keep(
        &self,
        permit: &Permit,
        files: impl Iterator<Item = (&String, &AssetFile)>,
    ) -> Result<(), StepError> {
        let contents: BTreeMap<String, &String> =
            files.map(|(path, file)| (file.digest.hex(), path)).collect();
        let stands: BTreeSet<String> = self.host.list(self.kept).await?.into_iter().collect();
        let new: Vec<_> = contents.into_iter().filter(|(hex, _)| !stands.contains(hex)).collect();
        if new.is_empty() {
            return Ok(());
        }
        run(self.host, permit, None, ["mkdir", "-p", "--", self.kept.as_str()]).await?;
        for (hex, path) in &new {
            self.copy(permit, &self.root.join(path)?, &self.kept.join(hex)?).await?;
        }
        let names: Vec<String> = new.into_iter().map(|(hex, _)| hex).collect();
        let kept = self.digests(self.kept, names.iter()).await?;
        match names.iter().find(|hex| kept.get(*hex).is_none_or(|digest| digest.hex() != **hex)) {
            None => Ok(()),
            Some(hex) => {
                Err(StepError::in_doubt("a file was changed while its content was kept").fact("content", hex))
            }
        }
    }

    /// What of `files` cannot be brought back from kept content, and how badly.
    pub(crate) async fn check_kept(
        &self,
        files: &BTreeMap<&String, &AssetFile>,
    ) -> Result<(Problems, ErrorKind), StepError> {
        let stands: BTreeSet<String> = self.host.list(self.kept).await?.into_iter().collect();
        let wanted: BTreeSet<String> = files.values().map(|file| file.digest.hex()).collect();
        let kept = self.digests(self.kept, wanted.intersection(&stands)).await?;
        let (mut problems, mut worst) = (Problems::default(), ErrorKind::NotFound);
        for (path, file) in files {
            match kept.get(&file.digest.hex()) {
                Some(digest) if *digest == file.digest => {}
                Some(_) => {
                    worst = ErrorKind::Conflict;
                    problems.add(path.as_str(), format!("its kept content {} was changed", file.digest));
                }
                None => problems.add(path.as_str(), format!("its content {} is not kept", file.digest)),
            }
        }
        Ok((problems, worst))
    }

    /// Brings a file back from kept content.
    pub(crate) async fn bring_back(
        &self,
        permit: &Permit,
        path: &str,
        file: &AssetFile,
    ) -> Result<(), StepError> {
        let to = self.root.join(path)?;
        let above = to.as_str().rsplit_once('/').map_or("", |(above, _)| above);
        run(self.host, permit, None, ["mkdir", "-p", "--", above]).await?;
        self.copy(permit, &self.kept.join(&file.digest.hex())?, &to).await
    }

    /// Removes a file.
    pub(crate) async fn remove(&self, permit: &Permit, path: &str) -> Result<(), StepError> {
        self.host.remove(permit, &self.root.join(path)?).await
    }

    /// Copies one file of the host over another, whole or not at all, and durably.
    async fn copy(&self, permit: &Permit, from: &HostPath, to: &HostPath) -> Result<(), StepError> {
        let beside = self.kept.join(".new")?;
        let copy =
            ["cp", "-T", "--remove-destination", "--reflink=auto", "--", from.as_str(), beside.as_str()];
        run(self.host, permit, None, copy).await?;
        run(self.host, permit, None, ["sync", beside.as_str()]).await?;
        run(self.host, permit, None, ["mv", "-f", "-T", "--", beside.as_str(), to.as_str()]).await
    }
}

/// Paths in parts that a command takes, also one that goes through a remote shell as one line.
fn batches(paths: &[String]) -> Vec<&[String]> {
    let mut batches = Vec::new();
    let mut left = paths;
    while !left.is_empty() {
        let mut bytes = 0;
        let fits = left.iter().take_while(|path| {
            bytes += path.len() + 1;
            bytes <= BATCH
        });
        let (batch, rest) = left.split_at(fits.count().max(1));
        batches.push(batch);
        left = rest;
    }
    batches
}

fn text(output: &[u8]) -> Result<&str, StepError> {
    std::str::from_utf8(output)
        .map_err(|error| StepError::new(ErrorKind::Invalid, "a name on the site is not UTF-8").because(error))
}

fn unreadable(program: &'static str) -> StepError {
    StepError::new(ErrorKind::Conflict, "the host answers otherwise than its program does")
        .fact("program", program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_given_to_commands_in_parts_that_lose_none() {
        let paths: Vec<String> = (0..5_000).map(|number| format!("site/assets/{number}")).collect();
        let batches = batches(&paths);
        assert!(batches.len() > 1);
        assert!(batches.iter().all(|batch| batch.iter().map(|path| path.len() + 1).sum::<usize>() <= BATCH));
        assert_eq!(batches.concat(), paths);
    }
}
