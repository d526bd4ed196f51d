use std::collections::BTreeMap;

use flow_core::{ErrorKind, Fence, Name, StepError};

use crate::shares::Shares;
use crate::slot::{Named, Slot};

/// A backend as HAProxy shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) servers: Vec<Server>,
}

/// A server as HAProxy shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) name: String,
    pub(crate) named: Named,
    /// Its address, of a Unix socket no more than that it is one.
    pub(crate) address: String,
    /// Its weight among the others; none in maintenance, where it gets no request.
    pub(crate) weight: Option<u64>,
    /// Whether nobody put it into maintenance or drains it.
    pub(crate) is_ready: bool,
    pub(crate) in_flight: u64,
}

/// The command that shows all backends (2) and their servers (4). Asked for by name HAProxy may choose a frontend of that name.
pub(crate) const LOOK: &str = "show stat -1 6 -1";

impl Backend {
    /// Reads the answer to [`LOOK`].
    ///
    /// # Errors
    /// `NotFound` for a backend that HAProxy does not have, `Denied` where the socket shows too little, `Conflict` for a backend
    /// whose weights are no shares, `Unavailable` for what is not understood.
    pub(crate) fn read(service: &Name, answer: &str) -> Result<Self, StepError> {
        let mut lines = answer.lines().filter(|line| !line.is_empty());
        let Some(header) = lines.next().and_then(|line| line.strip_prefix("# ")) else {
            return Err(refused(answer).fact("backend", service));
        };
        let names: Vec<&str> = header.split(',').collect();
        let mut servers = Vec::new();
        let mut algorithm = None;
        for line in lines {
            let values = fields(line);
            let row = Row { names: &names, values: &values };
            if row.text("pxname")? != service.as_str() {
                continue;
            }
            match row.text("svname")? {
                "BACKEND" => algorithm = Some(row.text("algo")?),
                name => servers.push(Server::read(name, &row)?),
            }
        }
        let error = match algorithm {
            Some("roundrobin") => return Ok(Self { servers }),
            None => StepError::new(ErrorKind::NotFound, "HAProxy has no such backend"),
            Some("") => {
                StepError::new(ErrorKind::Denied, "HAProxy's runtime socket must be of level `admin`")
            }
            Some(other) => {
                let message = "the weights of the backend are shares only with `balance roundrobin`";
                StepError::new(ErrorKind::Conflict, message).fact("balance", other)
            }
        };
        Err(error.fact("backend", service))
    }

    /// Our servers that get requests, or would if their weight were not 0.
    ///
    /// # Errors
    /// `Conflict` where somebody else's server gets requests.
    pub(crate) fn shares(&self) -> Result<Shares, StepError> {
        let mut shares = Shares::new();
        for server in &self.servers {
            match (&server.named, server.weight) {
                (Named::Slot(slot), Some(weight)) => {
                    shares.insert(slot.clone(), weight);
                }
                (Named::Foreign, Some(1..)) => {
                    let message =
                        "a server that is none of ours gets requests: put it into maintenance or remove it";
                    let error = StepError::new(ErrorKind::Conflict, message);
                    return Err(error.fact("server", &server.name).fact("address", &server.address));
                }
                _ => {}
            }
        }
        Ok(shares)
    }

    /// Our servers, in maintenance or not, each with its name.
    pub(crate) fn slots(&self) -> BTreeMap<&Slot, &Server> {
        let ours = self.servers.iter().filter_map(|server| match &server.named {
            Named::Slot(slot) => Some((slot, server)),
            Named::Fence(_) | Named::Foreign => None,
        });
        ours.collect()
    }

    /// The latest fence that changed it.
    pub(crate) fn fence(&self) -> Option<Fence> {
        let fence = |server: &Server| match server.named {
            Named::Fence(fence) => Some(fence),
            _ => None,
        };
        self.servers.iter().filter_map(fence).max()
    }
}

