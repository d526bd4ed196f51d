use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::process;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::SystemTime;

use crate::{Address, Outside};

/// Below the ephemeral range: no outgoing connection takes one of these by chance.
const FIRST: u16 = 12_000;
const COUNT: u16 = 8_000;

/// A loopback port on which nothing listens, held against every other test that asks here until it is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _claim: File,
}

impl Port {
    /// Finds one.
    ///
    /// # Errors
    /// Where none is free.
    pub fn free() -> Outside<Self> {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let claims = std::env::temp_dir().join("flow-proving-ports");
        fs::create_dir_all(&claims)?;
        let begin = SystemTime::UNIX_EPOCH.elapsed()?.subsec_micros() ^ process::id();
        for _ in 0..COUNT {
            let turn = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
            let number = FIRST + u16::try_from((begin + turn) % u32::from(COUNT))?;
            // The kernel drops the lock with the process, so no claim outlives its test.
            let claim = File::options().create(true).append(true).open(claims.join(number.to_string()))?;
            let is_free =
                claim.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
            if is_free {
                return Ok(Self { number, _claim: claim });
            }
        }
        Err("no loopback port is free".into())
    }

    /// Its number.
    #[must_use]
    pub const fn number(&self) -> u16 {
        self.number
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> Address {
        Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, self.number)))
    }
}
