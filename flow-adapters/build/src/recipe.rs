//! A checked build: commands with their placeholders parsed, and the digest that names them.

use std::collections::BTreeMap;
use std::fmt;

use flow_core::port::HostPath;
use flow_core::{Digest, Name, Problems};
use serde_json::{Map, Value, json};

use crate::config::{CommandConfig, check_path, check_surroundings};

/// Variables that load foreign code into every program, or that have a field of their own.
const REFUSED_VARIABLES: [&str; 5] =
    ["PATH", "LD_PRELOAD", "LD_AUDIT", "DYLD_INSERT_LIBRARIES", "NODE_OPTIONS"];

/// A build whose every part was checked.
#[derive(Clone)]
pub(crate) struct Recipe {
    commands: Vec<Vec<Template>>,
    env: BTreeMap<String, Template>,
    artifacts: BTreeMap<Name, HostPath>,
    definition: Definition,
    digest: Digest,
}

/// What a build is, for fingerprints and for finding an earlier one.
#[derive(Debug, Clone)]
struct Definition {
    commands: Vec<Vec<String>>,
    // Digests, because a definition is journaled and a value may be secret.
    env: BTreeMap<String, Digest>,
    artifacts: BTreeMap<Name, String>,
    search_path: String,
}

impl Recipe {
    pub(crate) fn new(config: &CommandConfig) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let commands = read_commands(&mut problems, &config.commands);
        let env = read_env(&mut problems, &config.env);
        let artifacts = read_artifacts(&mut problems, &config.artifacts);
        let mentions_out = commands.iter().flatten().chain(env.values()).any(Template::mentions_out);
        problems.check(
            mentions_out || config.commands.is_empty(),
            "commands",
            "must mention `{out}`, or no artefact can appear there",
        );
        check_path(&mut problems, "releases", &config.releases);
        check_surroundings(&mut problems, &config.search_path, config.timeout);
        problems.check(config.limits.bytes > 0, "limits.bytes", "must be more than zero");
        problems.check(config.limits.entries > 0, "limits.entries", "must be more than zero");
        problems.into_result()?;

        let pin = |(name, value): (&String, &String)| {
            (name.clone(), Digest::of(format!("{name}\0{value}").as_bytes()))
        };
        let definition = Definition {
            commands: config.commands.clone(),
            env: config.env.iter().map(pin).collect(),
            artifacts: config.artifacts.clone(),
            search_path: config.search_path.clone(),
        };
        let digest = Digest::of(definition.to_json().to_string().as_bytes());
        Ok(Self { commands, env, artifacts, definition, digest })
    }

    /// The definition as JSON.
    pub(crate) fn definition(&self) -> Value {
        self.definition.to_json()
    }

    /// The digest of the definition.
    pub(crate) const fn digest(&self) -> Digest {
        self.digest
    }

    /// The artefacts' paths below the out directory, by name.
    pub(crate) const fn artifacts(&self) -> &BTreeMap<Name, HostPath> {
        &self.artifacts
    }

    /// The commands as they were written, one a line.
    pub(crate) fn describe(&self) -> Vec<String> {
        self.definition.commands.iter().map(|argv| line(argv)).collect()
    }

    /// The commands with their placeholders filled in, each with the line that describes it.
    pub(crate) fn commands(&self, tree: &str, out: &str) -> Vec<(String, Vec<String>)> {
        let fill = |argv: &Vec<Template>| argv.iter().map(|part| part.fill(tree, out)).collect();
        self.describe().into_iter().zip(self.commands.iter().map(fill)).collect()
    }

    /// The environment with its placeholders filled in.
    pub(crate) fn env(&self, tree: &str, out: &str) -> BTreeMap<String, String> {
        self.env.iter().map(|(name, value)| (name.clone(), value.fill(tree, out))).collect()
    }
}

impl Definition {
    fn to_json(&self) -> Value {
        // Every map is ordered, so the text, and with it the digest, is the same each time.
        let paths: Map<String, Value> =
            self.artifacts.iter().map(|(name, path)| (name.to_string(), path.as_str().into())).collect();
        let values: Map<String, Value> =
            self.env.iter().map(|(name, digest)| (name.clone(), digest.to_string().into())).collect();
        json!({ "artifacts": paths, "commands": self.commands, "env": values, "search_path": self.search_path })
    }
}

