//! A shop that goes to staging first and then to production.

use std::sync::Arc;
use std::time::Duration;

use flow_core::durable::Journaled;
use flow_core::journal::{Entry, JournalStore, MemoryJournal, read};
use flow_core::plan::{Approvals, ApprovedPlan, PlanError, PlanProblem, ProposedPlan};
use flow_core::policy::Violation;
use flow_core::report::Report;
use flow_core::{Actor, Clock as _, Digest, Environment, RunId, Setting, Stopped, Workflow, name};
use flow_testkit::fake::VirtualClock;

use crate::whole::Shop;

pub(crate) struct Line {
    /// The staging environment.
    pub(crate) staging: Shop,
    /// The production environment.
    pub(crate) shop: Shop,
    pub(crate) clock: Arc<VirtualClock>,
    journal: MemoryJournal,
}

impl Line {
    /// Nothing was ever deployed.
    pub(crate) fn new() -> Self {
        let clock = Arc::new(VirtualClock::new());
        let shop = Shop::new();
        Self { staging: shop.beside(), shop, clock: clock.clone(), journal: MemoryJournal::on(clock) }
    }

    /// Release 1.0.0 went through staging; production is still empty.
    pub(crate) async fn promoted() -> Self {
        let line = Self::new();
        let workflow = line.staging.workflow(&name!("1.0.0"));
        line.run(&workflow, &line.setting(Environment::Staging), "staging").await.unwrap();
        line
    }

    pub(crate) fn workflow(&self) -> Workflow {
        self.shop.workflow(&name!("1.0.0"))
    }

    pub(crate) fn setting(&self, environment: Environment) -> Setting {
        let mut setting = self.shop.setting(name!("1.0.0"));
        setting.environment = environment;
        setting.policy = flow_core::policy::Policy::standard(environment);
        setting.clock = self.clock.clone();
        if environment == Environment::Production {
            setting.artifacts = ["web", "db", "site", "resize"]
                .map(|name| Digest::of(format!("{name} 1.0.0").as_bytes()))
                .to_vec();
            // The image of the world's registry is named after the commit.
            setting.artifacts.push(Digest::of(Digest::of(b"1.0.0").hex().as_bytes()));
        }
        setting
    }

    pub(crate) fn production(&self) -> Setting {
        self.setting(Environment::Production)
    }

    /// Everything that there is, to the byte, but for what was asked.
    pub(crate) fn seen(&self) -> String {
        self.shop.world.state().asked.clear();
        format!("{:#?}\n{:#?}", self.shop.world, self.shop.fleet)
    }

    /// What refuses the plan. The world is untouched by then, to the byte.
    pub(crate) async fn refused(&self, workflow: &Workflow, setting: &Setting) -> Vec<Violation> {
        let before = self.seen();
        let refused: PlanError = workflow.plan(setting).await.map(drop).unwrap_err();
        assert_eq!(self.seen(), before);
        let violation = |problem| match problem {
            PlanProblem::Violation(violation) => violation,
            other => panic!("{other}"),
        };
        refused.problems.into_iter().map(violation).collect()
    }

    pub(crate) fn approvals(&self, proposed: &ProposedPlan) -> Approvals {
        let expires = self.clock.now().checked_add(Duration::from_secs(600)).unwrap();
        Approvals::none().by(Actor::new("bob").unwrap(), proposed.hash, expires)
    }

    pub(crate) fn durable(&self, run: &str) -> Journaled<MemoryJournal> {
        Journaled::new(Arc::new(self.journal.clone()), RunId::new(run).unwrap())
    }

    pub(crate) async fn run(
        &self,
        workflow: &Workflow,
        setting: &Setting,
        run: &str,
    ) -> Result<Report, Stopped> {
        workflow.run(self.approved(workflow, setting).await, &self.durable(run)).await
    }

    pub(crate) async fn approved(&self, workflow: &Workflow, setting: &Setting) -> ApprovedPlan {
        let proposed = match workflow.plan(setting).await {
            Ok(proposed) => proposed,
            Err(refused) => panic!("{refused}"),
        };
        let approvals = self.approvals(&proposed);
        proposed.approve(&approvals).unwrap()
    }

    /// What a run in production broke at a border; it was taken back by then, as far as users can see.
    pub(crate) async fn taken_back(&self, workflow: &Workflow, setting: &Setting) -> Vec<Violation> {
        let before = (self.shop.world.seen(), self.shop.weights().await);
        let stopped = self.run(workflow, setting, "production").await.unwrap_err();
        let Stopped::RolledBack { error: Some(error), .. } = stopped else { panic!("{stopped:?}") };
        assert_eq!((self.shop.world.seen(), self.shop.weights().await), before);
        let violations = error.violations().to_vec();
        let told: Vec<String> = violations.iter().map(ToString::to_string).collect();
        assert_eq!(self.journaled("production").await, told, "the journal has all of them");
        violations
    }

    /// The facts with which the undo of `run` was frozen.
    async fn journaled(&self, run: &str) -> Vec<String> {
        let raw = self.journal.load(&RunId::new(run).unwrap()).await.unwrap();
        let frozen = read(&raw).unwrap().into_iter().find_map(|record| match record.entry {
            Entry::UndoFrozen { cause, .. } => Some(cause),
            _ => None,
        });
        frozen.unwrap().facts.into_values().collect()
    }

    /// How many records `run` has.
    pub(crate) async fn records(&self, run: &str) -> usize {
        self.journal.load(&RunId::new(run).unwrap()).await.unwrap().len()
    }

    /// The last record of `run`.
    pub(crate) async fn last(&self, run: &str) -> flow_core::journal::Record {
        let raw = self.journal.load(&RunId::new(run).unwrap()).await.unwrap();
        read(&raw).unwrap().pop().unwrap()
    }
}
