//! Ecosystem files are data: nothing in one runs unless it is a script that was given to Node on purpose.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use flow_core::SystemClock;
use flow_pm2::CommandError;
use flow_pm2::ecosystem::{Ecosystem, EcosystemError, Evaluation, Notation};
use flow_proving::{Directory, Outside};

use super::world::node_path;

fn evaluation(directory: &Directory, name: &str, source: &str) -> Outside<Evaluation> {
    let script = directory.path().join(name);
    fs::write(&script, source)?;
    Ok(Evaluation {
        node: node_path(),
        script,
        env: BTreeMap::from([("STAGE".to_owned(), "blue".to_owned())]),
        timeout: Duration::from_secs(20),
    })
}

#[tokio::test]
async fn a_script_is_evaluated_by_node_with_the_environment_that_it_is_given() -> Outside<()> {
    let directory = Directory::new()?;
    let common = "console.log('noise', '{');\nmodule.exports = { apps: [{ name: process.env.STAGE, script: 'a.js', env: { HOME: String(process.env.HOME) } }] };";
    let module = "export default { apps: [{ name: process.env.STAGE, script: 'a.js', env: { HOME: String(process.env.HOME) } }] };";
    for (name, source) in [("a.config.js", common), ("-e.config.cjs", common), ("a.config.mjs", module)] {
        let evaluation = evaluation(&directory, name, source)?;
        let read = Ecosystem::evaluate(&SystemClock::new(), &evaluation).await?;
        let [app] = read.apps.as_slice() else { return Err("not one app".into()) };
        assert_eq!(app.name.as_deref(), Some("blue"), "{name}");
        assert_eq!(app.env["HOME"], "undefined", "the test's own environment was inherited");
    }
    Ok(())
}

#[tokio::test]
async fn a_script_that_does_not_end_is_ended_with_its_children() -> Outside<()> {
    let directory = Directory::new()?;
    let note = directory.path().join("child");
    let source = format!(
        "const child = require('child_process').spawn('sleep', ['1000']); require('fs').writeFileSync('{}', String(child.pid)); setInterval(() => {{}}, 1000);",
        note.display()
    );
    let mut evaluation = evaluation(&directory, "a.js", &source)?;
    evaluation.env.insert("PATH".to_owned(), "/usr/bin:/bin".to_owned());
    evaluation.timeout = Duration::from_secs(2);
    let begun = Instant::now();
    let ended = Ecosystem::evaluate(&SystemClock::new(), &evaluation).await.unwrap_err();
    assert!(matches!(ended, EcosystemError::Script(CommandError::TimedOut(_))), "{ended:?}");
    assert!(begun.elapsed() < Duration::from_secs(15));
    let child: u32 = fs::read_to_string(note)?.parse()?;
    let gone = async || Ok(flow_proving::table::Process::of(child).is_none().then_some(()));
    flow_proving::until("its child is gone", gone).await
}

#[tokio::test]
async fn a_script_that_fails_or_says_too_much_or_nothing_is_refused() -> Outside<()> {
    let directory = Directory::new()?;
    for (source, wanted) in [
        ("throw new Error('hunter2')", "the program ended with"),
        ("process.stdout.write('x'.repeat(2000000)); module.exports = {}", "more than"),
        ("module.exports = undefined; process.exit(0)", "exports no data"),
        ("module.exports = 7", "must be a list of apps"),
    ] {
        let evaluation = evaluation(&directory, "a.js", source)?;
        let refused = Ecosystem::evaluate(&SystemClock::new(), &evaluation).await.unwrap_err();
        let mut text = refused.to_string();
        let mut cause = std::error::Error::source(&refused);
        while let Some(next) = cause {
            text.push_str(&next.to_string());
            cause = next.source();
        }
        assert!(text.contains(wanted) && !text.contains("hunter2"), "{source}: {text}");
    }
    Ok(())
}

#[test]
fn code_in_a_json_file_is_no_code() -> Outside<()> {
    let directory = Directory::new()?;
    let note = directory.path().join("ran");
    let code = format!("require('fs').writeFileSync('{}', '')", note.display());
    let text = format!("{{ apps: [{{ script: (() => {{ {code}; return 'a.js' }})() }}] }}");
    let refused = Ecosystem::parse(&text, Notation::Json).unwrap_err();
    assert!(matches!(refused, EcosystemError::Syntax(_)), "{refused:?}");
    assert!(!note.exists());
    Ok(())
}
