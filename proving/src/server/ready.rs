use crate::http::Connection;
use crate::{Address, Outside, Running};

/// Waits until something accepts connections at `address`, as long as the server runs.
pub(super) async fn accepts(running: &Running, address: &Address) -> Outside<()> {
    let what = format!("it accepts connections at {address}");
    running.until(&what, async || Ok(Connection::open(address).await.is_ok().then_some(()))).await
}

/// The first process of a server that wrote its id into `file`.
pub(super) fn pid_in(file: &std::path::Path) -> Option<u32> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}
