//! One deployment under load, and what became of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flow_core::port::{ProcessManager, Router};
use flow_core::stage::Services;
use flow_core::strategy::{Headroom, Rolling};
use flow_core::{Service, Stopped, Work, Workflow, name};
use flow_examples::{private, shop};
use flow_proving::app::Behaviour;
use flow_proving::load::{Client, Load, Log, UnderWay};
use flow_proving::{Address, Outside, is_long};
use tempfile::TempDir;

use crate::watch::{Standing, Watch, standing};

/// How long a request takes: longer than an instance is given to end.
const REQUEST_MS: u64 = 150;
/// Slow requests in a second.
const SLOW_RATE: u32 = 4;

/// The shop, and everything that one version after another is deployed through.
pub(crate) struct Ground {
    pub(crate) address: Address,
    pub(crate) roots: Vec<PathBuf>,
    pub(crate) processes: Arc<dyn ProcessManager>,
    pub(crate) router: Arc<dyn Router>,
    pub(crate) service: Service,
    pub(crate) headroom: Headroom,
    /// How long a slow request takes: longer than it takes from a shift to the stop of who lost its traffic.
    pub(crate) slow_ms: u64,
    /// Puts what belongs before and behind the rollout around it.
    pub(crate) around: fn(&Ground, Work<Services>) -> Outside<Work<Services>>,
    pub(crate) directory: TempDir,
}

/// What one deployment under load was seen to do.
pub(crate) struct Seen {
    pub(crate) ended: anyhow::Result<()>,
    pub(crate) before: Standing,
    pub(crate) took: Duration,
    pub(crate) log: Log,
    pub(crate) looks: Vec<Standing>,
    pub(crate) last: Standing,
}

impl Ground {
    /// Writes a release whose requests take long, some of them very long, and that never ends when it is asked: nothing but the drain
    /// keeps them whole.
    pub(crate) fn release(&self, version: &str) -> Outside<PathBuf> {
        let behaviour = Behaviour { request_ms: REQUEST_MS, ignores_signals: true, ..Behaviour::of(version) };
        let script = private::release(self.directory.path(), &behaviour)?;
        let source = std::fs::read_to_string(&script)?;
        let slow = format!("request.url === '/slow' ? {} : told.request_ms", self.slow_ms);
        let patient = source.replacen("told.request_ms", &slow, 1);
        assert_ne!(patient, source, "the application takes its time in another way");
        std::fs::write(&script, patient)?;
        Ok(script)
    }

    /// Deploys a release that was written.
    pub(crate) async fn deploy(&self, version: &str, path: PathBuf) -> Outside<anyhow::Result<()>> {
        let root = self.directory.path();
        let rolling =
            Rolling { headroom: self.headroom, bake: Duration::from_millis(200), ..Rolling::default() };
        let rollout = Work::rollout(rolling, self.service.clone());
        let workflow = Workflow {
            build: Work::step(shop::TakeArtifact { name: name!("shop"), path }),
            services: (self.around)(self, rollout.on(self.processes.clone(), self.router.clone()))?,
            ..shop::workflow(root)?
        };
        Ok(shop::deploy(&workflow, &shop::setting(root, version)?).await.map(drop))
    }

    /// Deploys a release while users come and the process table is watched.
    pub(crate) async fn under_load(&self, version: &str, path: PathBuf) -> Outside<Seen> {
        let users = Users::with_slow_ones(&self.address, rate())?;
        users.until_answered(3).await?;
        let before = standing(&self.roots).await;
        let watch = Watch::over(self.roots.clone());
        let begun = Instant::now();
        let ended = self.deploy(version, path).await?;
        let took = begun.elapsed();
        let looks = watch.end();
        // Whoever came last is answered as well.
        users.until_answered(6).await?;
        let last = standing(&self.roots).await;
        Ok(Seen { ended, before, took, log: users.stop().await?, looks, last })
    }
}

impl Seen {
    /// The fewest instances that any look found.
    pub(crate) fn fewest(&self) -> usize {
        self.looks.iter().map(Standing::len).min().unwrap_or_default()
    }

    pub(crate) fn say(&self, what: &str) {
        let most = self.looks.iter().map(Standing::len).max().unwrap_or_default();
        let (summary, looks) = (self.log.summary(), self.looks.len());
        println!(
            "{what}: {summary}; {} to {most} instances in {looks} looks; {:.1} s",
            self.fewest(),
            self.took.as_secs_f64()
        );
    }

    /// Nobody was lost, and nobody found fewer instances than there must be.
    pub(crate) fn lost_nothing(&self, at_least: usize) {
        let lost: Vec<_> = self.log.failures().collect();
        assert!(lost.is_empty(), "{}: {lost:?}", self.log.summary());
        assert!(self.looks.len() > 20, "{} looks are too few", self.looks.len());
        assert!(self.fewest() >= at_least, "{} instances stood at one time", self.fewest());
    }

    /// All that stands now is of `version`, so many.
    pub(crate) fn stands(&self, version: &str, instances: usize) {
        assert_eq!(self.last.len(), instances, "{:?}", self.last);
        assert!(self.last.values().all(|stands| stands == version), "{:?}", self.last);
    }

    /// The deployment failed and everything was put back.
    pub(crate) fn was_taken_back(&self) {
        let error = self.ended.as_ref().unwrap_err();
        let taken_back = matches!(error.downcast_ref::<Stopped>(), Some(Stopped::RolledBack { .. }));
        assert!(taken_back, "{error:?}");
    }
}

/// Careful users, naive ones and ones that connect anew, all at once.
pub(crate) struct Users(Vec<UnderWay>);

impl Users {
    pub(crate) fn start(address: &Address, rate: u32) -> Outside<Self> {
        let start = |client| Ok(Load::of(address.clone(), client).at_rate(rate).start()?);
        [Client::Careful, Client::Naive, Client::New].into_iter().map(start).collect::<Outside<_>>().map(Self)
    }

    /// Those, and some whose requests are slow and cannot be sent a second time.
    fn with_slow_ones(address: &Address, rate: u32) -> Outside<Self> {
        let mut users = Self::start(address, rate)?;
        let slow = Load::of(address.clone(), Client::Naive).at_rate(SLOW_RATE).path("/slow");
        users.0.push(slow.start()?);
        Ok(users)
    }

    /// Waits until each kind has had so many more answers.
    pub(crate) async fn until_answered(&self, more: usize) -> Outside<()> {
        for users in &self.0 {
            let before = std::sync::OnceLock::new();
            users.until(|log| log.requests() >= before.get_or_init(|| log.requests()) + more).await?;
        }
        Ok(())
    }

    pub(crate) async fn stop(self) -> Outside<Log> {
        let mut all = Log::default();
        for users in self.0 {
            all.0.extend(users.stop().await?.0);
        }
        Ok(all)
    }
}

/// Requests a second of each kind of user.
pub(crate) fn rate() -> u32 {
    if is_long() { 100 } else { 30 }
}

/// How many deployments a test makes.
pub(crate) fn rounds() -> u32 {
    if is_long() { 10 } else { 1 }
}

/// The service, whose instances are killed soon after they were asked to end.
pub(crate) fn service(size: u32) -> Service {
    Service { size, stop_within: Duration::from_millis(50), ..Service::new(name!("shop")) }
}

pub(crate) fn nothing_around(_: &Ground, rollout: Work<Services>) -> Outside<Work<Services>> {
    Ok(shop::static_program(rollout)?)
}
