use std::path::PathBuf;

use flow_core::{Name, Problems};
use serde::{Deserialize, Serialize};

use super::upstream::{KeepAlive, Stickiness, Timeouts, key, key_map, location_of, log_format};
use crate::block::{Block, Word};
use crate::share::PLACES_MAX;
use crate::value::{SOCKET_PATH_MAX, check_path};

/// What becomes of a request whose place leads to a version that is down.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Masking {
    /// nginx tries the next place, which may be another version's: users see no failure, and [`AccessLog`](crate::AccessLog) counts one for
    /// the version that was down. A request that may have been received and may not be repeated, such as a POST, is never tried again.
    #[default]
    Counted,
    /// The request fails, as the port's contract has it.
    Never,
}

/// How a [`SocketRouter`](crate::SocketRouter) switches: by links to Unix sockets, without touching nginx.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SocketConfig {
    /// The one service that it routes, and the name of its `upstream`.
    pub service: Name,
    /// The directory of its links: absolute, of this service alone, not below a directory that is emptied when the machine starts.
    pub directory: PathBuf,
    /// How many places the upstream has: a divisor of 100. 1 switches all at once; 100 divide in steps of 1 %.
    pub places: u8,
    /// What keeps a user with one version. Of use with more than one place.
    #[serde(default)]
    pub stickiness: Stickiness,
    /// What becomes of a request to a version that is down. Of use with more than one place.
    #[serde(default)]
    pub masking: Masking,
    /// How long nginx keeps connections to the application; none: it opens one for each request, and a switch is immediate.
    #[serde(default)]
    pub keep_alive: Option<KeepAlive>,
    /// How long nginx waits for the application.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// Where nginx writes the log that [`AccessLog`](crate::AccessLog) reads.
    pub access_log: PathBuf,
}

impl SocketConfig {
    /// One link: blue and green.
    pub fn link(service: Name, directory: impl Into<PathBuf>, access_log: impl Into<PathBuf>) -> Self {
        Self {
            service,
            directory: directory.into(),
            places: 1,
            stickiness: Stickiness::None,
            masking: Masking::default(),
            keep_alive: None,
            timeouts: Timeouts::default(),
            access_log: access_log.into(),
        }
    }

    /// A hundred links: canaries in steps of 1 %.
    pub fn slots(service: Name, directory: impl Into<PathBuf>, access_log: impl Into<PathBuf>) -> Self {
        Self { places: PLACES_MAX, ..Self::link(service, directory, access_log) }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// All problems at once.
    pub fn check(&self) -> Result<(), Problems> {
        let mut problems = Problems::default();
        check_path(&mut problems, "directory", &self.directory);
        let fits = self.socket(0).as_os_str().len() <= SOCKET_PATH_MAX;
        problems.check(fits, "directory", "is too long for the path of a Unix socket below it");
        check_path(&mut problems, "access_log", &self.access_log);
        let divides = self.places > 0 && PLACES_MAX.is_multiple_of(self.places);
        problems.check(divides, "places", "must divide 100");
        self.stickiness.check(&mut problems);
        if let Some(keep_alive) = &self.keep_alive {
            keep_alive.check(&mut problems);
        }
        self.timeouts.check(&mut problems);
        problems.into_result()
    }

    /// Our block for nginx's `http` context: save it in a file of its own and include that, once. It never changes with the routing.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn block(&self) -> Result<String, Problems> {
        self.check()?;
        let mut block = Block::default();
        block.comment(&format!("The service `{}`, by flow-nginx. For the `http` context.", self.service));
        let sticky = self.stickiness != Stickiness::None;
        key_map(&mut block, &self.service, &self.stickiness);
        block.block("upstream", &[Word::name("", &self.service)], |block| {
            block.directive("zone", &[Word::name("flow_", &self.service), Word::own("512k")]);
            if sticky {
                block.directive("hash", &[key(&self.service), Word::own("consistent")]);
            }
            for place in 0..self.places {
                let mut words = vec![Word::path("unix:", &self.socket(place)), Word::own("max_fails=0")];
                if sticky {
                    // More points on the ring for each place: shares that are nearer to what was asked for.
                    words.push(Word::own("weight=5"));
                }
                block.directive("server", &words);
            }
            if let Some(keep_alive) = &self.keep_alive {
                keep_alive.write(block);
            }
        });
        log_format(&mut block, &self.service, Word::own("-"));
        Ok(block.finish())
    }

    /// Our directives for the user's `location`: save them in a file of its own and include that, once.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn location(&self) -> Result<String, Problems> {
        self.check()?;
        let mut block = Block::default();
        block.comment(&format!("The service `{}`, by flow-nginx. For a `location`.", self.service));
        let to = Word::name("http://", &self.service);
        location_of(&mut block, to, &self.access_log, &self.service, &self.timeouts);
        if self.places > 1 && self.masking == Masking::Counted {
            // Without `non_idempotent`: what may have been received is not sent a second time.
            block.directive("proxy_next_upstream", &[Word::own("error"), Word::own("timeout")]);
            block.directive("proxy_next_upstream_timeout", &[Word::time("", self.timeouts.retry)]);
        } else {
            block.directive("proxy_next_upstream", &[Word::own("off")]);
        }
        Ok(block.finish())
    }

    /// The path that nginx connects to for one place.
    pub(crate) fn socket(&self, place: u8) -> PathBuf {
        self.directory.join("live").join(socket_name(place))
    }
}

/// The name of a place's link.
pub(crate) fn socket_name(place: u8) -> String {
    format!("{place:02}.sock")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::statements;

    fn names(text: &str) -> Vec<String> {
        statements(text).into_iter().map(|one| one.words[0].value.clone()).collect()
    }

    proptest! {
        /// Whatever a hostile value is made of: what is written has our directives, and no other.
        #[test]
        fn no_value_becomes_a_directive(
            service in "[ -~]{1,8}", directory in "[ -~\\n]{1,16}", header in "[ -~]{1,8}", log in "[ -~]{1,12}",
        ) {
            let Ok(service) = Name::new(service) else { return Ok(()) };
            let config = SocketConfig {
                stickiness: Stickiness::Header(header),
                keep_alive: Some(KeepAlive::default()),
                ..SocketConfig::link(service, format!("/{directory}"), format!("/{log}"))
            };
            let (Ok(block), Ok(location)) = (config.block(), config.location()) else { return Ok(()) };
            let expected = [
                "map", "", "default", "upstream", "zone", "hash", "server", "keepalive", "keepalive_time",
                "keepalive_timeout", "log_format",
            ];
            prop_assert_eq!(names(&block), expected);
            let expected = [
                "proxy_pass", "proxy_http_version", "proxy_set_header", "proxy_set_header", "proxy_set_header",
                "proxy_set_header", "proxy_connect_timeout", "proxy_read_timeout", "access_log", "proxy_next_upstream",
            ];
            prop_assert_eq!(names(&location), expected);
        }
    }
}
