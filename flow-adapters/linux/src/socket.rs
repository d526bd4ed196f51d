use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The Unix sockets of a machine that have a path.
///
/// A connection stands here under the path that its **listener** was bound to, as the listener spelled it, from `connect` on, before it is
/// accepted, until the listener's side is closed, whatever links it was reached through and whether or not the listener still listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnixSockets(Vec<UnixSocket>);

/// One Unix socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    /// The path that it, or the listener that accepted it, was bound to.
    pub path: PathBuf,
    /// What it does.
    pub state: UnixState,
    /// Its inode: the same for as long as it is open. 0 before it is accepted.
    pub inode: u64,
}

/// What a Unix socket does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnixState {
    /// It accepts connections.
    Listening,
    /// It is a connection that waits to be accepted.
    Waiting,
    /// It is a connection.
    Connected,
    /// It is bound, and neither of these.
    Bound,
}

impl UnixSockets {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &UnixSocket> {
        self.0.iter()
    }

    /// Whether somebody listens under exactly this path.
    #[must_use]
    pub fn is_listening(&self, path: &Path) -> bool {
        self.iter().any(|socket| socket.path == path && socket.state == UnixState::Listening)
    }

    /// The connections to `path`, accepted or waiting for it.
    pub fn connections<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a UnixSocket> {
        let is_connection = |state| matches!(state, UnixState::Waiting | UnixState::Connected);
        self.iter().filter(move |socket| socket.path == path && is_connection(socket.state))
    }
}

/// The TCP sockets of a machine, IPv4 and IPv6.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpSockets(Vec<TcpSocket>);

/// One TCP socket. An IPv4 address that an IPv6 socket has is shown as IPv4.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TcpSocket {
    /// Its own address.
    pub local: SocketAddr,
    /// The other side's address.
    pub remote: SocketAddr,
    /// What it does.
    pub state: TcpState,
    /// Its inode: the same for as long as it is open; 0 where no process has it.
    pub inode: u64,
}

/// What a TCP socket does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TcpState {
    /// Both sides may send.
    Established,
    /// It asks the other side to connect.
    Connecting,
    /// The other side has closed, this one has not.
    HalfClosed,
    /// It accepts connections.
    Listening,
    /// It is being closed, or is closed.
    Closing,
}

impl TcpSockets {
    pub(crate) fn of(tables: &[Vec<TcpSocket>; 2]) -> Self {
        Self(tables.concat())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &TcpSocket> {
        self.0.iter()
    }

    /// Whether somebody listens on `address`, or on its port at every address.
    #[must_use]
    pub fn is_listening(&self, address: SocketAddr) -> bool {
        let covers = |ip: IpAddr| ip.is_unspecified() || ip == address.ip();
        self.iter().any(|socket| {
            let local = socket.local;
            socket.state == TcpState::Listening && local.port() == address.port() && covers(local.ip())
        })
    }

    /// The established connections whose own port is `port`: those that a listener of this machine accepted, and those that wait for it.
    pub fn established_at(&self, port: u16) -> impl Iterator<Item = &TcpSocket> {
        self.iter().filter(move |socket| socket.local.port() == port && socket.state == TcpState::Established)
    }

    /// The connections of this machine's programs to `address` that their own side has not closed.
    pub fn open_to(&self, address: SocketAddr) -> impl Iterator<Item = &TcpSocket> {
        let is_open =
            |state| matches!(state, TcpState::Established | TcpState::Connecting | TcpState::HalfClosed);
        self.iter().filter(move |socket| socket.remote == address && is_open(socket.state))
    }
}

/// Reads `/proc/net/unix`; none where its beginning is missing.
pub(crate) fn unix_table(text: &[u8]) -> Option<UnixSockets> {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.next()?.starts_with(b"Num ").then_some(())?;
    Some(UnixSockets(lines.filter_map(unix_row).collect()))
}

/// `Num RefCount Protocol Flags Type St Inode Path`, see proc_net_unix(5) and `unix_seq_show` in Linux. The path is the rest of the line.
fn unix_row(line: &[u8]) -> Option<UnixSocket> {
    let mut rest = line;
    let mut fields = [""; 7];
    for field in &mut fields {
        let begin = rest.iter().position(|byte| *byte != b' ')?;
        rest = rest.get(begin..)?;
        let end = rest.iter().position(|byte| *byte == b' ')?;
        *field = std::str::from_utf8(rest.get(..end)?).ok()?;
        rest = rest.get(end..)?;
    }
    let [_, _, _, flags, _, state, inode] = fields;
    let path = rest.strip_prefix(b" ")?;
    // The flag `__SO_ACCEPTCON` is the only one that is ever shown.
    let state = match (u32::from_str_radix(flags, 16).ok()? & 0x10000, state) {
        (0x10000, _) => UnixState::Listening,
        (_, "02") => UnixState::Waiting,
        (_, "03") => UnixState::Connected,
        _ => UnixState::Bound,
    };
    let path = PathBuf::from(OsString::from_vec(path.to_vec()));
    Some(UnixSocket { path, state, inode: inode.parse().ok()? })
}

/// Reads `/proc/net/tcp` or `/proc/net/tcp6`; none where its beginning is missing.
pub(crate) fn tcp_table(text: &[u8]) -> Option<Vec<TcpSocket>> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    lines.next()?.trim_start().starts_with("sl ").then_some(())?;
    Some(lines.filter_map(tcp_row).collect())
}

