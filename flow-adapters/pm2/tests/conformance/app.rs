//! The program of the suite.

use std::fs;

use flow_core::port::LaunchSpec;
use flow_proving::Outside;

use super::world::{World, node};

/// Serves at its address as `ROLE` says, and leaves a note when it is asked to end.
const SOURCE: &str = r"
const fs = require('fs');
const asked = () => {
  if (process.env.ROLE === 'stubborn') return;
  fs.writeFileSync(process.env.NOTE, 'asked');
  process.exit(0);
};
process.on('SIGINT', asked);
process.on('SIGTERM', asked);
const server = require('http').createServer((request, response) => {
  response.statusCode = process.env.ROLE === 'sick' ? 503 : 200;
  response.end();
});
const ready = () => process.send && process.send('ready');
const socket = process.env.SOCKET_PATH;
if (process.env.ROLE === 'silent') setInterval(() => {}, 1000);
else if (socket) { fs.rmSync(socket, { force: true }); server.listen(socket, ready); }
else server.listen(Number(process.env.PORT), '127.0.0.1', ready);
";

/// An instance that runs the program as `role`.
pub(crate) fn spec(world: &World, service: &str, instance: &str, role: &str) -> Outside<LaunchSpec> {
    let script = world.path("suite.js");
    if !script.exists() {
        fs::write(&script, SOURCE)?;
    }
    let mut spec = node(instance, world.directory.path(), &script);
    let note = world.path(&format!("{service}-{instance}-asked")).display().to_string();
    for (name, value) in [("ROLE", role), ("NOTE", &note), ("TOKEN", "a secret = \"value\" $(id)\n")] {
        spec.env.insert(name.to_owned(), value.to_owned());
    }
    Ok(spec)
}
