//! Our file for nginx: one text for one routing, that says itself which routing it is and whether somebody edited it.

use flow_core::port::{Route, Routing};
use flow_core::{Digest, ErrorKind, Name, StepError};

use crate::block::{Block, Word};
use crate::config::{FileConfig, Stickiness, key, key_map, log_format};
use crate::value::{Address, Checked, Version};

/// What the first line is, before the digest of all that follows it.
const HEAD: &str = "# Written by flow-nginx, which refuses a file that was edited. sha256:";

/// The version that no release can be: it stands where nothing is routed.
const NOBODY: &str = "-none";

/// One text of our file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) text: String,
    /// What our block answers where it is in force.
    pub(crate) id: String,
    pub(crate) routing: Routing,
    /// The versions in the order in which they take their shares.
    pub(crate) order: Vec<Name>,
    /// The addresses that had traffic before.
    pub(crate) former: Vec<String>,
}

impl Generation {
    pub(crate) fn new(
        config: &FileConfig,
        routing: &Routing,
        versions: &Checked,
        former: Vec<String>,
    ) -> Self {
        let mut block = Block::default();
        for version in &versions.0 {
            block.comment(&format!("@ version {} {}", version.name, version.weight));
            // As they were given: in the checked version two spellings could be one.
            for address in routing.0.get(&version.name).iter().flat_map(|route| &route.addresses) {
                block.comment(&format!("@ address {address}"));
            }
        }
        former.iter().for_each(|address| block.comment(&format!("@ former {address}")));
        write_routing(&mut block, config, versions);
        let body = block.finish();
        let id = Digest::of(body.as_bytes()).hex();
        let mut block = Block::default();
        block.block("server", &[], |block| {
            block.directive("listen", &[Word::socket(config.marker)]);
            block.directive("access_log", &[Word::own("off")]);
            block.block("location", &[Word::own("="), Word::own("/")], |block| {
                block.directive("default_type", &[Word::own("text/plain")]);
                block.directive("return", &[Word::own("200"), Word::digest(&id)]);
            });
        });
        let all = body + &block.finish();
        let text = format!("{HEAD}{}\n{all}", Digest::of(all.as_bytes()).hex());
        let order = versions.0.iter().map(|version| version.name.clone()).collect();
        Self { text, id, routing: routing.clone(), order, former }
    }

    /// Reads a text of ours.
    ///
    /// # Errors
    /// [`Conflict`](ErrorKind::Conflict) for one that is none, or that was edited or cut off.
    pub(crate) fn read(text: &[u8]) -> Result<Self, StepError> {
        let edited = |why: &'static str| {
            StepError::new(ErrorKind::Conflict, "our file was changed by somebody else").fact("found", why)
        };
        let text = std::str::from_utf8(text).map_err(|error| edited("it is no text").because(error))?;
        let (head, all) = text.split_once('\n').ok_or_else(|| edited("it has no first line"))?;
        let digest = head.strip_prefix(HEAD).ok_or_else(|| edited("its first line is another one"))?;
        if Digest::of(all.as_bytes()).hex() != digest {
            return Err(edited("it is not what its first line says"));
        }
        let body_ends = all.rfind("server {\n").ok_or_else(|| edited("it has no marker"))?;
        let id = Digest::of(all.get(..body_ends).unwrap_or_default().as_bytes()).hex();
        let (mut routing, mut order, mut former) = (Routing::default(), Vec::<Name>::new(), Vec::new());
        for line in all.lines().filter_map(|line| line.strip_prefix("# @ ")) {
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["version", name, weight] => {
                    let name = Name::new(*name).map_err(|error| edited("a version").because(error))?;
                    let weight = weight.parse().map_err(|_| edited("a weight"))?;
                    routing.0.insert(name.clone(), Route { weight, addresses: Vec::new() });
                    order.push(name);
                }
                ["address", address] => {
                    let version = order.last().and_then(|name| routing.0.get_mut(name));
                    version.ok_or_else(|| edited("an address"))?.addresses.push((*address).to_owned());
                }
                ["former", address] => former.push((*address).to_owned()),
                _ => return Err(edited("a line")),
            }
        }
        Ok(Self { text: text.to_owned(), id, routing, order, former })
    }
}