/// `sl local_address rem_address st tx:rx tr:when retrnsmt uid timeout inode ..`, see proc_net_tcp(5).
fn tcp_row(line: &str) -> Option<TcpSocket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (tcp_address(fields.next()?)?, tcp_address(fields.next()?)?);
    let state = match fields.next()? {
        "01" => TcpState::Established,
        "02" => TcpState::Connecting,
        "08" => TcpState::HalfClosed,
        "0A" => TcpState::Listening,
        _ => TcpState::Closing,
    };
    Some(TcpSocket { local, remote, state, inode: fields.nth(5)?.parse().ok()? })
}

/// Addresses stand there as 32-bit words in the byte order of the machine, which is taken to be little-endian.
fn tcp_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let word = |at: usize| u32::from_str_radix(ip.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_le_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?].concat();
            IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(words).ok()?)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UNIX: &str = "\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 101 /run/app/a.sock
0000000000000000: 00000003 00000000 00000000 0001 03 102 /run/app/a.sock
0000000000000000: 00000002 00000000 00000000 0001 02     0 /run/app/a.sock
0000000000000000: 00000003 00000000 00000000 0001 03 103
0000000000000000: 00000003 00000000 00000000 0001 03 104 /run/app/a.sock 2
0000000000000000: 00000002 00000000 00000000 0002 01 105 /run/systemd/notify
";

    #[test]
    fn connections_are_counted_under_the_listeners_path_and_no_other() {
        let table = unix_table(UNIX.as_bytes()).unwrap();
        let states: Vec<_> = table.connections("/run/app/a.sock".as_ref()).map(|one| one.state).collect();
        assert_eq!(states, [UnixState::Connected, UnixState::Waiting]);
        assert_eq!(table.connections("/run/app/a.sock 2".as_ref()).count(), 1);
        assert_eq!(table.connections("/run/app".as_ref()).count(), 0);
        assert!(table.is_listening("/run/app/a.sock".as_ref()));
        assert!(!table.is_listening("/run/systemd/notify".as_ref()));
    }

    #[test]
    fn a_table_without_its_beginning_is_none() {
        assert_eq!(unix_table(UNIX.split_once('\n').unwrap().1.as_bytes()), None);
        assert_eq!(unix_table(b""), None);
        assert_eq!(tcp_table(b"   0: 0100007F:1F90 00000000:0000 0A"), None);
    }

    const TCP: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 201 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0        0 202 1 0 20 4 30 10 -1
   2: 0100007F:D431 0100007F:1F90 01 00000000:00000000 00:00000000 00000000    33        0 203 1 0 20 4 30 10 -1
   3: 0100007F:D432 0100007F:1F90 06 00000000:00000000 03:00000F9C 00000000     0        0 0 3 0
";

    #[test]
    fn a_connection_has_two_ends_on_one_machine_and_a_closing_one_is_none() {
        let table = TcpSockets::of(&[tcp_table(TCP.as_bytes()).unwrap(), Vec::new()]);
        let address: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        assert!(table.is_listening(address));
        assert!(!table.is_listening("127.0.0.2:8080".parse().unwrap()));
        assert_eq!(table.established_at(8080).map(|one| one.inode).collect::<Vec<_>>(), [202]);
        assert_eq!(table.open_to(address).map(|one| one.inode).collect::<Vec<_>>(), [203]);
    }

    #[test]
    fn an_ipv4_address_of_an_ipv6_socket_is_one() {
        let mapped = tcp_address("0000000000000000FFFF00000100007F:0050").unwrap();
        assert_eq!(mapped, "127.0.0.1:80".parse().unwrap());
        let loopback = tcp_address("00000000000000000000000001000000:0050").unwrap();
        assert_eq!(loopback, "[::1]:80".parse().unwrap());
    }

    proptest! {
        #[test]
        fn a_path_of_any_bytes_but_a_line_end_is_read_back(path in prop::collection::vec(any::<u8>(), 1..108)) {
            prop_assume!(!path.contains(&b'\n'));
            let mut text = UNIX.as_bytes().to_vec();
            text.extend_from_slice(b"0000000000000000: 00000003 00000000 00000000 0001 03 900 ");
            text.extend_from_slice(&path);
            text.push(b'\n');
            let table = unix_table(&text).unwrap();
            let path = PathBuf::from(OsString::from_vec(path));
            prop_assert!(table.connections(&path).any(|socket| socket.inode == 900));
        }

        #[test]
        fn no_bytes_are_too_much_for_a_table(text in prop::collection::vec(any::<u8>(), 0..400)) {
            let unix = [b"Num \n".as_slice(), &text].concat();
            let tcp = [b"  sl \n".as_slice(), &text].concat();
            let _ = (unix_table(&unix), tcp_table(&tcp));
        }
    }
}