impl Server {
    fn read(name: &str, row: &Row<'_, '_>) -> Result<Self, StepError> {
        // `MAINT` has variants that say why. `DRAIN` gets no request either, but is no state that we put a server in.
        let (weight, is_ready) = match row.text("status")? {
            status if status.starts_with("MAINT") => (None, false),
            "DRAIN" => (Some(0), false),
            _ => (Some(row.number("uweight")?), true),
        };
        let address = row.text("addr")?;
        let named = match Named::of(name) {
            // Somebody gave it another address: it is none of ours any more.
            Named::Slot(slot) if slot.address.shown() != address => Named::Foreign,
            named => named,
        };
        Ok(Self {
            name: name.to_owned(),
            named,
            address: address.to_owned(),
            weight,
            is_ready,
            in_flight: row.number("scur")?,
        })
    }
}

/// A line of HAProxy's table, read by the names in its header: their places differ between versions.
struct Row<'a, 't> {
    names: &'a [&'t str],
    values: &'a [&'t str],
}

/// The fields of a line. One in quotes may hold commas; it is nothing that we read, so its quotes are left as they are.
fn fields(line: &str) -> Vec<&str> {
    let mut is_quoted = false;
    let ends = |each: char| {
        is_quoted ^= each == '"';
        each == ',' && !is_quoted
    };
    line.split(ends).collect()
}

impl<'t> Row<'_, 't> {
    fn text(&self, name: &'static str) -> Result<&'t str, StepError> {
        let place = self.names.iter().position(|own| *own == name);
        let value = place.and_then(|place| self.values.get(place).copied());
        value.ok_or_else(|| not_understood(name, ""))
    }

    fn number(&self, name: &'static str) -> Result<u64, StepError> {
        let text = self.text(name)?;
        text.parse().map_err(|_| not_understood(name, text))
    }
}

fn not_understood(field: &'static str, value: &str) -> StepError {
    let error = StepError::new(ErrorKind::Unavailable, "HAProxy's table is not understood");
    error.fact("field", field).fact("value", value.chars().take(100).collect::<String>())
}

/// What HAProxy says instead of doing what it was asked: a rejection, nothing was changed by the command that it answers.
pub(crate) fn refused(answer: &str) -> StepError {
    let text = answer.trim();
    let (kind, message) = match text {
        "Permission denied" => (ErrorKind::Denied, "HAProxy's runtime socket must be of level `admin`"),
        "No such proxy." | "No such backend." => (ErrorKind::NotFound, "HAProxy has no such backend"),
        _ => (ErrorKind::Conflict, "HAProxy refused a command"),
    };
    StepError::new(kind, message).fact("answer", text.chars().take(200).collect::<String>())
}

#[cfg(test)]
mod tests {
    use flow_core::name;

    use super::*;

    const HEADER: &str = "# pxname,svname,scur,status,last_chk,addr,algo,uweight,\n";

    fn read(rows: &str) -> Result<Backend, StepError> {
        Backend::read(&name!("web"), &format!("{HEADER}{rows}\n"))
    }

    #[test]
    fn a_table_is_read_by_its_header_and_quotes_may_hold_commas() {
        let backend = read(
            "web,old,3,MAINT (via x),\"a \"\"b\"\", c\",10.0.0.1:80,,7,\nweb,BACKEND,0,UP,,,roundrobin,1,\n",
        );
        let backend = backend.unwrap();
        let [server] = backend.servers.as_slice() else { panic!("{backend:?}") };
        assert_eq!((server.address.as_str(), server.weight, server.in_flight), ("10.0.0.1:80", None, 3));
    }

    #[test]
    fn what_is_not_understood_is_no_routing() {
        for (rows, kind) in [
            ("web,BACKEND,0,UP,,,leastconn,1,\n", ErrorKind::Conflict),
            ("web,BACKEND,0,UP,,,,1,\n", ErrorKind::Denied),
            ("web,FRONTEND,0,OPEN,,,,0,\n", ErrorKind::NotFound),
            ("web,one,x,UP,,10.0.0.1:80,,1,\nweb,BACKEND,0,UP,,,roundrobin,1,\n", ErrorKind::Unavailable),
            ("web,one,0\n", ErrorKind::Unavailable),
        ] {
            assert_eq!(read(rows).unwrap_err().kind(), kind, "{rows}");
        }
    }
}
