use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use flow_core::{Clock, ErrorKind, Problems, StepError};
use serde_json::Value;

use super::model::Ecosystem;
use crate::client::{Command, CommandError, run};

/// The largest ecosystem file, in bytes.
const LARGEST: usize = 1024 * 1024;
/// How deeply its lists and mappings may nest.
const DEEPEST: usize = 64;
/// What ends a comment of JSON5.
const LINE_ENDS: [char; 4] = ['\n', '\r', '\u{2028}', '\u{2029}'];
/// What the evaluated script's own output is told from the result by.
const MARK: char = '\u{1e}';
/// Loads modules of both kinds. The path is an argument and never part of the code.
const LOAD: &str = "import(require('url').pathToFileURL(process.argv[1])).then(m => process.stdout.write('\\u001e' + JSON.stringify(m.default ?? m)))";

/// How an ecosystem file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notation {
    /// JSON and JSON5: with comments, trailing commas and names without quotes.
    Json,
    /// YAML.
    Yaml,
}

/// A script that is an ecosystem file, and what may run it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evaluation {
    /// Node.
    pub node: PathBuf,
    /// The script, `.js`, `.cjs` or `.mjs`, an absolute path.
    pub script: PathBuf,
    /// The whole environment that the script may read.
    pub env: BTreeMap<String, String>,
    /// How long it may take.
    pub timeout: Duration,
}

