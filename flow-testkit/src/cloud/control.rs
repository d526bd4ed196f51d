//! `/__fake__/*`: what a test in another process asks of the cloud.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::faults::Fault;
use super::world::Cloud;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    delay: Option<f64>,
    qps: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    seconds: f64,
}

/// Carries out `command`; the error says what is wrong with it.
pub(super) fn control(cloud: &Cloud, command: &str, body: &[u8]) -> Result<Value, String> {
    let body = if body.is_empty() { b"{}".as_slice() } else { body };
    match command {
        "reset" => cloud.reset(),
        "log" => {
            return cloud.with(|world| serde_json::to_value(&world.log)).map_err(|error| error.to_string());
        }
        "config" => {
            let config: Config = read(body)?;
            let delay = config.delay.map(seconds).transpose()?;
            cloud.with(|world| {
                world.delay = delay.unwrap_or(world.delay);
                world.qps = config.qps.unwrap_or(world.qps);
            });
        }
        "advance" => cloud.clock.advance(seconds(read::<Advance>(body)?.seconds)?),
        "faults" => {
            let fault: Fault = read(body)?;
            cloud.with(|world| world.faults.add(fault));
        }
        _ => return Err(format!("there is no `{command}`")),
    }
    Ok(json!({}))
}

fn read<'a, T: Deserialize<'a>>(body: &'a [u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn seconds(number: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(number).map_err(|error| format!("{number} seconds: {error}"))
}

#[cfg(test)]
mod tests {
    use flow_core::Clock;

    use super::super::config::FakeCloudConfig;
    use super::*;

    #[test]
    fn the_cloud_is_configured_advanced_and_reset() {
        let cloud = Cloud::new(&FakeCloudConfig::default());
        control(&cloud, "config", br#"{"delay": 2.5, "qps": 7}"#).unwrap();
        assert_eq!(cloud.with(|world| (world.delay, world.qps)), (Duration::from_millis(2500), 7));
        let before = cloud.clock.now();
        control(&cloud, "advance", br#"{"seconds": 60}"#).unwrap();
        assert!(cloud.clock.now().duration_since(before).as_secs() >= 60);
        control(&cloud, "reset", b"").unwrap();
        assert_eq!(cloud.with(|world| world.qps), 0);
        assert!(cloud.clock.now().duration_since(before).as_secs() < 60);
        assert_eq!(control(&cloud, "log", b"{}").unwrap(), json!([]));
    }

    #[test]
    fn what_it_does_not_understand_it_refuses() {
        let cloud = Cloud::new(&FakeCloudConfig::default());
        for (command, body) in [
            ("config", r#"{"dealy": 1}"#),
            ("config", r#"{"delay": -1}"#),
            ("advance", "{}"),
            ("faults", r#"{"kind": "earthquake"}"#),
            ("stop", "{}"),
        ] {
            assert!(control(&cloud, command, body.as_bytes()).is_err(), "{command} {body}");
        }
    }
}
