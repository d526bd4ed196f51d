//! What a server's name in HAProxy says. The name is all that HAProxy keeps for us: it shows neither the version of a server
//! nor the path of a Unix socket, so both stand in the name, put there by the same command that declares the server.

use std::fmt::{self, Write as _};

use flow_core::{Fence, Name};

use crate::address::Address;

const SLOT: &str = "flow";
const FENCE: &str = "flow-fence";

/// One server of ours: a version's address, or a part of it where the address needs a greater weight than a server can have.
/// The order of the fields is that of a routing.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Slot {
    pub(crate) version: Name,
    /// Which of the version's addresses it is.
    pub(crate) index: usize,
    pub(crate) part: u32,
    pub(crate) address: Address,
}

/// What a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Named {
    Slot(Slot),
    /// A server that never serves: it keeps the latest fence that changed the backend.
    Fence(Fence),
    /// A server of somebody else.
    Foreign,
}

impl Slot {
    /// The server's name: `flow:<version>:<index>:<part>:<address>`.
    pub(crate) fn name(&self) -> String {
        let Self { version, index, part, address } = self;
        format!("{SLOT}:{}:{index}:{part}:{}", Escaped(version.as_str()), Escaped(&address.to_string()))
    }
}

/// The name of the server that keeps a fence.
pub(crate) fn fence_name(fence: Fence) -> String {
    format!("{FENCE}:{}", fence.0)
}

impl Named {
    pub(crate) fn of(name: &str) -> Self {
        let slot = read_slot(name).filter(|slot| slot.name() == name).map(Self::Slot);
        let fence = || {
            name.strip_prefix(FENCE)?.strip_prefix(':')?.parse().ok().map(|fence| Self::Fence(Fence(fence)))
        };
        slot.or_else(fence).unwrap_or(Self::Foreign)
    }
}

fn read_slot(name: &str) -> Option<Slot> {
    let mut parts = name.strip_prefix(SLOT)?.strip_prefix(':')?.splitn(4, ':');
    let version = Name::new(unescape(parts.next()?)?).ok()?;
    let (index, part) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    Some(Slot { version, index, part, address: Address::parse(&unescape(parts.next()?)?).ok()? })
}

/// A text in the characters of a server's name that do not divide it: letters, digits, `.` and `-`, all others as `_` and two
/// hexadecimal digits.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => f.write_char(char::from(byte))?,
                other => write!(f, "_{other:02X}")?,
            }
        }
        Ok(())
    }
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('_') {
        bytes.extend_from_slice(before.as_bytes());
        bytes.push(u8::from_str_radix(after.get(..2)?, 16).ok()?);
        rest = after.get(2..)?;
    }
    bytes.extend_from_slice(rest.as_bytes());
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use flow_core::name;

    use super::*;

    #[test]
    fn a_name_says_what_the_server_is_and_holds_nothing_that_haproxy_refuses() {
        for address in ["127.0.0.1:80", "[::1]:80", "unix:/run/a_b/c+d@e=f,g:h~i-j.sock"] {
            let address = Address::parse(address).unwrap();
            let slot = Slot { version: name!("1.0.0_x+build-2"), index: 12, part: 3, address };
            let name = slot.name();
            let allowed = |each: char| each.is_ascii_alphanumeric() || "_.:-".contains(each);
            assert!(name.chars().all(allowed), "{name}");
            assert_eq!(Named::of(&name), Named::Slot(slot));
        }
        assert_eq!(Named::of(&fence_name(Fence(7))), Named::Fence(Fence(7)));
    }

    #[test]
    fn a_name_that_only_looks_like_ours_is_foreign() {
        for name in [
            "web1",
            "flow",
            "flow:",
            "flow:1.0.0:0:0",
            "flow:1.0.0:0:0:nonsense",
            "flow:1.0.0:00:0:127.0.0.1_3A80",
            "flow:1.0.0:0:0:127.0.0.1_3a80",
            "flow:_zz:0:0:127.0.0.1_3A80",
            "flow:1_",
            "flow:_2Fx:0:0:127.0.0.1_3A80",
            "flow-fence:",
            "flow-fence:x",
        ] {
            assert_eq!(Named::of(name), Named::Foreign, "{name}");
        }
    }
}