/// Why an ecosystem file gives nothing. No text shows what stands in it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EcosystemError {
    /// It is too large.
    #[error("the ecosystem file is larger than {LARGEST} bytes")]
    TooLarge,
    /// Its lists and mappings nest too deeply.
    #[error("the ecosystem file nests more deeply than {DEEPEST}")]
    TooDeep,
    /// It is not written in its notation.
    #[error("the ecosystem file cannot be read: {0}")]
    Syntax(String),
    /// The script gave nothing.
    #[error("the ecosystem script cannot be evaluated")]
    Script(#[source] CommandError),
    /// What it says is no ecosystem.
    #[error("the ecosystem file is invalid")]
    Invalid(#[source] Problems),
}

impl From<EcosystemError> for StepError {
    fn from(error: EcosystemError) -> Self {
        let kind = match &error {
            EcosystemError::Script(_) => ErrorKind::Failed,
            _ => ErrorKind::Invalid,
        };
        Self::new(kind, "the ecosystem file gives nothing").because(error)
    }
}

impl Ecosystem {
    /// Reads a file's text. Nothing of it is run.
    ///
    /// # Errors
    /// [`EcosystemError`], with every problem by its field's name.
    pub fn parse(text: &str, notation: Notation) -> Result<Self, EcosystemError> {
        if text.len() > LARGEST {
            return Err(EcosystemError::TooLarge);
        }
        let root = match notation {
            Notation::Json => {
                // The parser's own calls nest as the text does.
                check_depth(text)?;
                json5::from_str(text).map_err(|error| EcosystemError::Syntax(error.to_string()))?
            }
            Notation::Yaml => {
                let options = serde_saphyr::options! { with_snippet: false };
                serde_saphyr::from_str_with_options(text, options)
                    .map_err(|error| EcosystemError::Syntax(error.to_string()))?
            }
        };
        Self::read(root).map_err(EcosystemError::Invalid)
    }

    /// Runs a script with Node, as an argument and without a shell, and reads what it exports. It gets the environment that `evaluation`
    /// gives and no other, and is ended with all its children when its time is over, when it writes more than 1 MiB and when the future
    /// is dropped. It can do whatever its user can.
    ///
    /// # Errors
    /// [`EcosystemError`].
    pub async fn evaluate(clock: &dyn Clock, evaluation: &Evaluation) -> Result<Self, EcosystemError> {
        let mut problems = Problems::default();
        problems.check(evaluation.node.is_absolute(), "node", "must be an absolute path");
        problems.check(evaluation.script.is_absolute(), "script", "must be an absolute path");
        problems.into_result().map_err(EcosystemError::Invalid)?;
        let load = Command {
            program: &evaluation.node,
            args: vec!["-e".into(), LOAD.into(), evaluation.script.clone()],
            env: evaluation.env.clone(),
            directory: evaluation.script.parent().unwrap_or(&evaluation.script),
            timeout: evaluation.timeout,
            output: LARGEST as u64,
        };
        let output = run(clock, load).await.map_err(EcosystemError::Script)?;
        let written = String::from_utf8_lossy(&output);
        let result = written.rsplit_once(MARK).map_or("", |(_, result)| result);
        let root: Value = serde_json::from_str(result)
            .map_err(|_| EcosystemError::Syntax("the script exports no data".to_owned()))?;
        Self::read(root).map_err(EcosystemError::Invalid)
    }
}

/// Finds the deepest nesting, as JSON5 sees it: brackets in texts and comments are none.
fn check_depth(text: &str) -> Result<(), EcosystemError> {
    let mut depth = 0_usize;
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            '"' | '\'' => {
                while let Some(within) = chars.next() {
                    if within == '\\' {
                        chars.next();
                    } else if within == next {
                        break;
                    }
                }
            }
            '/' if chars.next_if_eq(&'/').is_some() => {
                while chars.next_if(|within| !LINE_ENDS.contains(within)).is_some() {}
            }
            '/' if chars.next_if_eq(&'*').is_some() => {
                while let Some(within) = chars.next() {
                    if within == '*' && chars.next_if_eq(&'/').is_some() {
                        break;
                    }
                }
            }
            '[' | '{' => depth += 1,
            ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST {
            return Err(EcosystemError::TooDeep);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ecosystem::{EcosystemMode, Hook, HookName, Instances};

    const JSON: &str = r#"
        // PM2 takes comments and trailing commas.
        {
          apps: [{
            name: "web", script: './app.js', args: "--port 80", instances: -1, exec_mode: "cluster", cwd: "/srv",
            env: { TOKEN: "hunter2", PORT: 3000, DEBUG: true }, env_production: { NODE_ENV: "production" },
            kill_timeout: 3000, wait_ready: true, watch: true, max_memory_restart: "1G",
          },],
          deploy: { production: {
            user: "node", host: ["one", "two"], ref: "origin/master", repo: "git@host:repo.git", path: "/srv/app",
            ssh_options: "ForwardAgent=yes", "post-deploy": "npm ci && pm2 reload all", "pre-deploy-local": "echo $HOME",
            env: { TOKEN: "hunter2" }, colour: 1,
          } },
          comment: 1,
        }"#;

    const YAML: &str = r#"
apps:
  - name: web
    script: ./app.js
    args: ["--port", 80]
    instances: max
    env: { TOKEN: hunter2 }
deploy: {}
"#;

    #[test]
    fn a_json5_file_is_read_and_what_is_left_of_it_is_said() {
        let read = Ecosystem::parse(JSON, Notation::Json).unwrap();
        let [app] = read.apps.as_slice() else { panic!("{read:?}") };
        assert_eq!((app.name.as_deref(), app.script.as_str()), (Some("web"), "./app.js"));
        assert_eq!(app.args, ["--port", "80"]);
        assert_eq!((app.instances, app.mode), (Some(Instances::AllBut(1)), Some(EcosystemMode::Cluster)));
        assert_eq!((app.env["PORT"].as_str(), app.env["DEBUG"].as_str()), ("3000", "true"));
        assert_eq!(app.env_of["production"]["NODE_ENV"], "production");
        assert_eq!(app.kill_timeout, Some(Duration::from_secs(3)));
        let deploy = &read.deploy["production"];
        assert_eq!(deploy.hosts, ["one", "two"]);
        assert_eq!(deploy.ssh_options, ["ForwardAgent=yes"]);
        assert!(
            matches!(&deploy.hooks[&HookName::PostDeploy], Hook::Commands(commands) if commands.len() == 2)
        );
        assert!(
            matches!(&deploy.hooks[&HookName::PreDeployLocal], Hook::Shell { needs, .. } if needs == &["$"])
        );
        let mut left = read.left.clone();
        left.sort();
        assert_eq!(
            left,
            ["apps.0.max_memory_restart", "apps.0.watch", "comment", "deploy.production.colour"]
        );
        assert!(!format!("{read:?} {read:#?}").contains("hunter2"));
    }

    #[test]
    fn a_yaml_file_is_read() {
        let read = Ecosystem::parse(YAML, Notation::Yaml).unwrap();
        assert_eq!(read.apps[0].args, ["--port", "80"]);
        assert_eq!(read.apps[0].instances, Some(Instances::Max));
        assert!(read.left.is_empty() && read.deploy.is_empty());
    }

    #[test]
    fn a_list_and_a_single_app_are_files_too() {
        for text in [
            "[{ script: 'a.js' }]",
            "{ script: 'a.js' }",
            "{ apps: { script: 'a.js' } }",
            "{ pm2: [{ exec: 'a.js' }] }",
        ] {
            assert_eq!(Ecosystem::parse(text, Notation::Json).unwrap().apps[0].script, "a.js", "{text}");
        }
    }

    #[test]
    fn everything_wrong_is_said_at_once_and_no_value_is_shown() {
        let text = r#"{ apps: [{ name: {}, args: "a 'hunter2'", instances: "hunter2", exec_mode: "hunter2", env: { TOKEN: ["hunter2"] }, kill_timeout: "hunter2" }, 7],
            deploy: { production: { host: [], ref: "--upload-pack=hunter2", repo: "", path: 1, port: "hunter2", ssh_options: [1] } } }"#;
        let EcosystemError::Invalid(problems) = Ecosystem::parse(text, Notation::Json).unwrap_err() else {
            panic!("not invalid")
        };
        let text = problems.to_string();
        for field in [
            "apps.0.name",
            "apps.0.script",
            "apps.0.args",
            "apps.0.instances",
            "apps.0.exec_mode",
            "apps.0.env.TOKEN",
            "apps.0.kill_timeout",
            "apps.1",
            "deploy.production.host",
            "deploy.production.ref",
            "deploy.production.repo",
            "deploy.production.port",
            "deploy.production.ssh_options",
        ] {
            assert!(text.contains(&format!("`{field}`")), "{field} is not in {text}");
        }
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_file_that_would_exhaust_its_reader_is_refused() {
        let deep = "[".repeat(100_000);
        // Brackets in texts and comments do not hide those outside.
        let hidden = "[\"]\", ']', /*]*/ //]\n".repeat(10_000);
        let escaped = r#"["\"]", "#.repeat(10_000);
        for text in [deep, hidden, escaped] {
            assert!(matches!(Ecosystem::parse(&text, Notation::Json), Err(EcosystemError::TooDeep)));
        }
        let flat = format!("{{ apps: [{{ script: 'a.js', args: ['{}'] }}] }}", "[".repeat(1000));
        assert!(Ecosystem::parse(&flat, Notation::Json).is_ok());
        let yaml = "[".repeat(100_000);
        assert!(matches!(Ecosystem::parse(&yaml, Notation::Yaml), Err(EcosystemError::Syntax(_))));
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e]\ng: [*f,*f,*f,*f,*f,*f,*f,*f]\n";
        assert!(matches!(Ecosystem::parse(bomb, Notation::Yaml), Err(EcosystemError::Syntax(_))));
        let large = " ".repeat(LARGEST + 1);
        assert!(matches!(Ecosystem::parse(&large, Notation::Json), Err(EcosystemError::TooLarge)));
    }
}
