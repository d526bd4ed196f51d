use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

use super::read::Fields;

/// A block of `deploy`: what `pm2 deploy ENVIRONMENT` would do. `Debug` shows the names of its environment and no value.
#[derive(Clone, PartialEq, Eq)]
pub struct DeployBlock {
    /// The hosts, in the file's order.
    pub hosts: Vec<String>,
    /// The user to log in as.
    pub user: Option<String>,
    /// The port to log in at.
    pub port: Option<u16>,
    /// The file of the key to log in with.
    pub key: Option<String>,
    /// The branch or tag that is deployed.
    pub reference: String,
    /// The Git repository.
    pub repository: String,
    /// The directory on the hosts.
    pub path: String,
    /// Options of `ssh -o`, such as `StrictHostKeyChecking=no`.
    pub ssh_options: Vec<String>,
    /// Whether the agent is forwarded.
    pub forwards_agent: bool,
    /// What the hooks get in their environment.
    pub env: BTreeMap<String, String>,
    /// The hooks that are there.
    pub hooks: BTreeMap<HookName, Hook>,
}

/// When a hook runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HookName {
    /// On each host, before the first set-up.
    PreSetup,
    /// On each host, after the first set-up.
    PostSetup,
    /// On the machine that deploys, before anything else.
    PreDeployLocal,
    /// On each host, before the new code is there.
    PreDeploy,
    /// On each host, when the new code is there.
    PostDeploy,
}

impl HookName {
    const ALL: [(Self, &'static str); 5] = [
        (Self::PreSetup, "pre-setup"),
        (Self::PostSetup, "post-setup"),
        (Self::PreDeployLocal, "pre-deploy-local"),
        (Self::PreDeploy, "pre-deploy"),
        (Self::PostDeploy, "post-deploy"),
    ];
}

/// What a hook does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hook {
    /// Commands, each a program and its arguments, one after another until one fails.
    Commands(Vec<Vec<String>>),
    /// A text that means something to a shell alone. Nothing here runs it.
    Shell {
        /// The text.
        text: String,
        /// What of it needs a shell.
        needs: Vec<String>,
    },
}

impl Hook {
    /// Takes a text apart, if it is no more than words, quotes and `&&`.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match commands(text) {
            Ok(commands) => Self::Commands(commands),
            Err(needs) => Self::Shell { text: text.to_owned(), needs },
        }
    }
}

impl DeployBlock {
    pub(super) fn read(mut fields: Fields<'_>) -> Option<Self> {
        let hosts = match fields.take(&["host"]) {
            Some(Value::String(host)) => vec![host],
            Some(Value::Array(hosts)) => {
                hosts.iter().filter_map(|host| Some(host.as_str()?.to_owned())).collect()
            }
            _ => Vec::new(),
        };
        if hosts.is_empty() {
            fields.problem("host", "must be a host or a list of hosts");
        }
        let mut hooks = BTreeMap::new();
        for (name, field) in HookName::ALL {
            if let Some(text) = fields.text(&[field]).filter(|text| !text.trim().is_empty()) {
                hooks.insert(name, Hook::parse(&text));
            }
        }
        let port = fields.text(&["port"]).map(|port| port.parse::<u16>());
        if let Some(Err(_)) = port {
            fields.problem("port", "must be a port");
        }
        let block = Self {
            user: fields.text(&["user"]),
            port: port.and_then(Result::ok),
            key: fields.text(&["key"]),
            ssh_options: options(&mut fields),
            forwards_agent: fields
                .text(&["forward-agent"])
                .is_some_and(|yes| !yes.is_empty() && yes != "false"),
            env: fields.variables("env"),
            hooks,
            reference: fields.needed(&["ref"]).unwrap_or_default(),
            repository: fields.needed(&["repo"]).unwrap_or_default(),
            path: fields.needed(&["path"]).unwrap_or_default(),
            hosts,
        };
        let named = [
            ("user", block.user.as_ref()),
            ("ref", Some(&block.reference)),
            ("repo", Some(&block.repository)),
        ];
        let hosts = block.hosts.iter().map(|host| ("host", Some(host)));
        for (field, value) in named.into_iter().chain(hosts) {
            let unsafe_start = |value: &String| value.starts_with('-') || value.contains(char::is_control);
            if value.is_some_and(unsafe_start) {
                fields.problem(field, "must not begin with a dash or hold a control character");
            }
        }
        Some(block)
    }
}