impl fmt::Debug for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The definition has no value of the environment; the parsed templates have all of them.
        f.debug_struct("Recipe").field("definition", &self.definition).finish_non_exhaustive()
    }
}

/// A text with placeholders.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Tree,
    Out,
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, from_brace) = rest.split_at(at);
            literal.push_str(before);
            if let Some(after) = from_brace.strip_prefix("{{") {
                literal.push('{');
                rest = after;
            } else if let Some(after) = from_brace.strip_prefix("}}") {
                literal.push('}');
                rest = after;
            } else {
                let (part, after) = placeholder(from_brace)?;
                parts.push(Part::Text(std::mem::take(&mut literal)));
                parts.push(part);
                rest = after;
            }
        }
        literal.push_str(rest);
        parts.push(Part::Text(literal));
        parts.retain(|part| !matches!(part, Part::Text(text) if text.is_empty()));
        Ok(Self(parts))
    }

    fn fill(&self, tree: &str, out: &str) -> String {
        let text = |part: &Part| match part {
            Part::Text(text) => text.clone(),
            Part::Tree => tree.to_owned(),
            Part::Out => out.to_owned(),
        };
        self.0.iter().map(text).collect()
    }

    fn mentions_out(&self) -> bool {
        self.0.contains(&Part::Out)
    }

    /// Whether this names a program: a plain name to look up, or a path that no working directory changes.
    fn names_program(&self) -> bool {
        match self.0.as_slice() {
            [Part::Text(text)] if text.contains('/') => text.starts_with('/'),
            [Part::Text(text)] => !text.starts_with('-'),
            [Part::Tree | Part::Out, Part::Text(text), ..] => text.starts_with('/') && text.len() > 1,
            _ => false,
        }
    }
}

fn placeholder(from_brace: &str) -> Result<(Part, &str), String> {
    if let Some(after) = from_brace.strip_prefix("{tree}") {
        return Ok((Part::Tree, after));
    }
    if let Some(after) = from_brace.strip_prefix("{out}") {
        return Ok((Part::Out, after));
    }
    let end = from_brace.find('}').filter(|_| from_brace.starts_with('{'));
    Err(match end.and_then(|end| from_brace.get(..=end)) {
        Some(unknown) => {
            format!("has the unknown placeholder `{unknown}`; only `{{tree}}` and `{{out}}` exist")
        }
        None => "has a single brace; a literal one is written twice".to_owned(),
    })
}

fn read(problems: &mut Problems, field: &str, text: &str) -> Option<Template> {
    problems.check(!text.contains('\0'), field, "must not hold a zero byte");
    Template::parse(text).map_err(|problem| problems.add(field, problem)).ok()
}

fn read_commands(problems: &mut Problems, commands: &[Vec<String>]) -> Vec<Vec<Template>> {
    problems.check(!commands.is_empty(), "commands", "must hold at least one command");
    let mut checked = Vec::new();
    for (number, argv) in commands.iter().enumerate() {
        problems.check(!argv.is_empty(), &format!("commands[{number}]"), "must name a program");
        let mut parts = Vec::new();
        for (place, text) in argv.iter().enumerate() {
            let field = format!("commands[{number}][{place}]");
            let Some(part) = read(problems, &field, text) else { continue };
            problems.check(
                place > 0 || part.names_program(),
                &field,
                "must be a program's plain name, an absolute path, or begin with `{tree}/` or `{out}/`",
            );
            parts.push(part);
        }
        checked.push(parts);
    }
    checked
}

fn read_env(problems: &mut Problems, env: &BTreeMap<String, String>) -> BTreeMap<String, Template> {
    let mut checked = BTreeMap::new();
    for (name, value) in env {
        let field = format!("env.{name}");
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_name =
            name.bytes().all(is_word) && name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
        problems.check(is_name, &field, "must be named by letters, digits and `_`");
        problems.check(!REFUSED_VARIABLES.contains(&name.as_str()), &field, "must not be set here");
        if let Some(value) = read(problems, &field, value) {
            checked.insert(name.clone(), value);
        }
    }
    checked
}

