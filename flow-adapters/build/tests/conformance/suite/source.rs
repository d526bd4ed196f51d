use std::fs;
use std::path::Path;

use async_trait::async_trait;
use flow_build::GitSource;
use flow_core::port::Source;
use flow_testkit::conformance::Outside;
use flow_testkit::conformance::source::{Files, SourceFixture};

use crate::fixture::Fixture;

struct Repository {
    fixture: Fixture,
    source: GitSource,
}

async fn fresh() -> Repository {
    let fixture = Fixture::new();
    Repository { source: fixture.source(), fixture }
}

/// Adds the files below `directory` to `files`, each by its path below `root`.
fn collect(root: &Path, directory: &Path, files: &mut Files) -> Outside<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(root, &path, files)?;
        } else {
            let below = path.strip_prefix(root)?.to_str().ok_or("the path is not UTF-8")?;
            files.insert(below.to_owned(), fs::read(&path)?);
        }
    }
    Ok(())
}

#[async_trait]
impl SourceFixture for Repository {
    fn source(&self) -> &dyn Source {
        &self.source
    }

    async fn commit(&self, tag: &str, files: &Files) -> Outside<String> {
        let root = self.fixture.repository();
        for entry in fs::read_dir(&root)? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with(".git") {
                fs::remove_dir_all(path)?;
            } else if path.is_file() {
                fs::remove_file(path)?;
            }
        }
        for (path, content) in files {
            let path = root.join(path);
            fs::create_dir_all(path.parent().ok_or("the path has no parent")?)?;
            fs::write(path, content)?;
        }
        self.fixture.git(&["add", "--all"]);
        self.fixture.git(&["commit", "--quiet", "--allow-empty", "--message", tag]);
        self.fixture.git(&["tag", "--force", tag]);
        Ok(self.fixture.git(&["rev-parse", "HEAD"]).trim().to_owned())
    }

    async fn soil(&self) -> Outside<()> {
        Ok(fs::write(self.fixture.repository().join("main.txt"), "edited by hand\n")?)
    }

    async fn tree(&self, tree: &Path) -> Outside<Option<Files>> {
        let mut files = Files::new();
        if !tree.exists() {
            return Ok(None);
        }
        collect(tree, tree, &mut files)?;
        Ok(Some(files))
    }

    async fn edit(&self, tree: &Path) -> Outside<()> {
        Ok(fs::write(tree.join("main.txt"), "edited by hand\n")?)
    }
}

flow_testkit::source_conformance!(fresh);
