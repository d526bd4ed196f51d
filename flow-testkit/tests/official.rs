//! Clients that nobody here wrote, against the fake cloud: Tencent's own command line and libraries, whole deployments and refusals.
//!
//! `cargo xtask test` installs them; a client that is absent fails its test.

#![cfg(feature = "cloud")]

use std::path::Path;
use std::process::Command;

use flow_proving::{Outside, is_long, newest_kept};
use flow_testkit::cloud::{FakeCloud, FakeCloudConfig, Strictness};

/// Where a script finds its client.
const PYTHON: Client = Client { program: "python3", kept: "tccli-", variable: "PYTHONPATH" };
const NODE: Client = Client { program: "node", kept: "tencentcloud-sdk-nodejs-scf-", variable: "PACKAGES" };

struct Client {
    program: &'static str,
    kept: &'static str,
    variable: &'static str,
}

impl Client {
    /// Runs the script against a cloud of its own: once, and three times in a row in the long tier.
    fn runs(&self, script: &str, address: impl Fn(&FakeCloud) -> Vec<String>) -> Outside<()> {
        let packages = newest_kept(self.kept)?;
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/official").join(script);
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        // As over the control contract, which is all that the scripts use.
        let config = FakeCloudConfig { strictness: Strictness::Lenient, ..FakeCloudConfig::default() };
        let cloud = runtime.block_on(FakeCloud::start(&config))?;
        for run in 0..if is_long() { 3 } else { 1 } {
            let mut command = Command::new(self.program);
            command.arg(&script).args(address(&cloud)).env(self.variable, &packages);
            let ended = command.output()?;
            let told = String::from_utf8_lossy(&ended.stdout);
            let errors = String::from_utf8_lossy(&ended.stderr);
            assert!(ended.status.success() && told.starts_with("ok "), "run {run}: {told}\n{errors}");
            assert!(!cloud.log().is_empty());
        }
        Ok(())
    }
}

#[test]
fn the_command_line_deploys_and_is_refused() -> Outside<()> {
    PYTHON.runs("tccli.py", |cloud| vec![cloud.address().to_string()])
}

#[test]
fn the_python_library_deploys_and_is_refused() -> Outside<()> {
    PYTHON.runs("sdk.py", |cloud| vec![cloud.address().to_string()])
}

#[test]
fn the_python_library_of_object_storage_uploads_lists_deletes_and_is_refused() -> Outside<()> {
    PYTHON.runs("cos.py", |cloud| {
        let address = cloud.address();
        vec![address.ip().to_string(), address.port().to_string()]
    })
}

#[test]
fn the_node_libraries_deploy_and_are_refused() -> Outside<()> {
    NODE.runs("sdk.mjs", |cloud| vec![cloud.address().port().to_string()])
}
