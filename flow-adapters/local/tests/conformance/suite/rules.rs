use std::collections::BTreeMap;
use std::path::PathBuf;

use async_trait::async_trait;
use flow_core::port::AlertRules;
use flow_local::store::RuleFiles;
use flow_testkit::conformance::rules::RulesFixture;
use flow_testkit::conformance::{Checked, Outside};
use tempfile::TempDir;

use super::{files, obstruct};

struct Files {
    rules: RuleFiles,
    root: PathBuf,
    _directory: TempDir,
}

#[async_trait]
impl RulesFixture for Files {
    fn rules(&self) -> &dyn AlertRules {
        &self.rules
    }

    async fn in_force(&self) -> Outside<BTreeMap<String, String>> {
        let set = |(file, rules): (String, Vec<u8>)| {
            let name = file.strip_suffix(".rules.yml").unwrap_or(&file).to_owned();
            Ok((name, String::from_utf8(rules)?))
        };
        files(&self.root).into_iter().map(set).collect()
    }

    async fn obstruct(&self) -> Checked {
        obstruct(&self.root);
        Ok(())
    }
}

async fn fresh() -> Files {
    let directory = TempDir::new().unwrap();
    let root = directory.path().join("prometheus/rules");
    Files { rules: RuleFiles::new(&root), root, _directory: directory }
}

flow_testkit::rules_conformance!(fresh);