/// One option, or several; not words, because an option may hold blanks.
fn options(fields: &mut Fields<'_>) -> Vec<String> {
    match fields.take(&["ssh_options"]) {
        None => Vec::new(),
        Some(Value::String(option)) => vec![option],
        Some(Value::Array(options)) if options.iter().all(Value::is_string) => {
            options.iter().filter_map(|option| Some(option.as_str()?.to_owned())).collect()
        }
        Some(_) => {
            fields.problem("ssh_options", "must be a text or a list of texts");
            Vec::new()
        }
    }
}

impl fmt::Debug for DeployBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeployBlock")
            .field("hosts", &self.hosts)
            .field("user", &self.user)
            .field("reference", &self.reference)
            .field("repository", &self.repository)
            .field("path", &self.path)
            .field("env", &self.env.keys())
            .field("hooks", &self.hooks)
            .finish_non_exhaustive()
    }
}

/// The commands of a text, or what of it a shell alone understands.
fn commands(text: &str) -> Result<Vec<Vec<String>>, Vec<String>> {
    let (mut commands, mut command) = (Vec::new(), Vec::new());
    let mut word: Option<String> = None;
    let mut needs: Vec<String> = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(next) = chars.next() {
        match next {
            '\'' | '"' => {
                let quoted: String = chars.by_ref().take_while(|c| *c != next).collect();
                if next == '"' && quoted.contains(['$', '`', '\\']) {
                    needs.push("an expansion between quotes".to_owned());
                }
                word.get_or_insert_default().push_str(&quoted);
            }
            '&' if chars.next_if_eq(&'&').is_some() => {
                command.extend(word.take());
                if command.is_empty() {
                    needs.push("&&".to_owned());
                }
                commands.push(std::mem::take(&mut command));
            }
            ' ' | '\t' => command.extend(word.take()),
            '\n' | '\r' => needs.push("a line end".to_owned()),
            ';' | '|' | '&' | '<' | '>' | '`' | '$' | '(' | ')' | '{' | '}' | '*' | '?' | '[' | ']' | '~'
            | '#' | '!' | '\\' => needs.push(next.to_string()),
            '=' if command.is_empty() => needs.push("an assignment".to_owned()),
            next => word.get_or_insert_default().push(next),
        }
    }
    command.extend(word);
    let builtin =
        |word: &String| ["cd", "export", "source", ".", "set", "exec", "eval"].contains(&word.as_str());
    commands.push(command);
    if text.matches('\'').count() % 2 == 1 || text.matches('"').count() % 2 == 1 {
        needs.push("a quote".to_owned());
    }
    if commands.iter().any(Vec::is_empty) {
        needs.push("&&".to_owned());
    }
    needs.extend(commands.iter().filter_map(|command| command.first()).filter(|word| builtin(word)).cloned());
    needs.sort();
    needs.dedup();
    if needs.is_empty() { Ok(commands) } else { Err(needs) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_of_words_is_commands() {
        let hook = Hook::parse("npm install --no-audit && pm2 reload 'my app.js' --env \"production\"");
        let Hook::Commands(commands) = hook else { panic!("{hook:?}") };
        assert_eq!(
            commands,
            [vec!["npm", "install", "--no-audit"], vec!["pm2", "reload", "my app.js", "--env", "production"],]
        );
        assert_eq!(Hook::parse("echo ''"), Hook::Commands(vec![vec!["echo".to_owned(), String::new()]]));
    }

    #[test]
    fn a_hook_that_needs_a_shell_is_said_to_need_one_and_for_what() {
        for (text, need) in [
            ("npm i; rm x", ";"),
            ("a | b", "|"),
            ("a || b", "|"),
            ("a & b", "&"),
            ("a > b", ">"),
            ("echo `id`", "`"),
            ("echo $HOME", "$"),
            ("echo $(id)", "("),
            ("echo \"$(id)\"", "an expansion between quotes"),
            ("rm *.js", "*"),
            ("ls ~", "~"),
            ("a\nb", "a line end"),
            ("A=b cmd", "an assignment"),
            ("cd /srv && ls", "cd"),
            ("echo it's", "a quote"),
            ("&& a", "&&"),
            ("a &&", "&&"),
            ("a \\ b", "\\"),
        ] {
            let hook = Hook::parse(text);
            let Hook::Shell { needs, .. } = &hook else { panic!("{text}: {hook:?}") };
            assert!(needs.iter().any(|found| found == need), "{text}: {needs:?}");
        }
    }
}