fn read_artifacts(problems: &mut Problems, artifacts: &BTreeMap<Name, String>) -> BTreeMap<Name, HostPath> {
    problems.check(!artifacts.is_empty(), "artifacts", "must name at least one artefact");
    let mut checked = BTreeMap::new();
    for (name, path) in artifacts {
        let field = format!("artifacts.{name}");
        problems.check(
            !path.contains(['{', '}']),
            &field,
            "takes no placeholder: it is a path below `{out}` already",
        );
        match HostPath::new(path.clone()) {
            Ok(path) => drop(checked.insert(name.clone(), path)),
            Err(error) => problems.add(field, error.to_string()),
        }
    }
    checked
}

/// An argument list as one line for people.
fn line(argv: &[String]) -> String {
    let is_plain = |text: &str| {
        let plain = |c: char| c.is_alphanumeric() || "-_=./:,+@%{}".contains(c);
        !text.is_empty() && text.chars().all(plain)
    };
    let quote = |text: &String| if is_plain(text) { text.clone() } else { format!("{text:?}") };
    argv.iter().map(quote).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flow_core::name;

    fn good() -> CommandConfig {
        CommandConfig::new("/srv/releases")
            .command(["make", "DIR={out}", "-C", "{tree}/app"])
            .artifact(name!("app"), "bin/app")
    }

    #[test]
    fn placeholders_are_filled_and_doubled_braces_are_literal() {
        let fill = |text: &str| Template::parse(text).map(|template| template.fill("/t", "/o"));
        assert_eq!(fill("a{tree}/b={out}{out}"), Ok("a/t/b=/o/o".to_owned()));
        assert_eq!(fill("{{tree}} }}{{"), Ok("{tree} }{".to_owned()));
        assert_eq!(fill("{{{out}}}"), Ok("{/o}".to_owned()));
        for bad in ["{", "}", "{tree", "tree}", "{Tree}", "{}", "{ out }", "a{b}c"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_problem_of_a_build_is_named_at_once() {
        let mut config = CommandConfig::new("releases")
            .command(["./build.sh", "{nope}"])
            .command(Vec::<String>::new())
            .command(["-x"])
            .env("LD_PRELOAD", "x.so")
            .env("1A", "{")
            .artifact(name!("up"), "../up")
            .artifact(name!("root"), "/etc/passwd")
            .artifact(name!("braces"), "{out}/app");
        config.search_path = "bin::/usr/bin".to_owned();
        config.timeout = std::time::Duration::ZERO;
        config.limits.bytes = 0;
        let problems = Recipe::new(&config).unwrap_err();
        let mut fields: Vec<&str> =
            problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "artifacts.braces",
                "artifacts.root",
                "artifacts.up",
                "commands",
                "commands[0][0]",
                "commands[0][1]",
                "commands[1]",
                "commands[2][0]",
                "env.1A",
                "env.1A",
                "env.LD_PRELOAD",
                "limits.bytes",
                "releases",
                "search_path",
                "timeout",
            ]
        );
    }

    #[test]
    fn a_definition_shows_no_value_of_the_environment_and_changes_with_it() {
        let one = Recipe::new(&good().env("TOKEN", "hunter2")).unwrap();
        let two = Recipe::new(&good().env("TOKEN", "hunter3")).unwrap();
        assert!(!one.definition().to_string().contains("hunter2"));
        assert!(!format!("{:?}", good().env("TOKEN", "hunter2")).contains("hunter2"));
        assert_ne!(one.digest(), two.digest());
        assert_eq!(one.digest(), Recipe::new(&good().env("TOKEN", "hunter2")).unwrap().digest());
    }

    #[test]
    fn a_description_shows_placeholders_as_written() {
        let recipe = Recipe::new(&good().command(["echo", "two words", ""])).unwrap();
        assert_eq!(recipe.describe(), ["make DIR={out} -C {tree}/app", "echo \"two words\" \"\""]);
    }
}
