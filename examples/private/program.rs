use std::io;
use std::path::PathBuf;

/// As the suite compiles its tests: so nothing is compiled a second time for an example.
const AS_THE_SUITE: [&str; 4] =
    ["--locked", "--workspace", "--features", "flow-testkit/mockall,flow-testkit/cloud,flow-local/age"];

/// Builds the example `name` and gives its program, for a test: `cargo test` of one target builds no examples. Whoever runs it while
/// somebody may build it anew takes a copy.
///
/// # Errors
/// Where cargo cannot be run or refuses.
pub fn program(name: &str) -> io::Result<PathBuf> {
    let status =
        flow_proving::cargo().args(["build", "--quiet", "--example", name]).args(AS_THE_SUITE).status()?;
    if !status.success() {
        return Err(io::Error::other(format!("the example `{name}` was not built: {status}")));
    }
    // Tests stand in a directory beside the one of the examples.
    let test = std::env::current_exe()?;
    let profile =
        test.ancestors().nth(2).ok_or_else(|| io::Error::other("a test without a target directory"))?;
    Ok(profile.join("examples").join(name))
}
