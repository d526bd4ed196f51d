//! Proves what the tests of adapters are judged by, against the real programs.

#[cfg(test)]
#[path = "proving/app.rs"]
mod app;
#[cfg(test)]
#[path = "proving/database.rs"]
mod database;
#[cfg(test)]
#[path = "proving/load.rs"]
mod load;
#[cfg(test)]
#[path = "proving/pm2.rs"]
mod pm2;
#[cfg(test)]
#[path = "proving/server.rs"]
mod server;
