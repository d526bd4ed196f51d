//! What stands beside the links of one routing: which version is which.

use std::path::PathBuf;

use flow_core::port::Routing;
use flow_core::{Digest, ErrorKind, Name, Problems, StepError};
use serde::{Deserialize, Serialize};

use crate::share::{shares, targets};
use crate::value::{Address, Checked, Takes};

/// One routing with its links: written before it is in force, and never changed. Its id is the digest of its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Table {
    form: u8,
    service: Name,
    places: u8,
    /// The versions in the order in which they take their places.
    order: Vec<Name>,
    routing: Routing,
}

impl Table {
    pub(crate) fn new(service: &Name, places: u8, routing: &Routing, versions: &Checked) -> Self {
        let order = versions.0.iter().map(|version| version.name.clone()).collect();
        Self { form: 1, service: service.clone(), places, order, routing: routing.clone() }
    }

    /// Its text and its id.
    pub(crate) fn written(&self) -> Result<(String, String), StepError> {
        let text = serde_json::to_string_pretty(self).map_err(|error| {
            StepError::new(ErrorKind::Invalid, "the routing cannot be written").because(error)
        })?;
        let id = id(&text);
        Ok((text, id))
    }

    /// Reads what stands at `id`, and refuses what is not what was written there.
    pub(crate) fn read(named: &str, text: &[u8], service: &Name, places: u8) -> Result<Self, StepError> {
        let edited = || {
            StepError::new(ErrorKind::Conflict, "what stands beside the links was changed")
                .fact("table", named)
        };
        let text = std::str::from_utf8(text).map_err(|error| edited().because(error))?;
        if id(text) != named {
            return Err(edited());
        }
        let table: Self = serde_json::from_str(text).map_err(|error| edited().because(error))?;
        if table.form != 1 || table.service != *service || table.places != places {
            let error =
                StepError::new(ErrorKind::Conflict, "the links are of another service or of another form");
            return Err(error
                .fact("service", table.service)
                .fact("places", table.places)
                .fact("form", table.form));
        }
        Ok(table)
    }

    pub(crate) const fn routing(&self) -> &Routing {
        &self.routing
    }

    pub(crate) fn order(&self) -> &[Name] {
        &self.order
    }

    /// Where each link must lead.
    pub(crate) fn targets(&self) -> Result<Vec<Option<PathBuf>>, Problems> {
        Ok(targets(&self.versions()?, self.places))
    }

    /// How many places each version has, in order.
    pub(crate) fn shares(&self) -> Result<Vec<(Name, u8)>, Problems> {
        Ok(shares(&self.versions()?, self.places))
    }

    fn versions(&self) -> Result<Checked, Problems> {
        // No weight is finer than the places, or it would not have been written.
        Ok(Checked::of(&self.routing, 1, Takes::Sockets)?.in_order_after(&self.order))
    }
}

/// The paths of the sockets among addresses.
pub(crate) fn socket_paths(addresses: &[String]) -> Vec<PathBuf> {
    addresses.iter().filter_map(|address| socket_path(address)).collect()
}

/// The path of a socket.
pub(crate) fn socket_path(address: &str) -> Option<PathBuf> {
    address.strip_prefix("unix:").map(PathBuf::from)
}

/// Where the sockets of a version are.
pub(crate) fn sockets(addresses: &[Address]) -> impl Iterator<Item = &PathBuf> {
    addresses.iter().filter_map(|address| match address {
        Address::Unix(path) => Some(path),
        Address::Tcp(_) => None,
    })
}

fn id(text: &str) -> String {
    Digest::of(text.as_bytes()).short()
}