fn write_routing(block: &mut Block, config: &FileConfig, versions: &Checked) {
    let service = &config.service;
    key_map(block, service, &config.stickiness);
    let routed: Vec<&Version> = versions.0.iter().filter(|version| version.weight > 0).collect();
    let sticky = config.stickiness != Stickiness::None;
    let by = if sticky { key(service) } else { Word::own("$request_id") };
    let chosen = Word::variable("flow", service);
    block.block("split_clients", &[by, chosen.clone()], |block| {
        // What is first has the lowest hashes: a version that grows takes only more of them.
        let last = routed.len().saturating_sub(1);
        for version in routed.iter().take(last) {
            let share = Word::number("", version.weight, "%");
            block.directive(share.as_str(), &[Word::upstream(service, version.name.as_str())]);
        }
        let rest = routed.last().map_or(NOBODY, |version| version.name.as_str());
        block.directive("*", &[Word::upstream(service, rest)]);
    });
    for version in &routed {
        block.block("upstream", &[Word::upstream(service, version.name.as_str())], |block| {
            for address in &version.addresses {
                block.directive("server", &[Word::address(address), Word::own("max_fails=0")]);
            }
            if let Some(keep_alive) = &config.keep_alive {
                keep_alive.write(block);
            }
        });
    }
    if routed.is_empty() {
        block.block("upstream", &[Word::upstream(service, NOBODY)], |block| {
            block.directive("server", &[Word::own("127.0.0.1:1"), Word::own("down")]);
        });
    }
    log_format(block, service, chosen);
}

/// The sockets and ports that traffic goes to, or went to.
pub(crate) fn parsed(address: &str) -> Option<Address> {
    match address.strip_prefix("unix:") {
        Some(path) => Some(Address::Unix(path.into())),
        None => address.parse().ok().map(Address::Tcp),
    }
}

#[cfg(test)]
mod tests {
    use flow_core::name;
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::statements;
    use crate::value::Takes;

    fn config() -> FileConfig {
        FileConfig::debian(name!("web"), "/var/lib/flow/web", "127.0.0.1:9901".parse().unwrap())
    }

    fn generation(config: &FileConfig, routing: &Routing, before: &[Name]) -> Generation {
        let versions = Checked::of(routing, 1, Takes::Both).unwrap().in_order_after(before);
        Generation::new(config, routing, &versions, vec!["127.0.0.1:7000".to_owned()])
    }

    fn routing(weight: u8) -> Routing {
        let route = |weight, port: u16| Route { weight, addresses: vec![format!("127.0.0.1:{port}")] };
        Routing([(name!("1.0.0"), route(100 - weight, 8000)), (name!("1.1.0"), route(weight, 8001))].into())
    }

    fn words(text: &str) -> Vec<Vec<String>> {
        let words = |one: crate::syntax::Statement| one.words.into_iter().map(|word| word.value).collect();
        statements(text).into_iter().map(words).collect()
    }

    #[test]
    fn a_text_says_which_routing_it_is() {
        for weight in [0, 1, 50, 100] {
            let written = generation(&config(), &routing(weight), &[name!("1.0.0")]);
            assert_eq!(Generation::read(written.text.as_bytes()).unwrap(), written);
            assert!(written.text.contains(&format!("return 200 {};", written.id)), "{}", written.text);
        }
        let none = generation(&config(), &Routing::default(), &[]);
        assert_eq!(Generation::read(none.text.as_bytes()).unwrap(), none);
    }

    #[test]
    fn every_edit_and_every_cut_is_seen() {
        let text = generation(&config(), &routing(25), &[]).text;
        for length in 0..text.len() {
            assert!(Generation::read(&text.as_bytes()[..length]).is_err(), "{length}");
        }
        let edited = text.replace("max_fails=0", "max_fails=1");
        assert_eq!(Generation::read(edited.as_bytes()).unwrap_err().kind(), ErrorKind::Conflict);
        assert!(Generation::read(format!("{text}\n").as_bytes()).is_err());
    }

    #[test]
    fn the_new_version_has_the_first_part_of_the_hashes() {
        let found = words(&generation(&config(), &routing(25), &[name!("1.0.0")]).text);
        let split = found.iter().position(|words| words[0] == "split_clients").unwrap();
        assert_eq!(found[split], ["split_clients", "$request_id", "$flow_web"]);
        assert_eq!(found[split + 1], ["25%", "flow~web~1.1.0"]);
        assert_eq!(found[split + 2], ["*", "flow~web~1.0.0"]);
    }

    proptest! {
        /// Whatever a hostile name or address is made of: what is written has our directives, and no other.
        #[test]
        fn no_value_becomes_a_directive(
            version in "[ -~]{1,12}", address in "[ -~]{1,20}", cookie in "[ -~]{1,8}",
        ) {
            let Ok(version) = Name::new(version) else { return Ok(()) };
            let route = Route { weight: 100, addresses: vec![format!("unix:/{address}")] };
            let routing = Routing([(version, route)].into());
            let config = FileConfig { stickiness: Stickiness::Cookie(cookie), ..config() };
            let (Ok(versions), Ok(())) = (Checked::of(&routing, 1, Takes::Both), config.check()) else { return Ok(()) };
            let text = Generation::new(&config, &routing, &versions, Vec::new()).text;
            let names: Vec<String> = words(&text).into_iter().map(|words| words[0].clone()).collect();
            let expected = [
                "map", "", "default", "split_clients", "*", "upstream", "server", "log_format", "server", "listen",
                "access_log", "location", "default_type", "return",
            ];
            prop_assert_eq!(names, expected);
        }
    }
}
