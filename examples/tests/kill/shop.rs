//! One shop below a directory of its own, and the example's program that deploys to it.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// The longest that one process may take, on a machine under load.
const PATIENCE: Duration = Duration::from_secs(180);

/// The example's program: a copy, which nobody rebuilds meanwhile.
pub(crate) fn program(directory: &Path) -> PathBuf {
    let program = directory.join("deploy");
    std::fs::copy(flow_examples::private::program("deploy").unwrap(), &program).unwrap();
    program
}

/// What all shops of one test have in common.
#[derive(Debug, Clone)]
pub(crate) struct Works {
    pub(crate) program: PathBuf,
    pub(crate) directory: PathBuf,
}

impl Works {
    /// A shop with 1.0.0 in staging, over `data`.
    pub(crate) fn shop(&self, name: &str, data: &str) -> Shop {
        let shop = Shop { works: self.clone(), root: self.directory.join(name) };
        let status = shop.run(&["setup", shop.root(), data]);
        assert!(status.success(), "{}", shop.log());
        shop
    }

    /// Builds every release once: whoever deploys it later finds it, and taking it back does not remove it.
    pub(crate) fn build(&self) {
        let shop = self.shop("builder", "staging");
        for version in ["1.1.0", "1.2.0"] {
            assert_eq!(shop.run(&["release", shop.root(), version]).code(), Some(0), "{}", shop.log());
        }
    }
}

#[derive(Debug)]
pub(crate) struct Shop {
    pub(crate) works: Works,
    pub(crate) root: PathBuf,
}

impl Shop {
    pub(crate) fn run(&self, words: &[&str]) -> ExitStatus {
        let log =
            std::fs::File::options().create(true).append(true).open(self.root.with_extension("log")).unwrap();
        let mut child = Command::new(&self.works.program)
            .args(words)
            .arg("--releases")
            .arg(self.works.directory.join("releases"))
            .args(["--bake", "50", "--ttl", "3000"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let begun = Instant::now();
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if begun.elapsed() > PATIENCE {
                child.kill().unwrap();
                panic!("{words:?} is not over after {PATIENCE:?}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn root(&self) -> &str {
        self.root.to_str().unwrap()
    }

    pub(crate) fn staging(&self, path: &str) -> PathBuf {
        self.root.join("staging").join(path)
    }

    /// What the processes of this shop complained about, last.
    pub(crate) fn log(&self) -> String {
        let log = std::fs::read_to_string(self.root.with_extension("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.iter().rev().take(5).rev().copied().collect::<Vec<_>>().join("\n")
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        let ended = Command::new(&self.works.program).args(["takedown", self.root()]).status();
        assert!(std::thread::panicking() || ended.unwrap().success(), "processes are left");
    }
}
