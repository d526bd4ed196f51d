use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use flow_build::{CommandBuilder, CommandConfig};
use flow_core::port::{Builder, SourceVersion};
use flow_core::{Artifact, SystemClock};
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::builder::{APP, BuilderFixture, LIB, Tree};
use tempfile::TempDir;

use crate::fixture::{directory, set_mode};

struct Bench {
    root: TempDir,
    builder: CommandBuilder,
}

impl Bench {
    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }
}

async fn fresh() -> Bench {
    let root = directory();
    let count = root.path().join("count");
    let script = format!(
        "echo built >> {}; test -e app || {{ echo no app here; exit 1; }}; cp app lib $OUT",
        count.display()
    );
    // A brace is written twice where it is none of a place that the builder fills.
    let script = script.replace('{', "{{").replace('}', "}}");
    let config = CommandConfig::new(root.path().join("releases"))
        .command(["sh", "-euc", &script])
        .env("OUT", "{out}")
        .artifact(APP, "app")
        .artifact(LIB, "lib");
    let builder = CommandBuilder::new(config, Arc::new(SystemClock::new())).unwrap();
    Bench { root, builder }
}

/// Where a release stands: the directory of its digest.
fn home(artifact: &Artifact) -> &Path {
    artifact.path.parent().unwrap()
}

#[async_trait]
impl BuilderFixture for Bench {
    fn builder(&self) -> &dyn Builder {
        &self.builder
    }

    async fn check_out(&self, commit: &str, tree: Tree) -> Outside<SourceVersion> {
        let place = self.path(commit);
        if tree != Tree::Absent {
            fs::create_dir(&place)?;
        }
        if let Tree::Files { app, lib } = tree {
            fs::write(place.join("app"), app)?;
            fs::write(place.join("lib"), lib)?;
        }
        Ok(SourceVersion { commit: commit.to_owned(), tag: format!("v-{commit}"), tree: place })
    }

    async fn content(&self, artifact: &Artifact) -> Outside<Option<Vec<u8>>> {
        Ok(if artifact.path.exists() { Some(fs::read(&artifact.path)?) } else { None })
    }

    async fn lose(&self, artifact: &Artifact) -> Outside<()> {
        set_mode(home(artifact), 0o755);
        Ok(fs::remove_file(&artifact.path)?)
    }

    async fn runs(&self) -> Outside<u32> {
        let count = self.path("count");
        Ok(if count.exists() { fs::read_to_string(count)?.lines().count().try_into()? } else { 0 })
    }
}

flow_testkit::builder_conformance!(fresh);
