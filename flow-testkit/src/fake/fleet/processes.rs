use std::time::Duration;

use async_trait::async_trait;
use flow_core::port::{Health, Instance, InstanceId, LaunchSpec, ProcessManager};
use flow_core::{ErrorKind, Name, Permit, Problems, StepError};
use tokio::time::Instant;

use super::FakeFleet;
use super::life::Life;
use super::trouble::Kind;
use crate::ledger::Change;

#[async_trait]
impl ProcessManager for FakeFleet {
    async fn launch(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        let change = Change::new("processes.launch", &spec.service, permit);
        self.ledger.change(change, || self.start(permit, spec)).await
    }

    async fn instances(&self, service: &Name) -> Result<Vec<Instance>, StepError> {
        self.ledger
            .read("processes.instances", service, || {
                let state = self.state();
                let running = state.running(service.as_str(), Instant::now());
                Ok(running.map(|life| life.instance.clone()).collect())
            })
            .await
    }

    async fn launched(&self, service: &Name, instance: &InstanceId) -> Result<LaunchSpec, StepError> {
        self.ledger
            .read("processes.launched", service, || {
                let state = self.state();
                let found = state.find(service, instance, Instant::now()).map(|life| life.spec.clone());
                found.ok_or_else(|| {
                    StepError::new(ErrorKind::NotFound, "no such instance").fact("id", instance)
                })
            })
            .await
    }

    async fn health(&self, service: &Name, instance: &InstanceId) -> Result<Health, StepError> {
        self.ledger
            .read("processes.health", service, || {
                let (mut state, at) = (self.state(), Instant::now());
                let Some(life) = state.find(service, instance, at) else { return Ok(Health::Gone) };
                let health = state.health(life, at);
                if health.is_healthy()
                    && let Some(life) = state.find_mut(service, instance, at)
                {
                    life.proved = true;
                }
                Ok(health)
            })
            .await
    }

    async fn stop(
        &self,
        permit: &Permit,
        service: &Name,
        instance: &InstanceId,
        grace: Duration,
    ) -> Result<(), StepError> {
        let takes = {
            let (state, at) = (self.state(), Instant::now());
            let life = state.find(service, instance, at);
            life.map_or(Duration::ZERO, |life| state.takes_to_end(life, grace))
        };
        let cancelled = tokio::select! {
            biased;
            () = permit.cancel().cancelled(), if !takes.is_zero() => true,
            () = tokio::time::sleep(takes), if !takes.is_zero() => false,
            else => false,
        };
        let change = Change::new("processes.stop", service, permit);
        self.ledger
            .change(change, || {
                if cancelled {
                    let asked = "cancelled while the instance was ending";
                    return Err(StepError::new(ErrorKind::Cancelled, asked).fact("id", instance));
                }
                self.end(service, instance)
            })
            .await
    }
}

impl FakeFleet {
    fn start(&self, permit: &Permit, spec: &LaunchSpec) -> Result<Instance, StepError> {
        check(spec)?;
        let (mut state, at) = (self.state(), Instant::now());
        let key = permit.idempotency_key();
        if let Some(life) = state.find(&spec.service, &spec.instance, at) {
            if life.instance.digest != spec.digest {
                let taken = StepError::new(ErrorKind::Conflict, "the id runs another digest");
                return Err(taken.fact("id", &spec.instance).fact("running", life.instance.digest));
            }
            if life.key != key && run_of(&life.key) == run_of(key) {
                let twice = format!("`{}` was launched under `{}`", spec.instance, life.key);
                return Err(self.ledger.refuse(format!("{twice} and is launched again under `{key}`")));
            }
            return Ok(life.instance.clone());
        }
        if state.fails_to_launch(&spec.service, &spec.version, Kind::ProgramMissing) {
            let missing = "the program does not exist";
            return Err(StepError::new(ErrorKind::NotFound, missing).fact("program", spec.program.display()));
        }
        if state.fails_to_launch(&spec.service, &spec.version, Kind::EndsAtLaunch) {
            let ended = "the process ended as soon as it was started";
            return Err(StepError::new(ErrorKind::Failed, ended).fact("id", &spec.instance));
        }
        let number = u32::try_from(state.next()).unwrap_or(u32::MAX);
        let instance = Instance {
            id: spec.instance.clone(),
            version: spec.version.clone(),
            digest: spec.digest,
            address: format!("127.0.0.1:{}", 20_000 + number % 12_000),
            pid: Some(number),
        };
        state.lives.push(Life {
            spec: spec.clone(),
            instance: instance.clone(),
            launched: at,
            key: key.to_owned(),
            proved: false,
            ended: None,
        });
        state.note(&spec.service, format!("launch {}", spec.instance), 0);
        Ok(instance)
    }

    fn end(&self, service: &Name, instance: &InstanceId) -> Result<(), StepError> {
        let (mut state, at) = (self.state(), Instant::now());
        let Some(life) = state.find(service, instance, at) else { return Ok(()) };
        let address = life.instance.address.clone();
        if state.is_routed(service.as_str(), &address, at) {
            return Err(self.ledger.refuse(format!("`{instance}` is stopped while it gets traffic")));
        }
        let cut = state.under_way(life, at);
        if let Some(life) = state.find_mut(service, instance, at) {
            life.ended = Some(at);
        }
        state.held.retain(|_, (name, place)| name != service.as_str() || *place != address);
        state.note(service, format!("stop {instance}"), cut);
        Ok(())
    }
}

fn run_of(key: &str) -> &str {
    key.split('/').next().unwrap_or(key)
}

fn check(spec: &LaunchSpec) -> Result<(), Problems> {
    let mut problems = Problems::default();
    problems.check(spec.program.is_absolute(), "program", "must be an absolute path");
    problems.check(spec.directory.is_absolute(), "directory", "must be an absolute path");
    problems.check(!spec.args.iter().any(|arg| arg.contains('\0')), "args", "must hold no zero byte");
    let odd = |name: &String| name.is_empty() || name.contains(['=', '\0']);
    problems.check(!spec.env.keys().any(odd), "env", "must have names without `=` and zero bytes");
    problems.check(!spec.env.values().any(|value| value.contains('\0')), "env", "must hold no zero byte");
    problems.check(spec.health.path.starts_with('/'), "health.path", "must begin with `/`");
    problems.check(!spec.health.timeout.is_zero(), "health.timeout", "must be longer than nothing");
    problems.into_result()
}
