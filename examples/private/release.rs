use std::fs;
use std::path::{Path, PathBuf};

use flow_proving::Outside;
use flow_proving::app::{Behaviour, SOURCE};

/// How the application reads what it is told.
const TOLD: &str = "JSON.parse(fs.readFileSync(path.join(__dirname, 'app.json'), 'utf8'))";

/// Writes a release of the application below `directory`, one file that holds its behaviour as well, and gives its path.
///
/// # Errors
/// Where it cannot be written.
pub fn release(directory: &Path, behaviour: &Behaviour) -> Outside<PathBuf> {
    if !SOURCE.contains(TOLD) {
        return Err("the application reads its behaviour in another way".into());
    }
    let source = SOURCE.replace(TOLD, &serde_json::to_string(behaviour)?);
    let script = directory.join(&behaviour.version).join("app.js");
    fs::create_dir_all(directory.join(&behaviour.version))?;
    fs::write(&script, source)?;
    Ok(script)
}

/// Makes a release crash at boot from its `nth` boot on, counted from 1 over all machines in the file `boots`.
///
/// # Errors
/// Where it cannot be written.
pub fn crash_from_boot(script: &Path, nth: u32, boots: &Path) -> Outside<()> {
    let boots = serde_json::to_string(boots)?;
    let crash = format!(
        "require('fs').appendFileSync({boots}, '.');\n\
         if (require('fs').readFileSync({boots}).length >= {nth}) throw new Error('told to crash at boot');\n"
    );
    let source = fs::read_to_string(script)?;
    // Behind the directive and the comments before it.
    fs::write(script, source.replacen("'use strict';\n", &format!("'use strict';\n{crash}"), 1))?;
    Ok(())
}

/// Where `node` is, which runs the application.
///
/// # Errors
/// Where it is not on the path.
pub fn node() -> Outside<PathBuf> {
    flow_proving::find("node")
}
