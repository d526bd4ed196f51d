//! Evidence of earlier runs: bound to digests, with an end, and never believed blindly.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use flow_core::policy::{Proof, Violation};
use flow_core::port::{EvidenceStore, RunEvidence};
use flow_core::prelude::*;
use flow_core::{Clock as _, Digest, Environment, Fence, RunId, Setting};

use super::line::Line;
use crate::world::{Liar, Unreadable};

const STAGING: Environment = Environment::Staging;
const DAY: Duration = Duration::from_hours(24);

/// Production with one named artefact and nothing pending, and evidence from `store`.
fn asking(line: &Line, store: impl EvidenceStore + 'static) -> (Setting, Digest) {
    let mut setting = line.production();
    setting.artifacts.truncate(1);
    setting.policy.scripts = flow_core::policy::Scripts::RunBefore;
    setting.evidence = Some(Arc::new(store));
    let digest = setting.artifacts[0];
    (setting, digest)
}

fn proof(line: &Line, digest: Digest) -> RunEvidence {
    RunEvidence {
        application: name!("shop"),
        environment: STAGING,
        release: name!("1.0.0"),
        digests: vec![digest],
        proved: Proof::TESTS.to_vec(),
        run: RunId::new("staging").unwrap(),
        head: Digest::of(b"head"),
        recorded: line.clock.now(),
        expires: line.clock.now() + DAY,
    }
}

/// The violations about `digest` alone.
async fn of(line: &Line, setting: &Setting, digest: Digest) -> Vec<Violation> {
    let text = digest.to_string();
    let all = line.refused(&line.workflow(), setting).await;
    all.into_iter().filter(|violation| violation.to_string().contains(&text)).collect()
}

#[tokio::test(start_paused = true)]
async fn expired_evidence_is_no_evidence_and_says_since_when() {
    let line = Line::promoted().await;
    line.clock.sleep(DAY * 15).await;
    let setting = line.production();
    let violations = line.refused(&line.workflow(), &setting).await;
    let expired = line.shop.evidence.all()[0].expires;
    let expected = |digest| Violation::ProofExpired { digest, environment: STAGING, expired };
    assert_eq!(violations.len(), 9, "five artefacts and four scripts: {violations:?}");
    assert!(setting.artifacts.iter().all(|digest| violations.contains(&expected(*digest))), "{violations:?}");
}

#[tokio::test(start_paused = true)]
async fn a_shorter_policy_ends_evidence_that_its_own_run_gave_longer() {
    let line = Line::promoted().await;
    line.clock.sleep(DAY * 2).await;
    let mut setting = line.production();
    setting.policy.evidence_lasts = DAY;
    let violations = line.refused(&line.workflow(), &setting).await;
    assert!(violations.iter().all(|found| matches!(found, Violation::ProofExpired { .. })), "{violations:?}");
    setting.policy.evidence_lasts = DAY * 3;
    assert!(line.workflow().plan(&setting).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn evidence_for_another_digest_is_none() {
    let line = Line::promoted().await;
    let mut setting = line.production();
    let digest = Digest::of(b"web 1.0.0, built again");
    setting.artifacts = vec![digest];
    let violations = line.refused(&line.workflow(), &setting).await;
    assert_eq!(violations, [Violation::NotProved { digest, environment: STAGING }]);
}

#[tokio::test(start_paused = true)]
async fn what_a_store_gives_for_something_else_is_refused_with_what_it_is() {
    let line = Line::new();
    let (_, digest) = asking(&line, Unreadable);
    let good = proof(&line, digest);
    let cases = [
        (RunEvidence { application: name!("till"), ..good.clone() }, "of the application `till`"),
        (RunEvidence { environment: Environment::Testing, ..good.clone() }, "of testing"),
        (RunEvidence { digests: vec![Digest::of(b"other")], ..good.clone() }, "for other digests"),
        (
            RunEvidence {
                recorded: line.clock.now() + DAY,
                expires: line.clock.now() + DAY * 2,
                ..good.clone()
            },
            "recorded at 2026-01-02T00:00:00Z, which is yet to come",
        ),
    ];
    for (evidence, found) in cases {
        let (setting, _) = asking(&line, Liar(vec![evidence]));
        let violations = of(&line, &setting, digest).await;
        let foreign = Violation::EvidenceForeign { digest, run: good.run.clone(), found: found.to_owned() };
        let none = Violation::NotProved { digest, environment: STAGING };
        assert_eq!(violations, [foreign, none]);
    }
    let (setting, _) = asking(&line, Liar(vec![good]));
    assert_eq!(of(&line, &setting, digest).await, [], "and the good one is taken");
}

#[tokio::test(start_paused = true)]
async fn evidence_that_cannot_be_read_is_neither_a_pass_nor_none() {
    let line = Line::new();
    let (setting, digest) = asking(&line, Unreadable);
    let problem = "the evidence is damaged".to_owned();
    assert_eq!(of(&line, &setting, digest).await, [Violation::EvidenceUnreadable { digest, problem }]);
    let mut without = setting;
    without.evidence = None;
    assert_eq!(line.refused(&line.workflow(), &without).await, [Violation::NoEvidenceStore]);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_an_older_version_reads_and_proves_no_test() {
    let line = Line::new();
    let (_, digest) = asking(&line, Unreadable);
    let mut old = serde_json::to_value(proof(&line, digest)).unwrap();
    old.as_object_mut().unwrap().remove("proved").unwrap();
    let old: RunEvidence = serde_json::from_value(old).unwrap();
    let (setting, _) = asking(&line, Liar(vec![old]));
    let missing: Vec<Proof> = of(&line, &setting, digest)
        .await
        .into_iter()
        .map(|violation| match violation {
            Violation::TestsIncomplete { missing, .. } => missing,
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(missing, Proof::TESTS);
}

#[tokio::test(start_paused = true)]
async fn two_runs_with_half_the_tests_each_are_no_complete_test() {
    let line = Line::new();
    let (_, digest) = asking(&line, Unreadable);
    let half = |proved: &[Proof]| RunEvidence { proved: proved.to_vec(), ..proof(&line, digest) };
    let halves = vec![half(&Proof::TESTS[..1]), half(&Proof::TESTS[1..])];
    let (setting, _) = asking(&line, Liar(halves));
    let violations = of(&line, &setting, digest).await;
    assert!(
        matches!(violations.as_slice(), [Violation::TestsIncomplete { missing: Proof::FunctionalTest, .. }]),
        "{violations:?}"
    );
}

/// Keeps the fence under which evidence was recorded.
#[derive(Default, Clone)]
struct Fenced(Arc<Mutex<Option<Fence>>>);

#[async_trait]
impl EvidenceStore for Fenced {
    async fn record(&self, permit: &Permit, _: &RunEvidence) -> Result<(), StepError> {
        *self.0.lock().unwrap() = Some(permit.fence());
        Ok(())
    }

    async fn find(&self, _: &Name, _: Environment, _: &Digest) -> Result<Vec<RunEvidence>, StepError> {
        Ok(Vec::new())
    }
}

#[tokio::test(start_paused = true)]
async fn evidence_is_recorded_under_the_fence_of_the_runs_last_record() {
    let line = Line::new();
    let mut setting = line.setting(STAGING);
    let fenced = Fenced::default();
    setting.evidence = Some(Arc::new(fenced.clone()));
    line.run(&line.staging.workflow(&name!("1.0.0")), &setting, "staging").await.unwrap();
    let fence = line.last("staging").await.fence;
    assert!(fence > Fence(0));
    assert_eq!(*fenced.0.lock().unwrap(), Some(fence));
}
