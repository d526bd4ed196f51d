use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::error::Problems;
use crate::name::Name;
use crate::port::{InstanceId, Weights};
use crate::strategy::{
    FleetShape, Headroom, Move, RetireWhen, RolloutView, Seen, Strategy, judging, limits, shares,
};

/// Replaces the fleet batch by batch, within a fixed [`headroom`](Self::headroom).
///
/// A batch is `max_surge + max_unavailable` instances. Each goes: launch the new ones; shift, which gives the healthy new
/// ones traffic and takes it from the old ones that they replace; [`bake`](Self::bake); judge; retire the replaced ones,
/// which have had no new requests since the shift, [`Now`](RetireWhen::Now), because the next batch needs their room.
/// They stand until the judgement, so a bad batch finds them still running. Where there is no surge, one shift
/// before the first batch makes the room.
///
/// Never more than `size + max_surge` instances are launched into, and no move leaves fewer than `size -
/// max_unavailable` instances serving, unless fewer served before it.
///
/// The weights follow the instances that get traffic, so that each gets the same share of it. They are rounded to the
/// router's steps by the largest remainder and sum to 100: a weight is off by less than one step. A version with
/// instances that serve gets at least one step, even where its quota is below one; with coarse steps a small first
/// batch then carries more than its share (1 of 20 instances behind a router with steps of 10 % gets 10 %, not 5 %).
///
/// - A `Fail` aborts with the gate's own words. A gate without an answer is asked again after another bake, as often in a
///   row as its policy says; then the rollout is aborted.
/// - An instance of the new version that dies is taken out and replaced; what is left is baked and judged again.
/// - Unhealthy old instances count for nothing: they go first, and a batch grows to what is missing to the minimum.
/// - Where the version already serves with all its instances there is nothing to do.
///
/// ```
/// use std::time::Duration;
/// use flow_core::strategy::{FleetShape, Headroom, Rolling, Strategy};
///
/// let rolling = Rolling { headroom: Headroom::new(2, 1)?, bake: Duration::from_secs(120), ..Rolling::default() };
/// assert!(rolling.check(&FleetShape { size: 8, granularity: 1, gated: true }).is_ok());
///
/// // A router that can only switch cannot serve half a fleet of each version.
/// let problems = rolling.check(&FleetShape { size: 8, granularity: 100, gated: true }).unwrap_err();
/// assert_eq!(problems.as_slice()[0].field, "granularity");
/// # Ok::<(), flow_core::strategy::NoHeadroom>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rolling {
    /// How far the fleet may stray from its size.
    pub headroom: Headroom,
    /// How long each batch must serve before the gate is asked, and again whenever the gate has no answer.
    pub bake: Duration,
    /// How many instances of the new version, in the whole rollout, may fail and be replaced. One more aborts.
    pub relaunches: u32,
}

impl Default for Rolling {
    /// One instance at a time on top of the fleet, a minute of baking, one replacement.
    fn default() -> Self {
        Self { headroom: Headroom::ONE_MORE, bake: Duration::from_secs(60), relaunches: 1 }
    }
}

impl Strategy for Rolling {
    fn name(&self) -> Name {
        crate::name!("rolling")
    }

    fn definition(&self) -> Value {
        json!(self)
    }

    fn check(&self, fleet: &FleetShape) -> Result<(), Problems> {
        let mut problems = Problems::default();
        limits::check_fleet(&mut problems, fleet);
        let whole = fleet.granularity <= 50 || self.headroom.max_surge() >= fleet.size;
        problems.check(whole, "granularity", "must be at most 50, or `headroom.max_surge` the whole fleet");
        let serves = self.headroom.max_unavailable() < fleet.size;
        problems.check(serves, "headroom.max_unavailable", "must be below the size: else nothing need serve");
        judging::check_bake(&mut problems, fleet, "bake", self.bake);
        problems.into_result()
    }

    fn decide(&self, view: &RolloutView) -> Move {
        if let Some(abort) = limits::given_up(view, self.relaunches) {
            return abort;
        }
        if limits::already_there(view) {
            return Move::Done;
        }
        let fleet = Fleet::of(self, view);
        let mended = fleet.mend().or_else(|| limits::bury(view));
        let proved = mended.or_else(|| fleet.prove());
        proved.unwrap_or_else(|| if fleet.is_replaced() { fleet.finish() } else { fleet.next_batch() })
    }
}

/// The observed fleet, seen as a replacement under way.
struct Fleet<'a> {
    rolling: &'a Rolling,
    view: &'a RolloutView,
    /// The healthy old instances of versions that have traffic by right and are not on their way out, those that get
    /// some now first.
    old: Vec<&'a Seen>,
    /// How many of them get traffic.
    old_serving: u32,
    new_ready: u32,
    new_serving: u32,
}

impl<'a> Fleet<'a> {
    fn of(rolling: &'a Rolling, view: &'a RolloutView) -> Self {
        let by_right =
            |seen: &&Seen| view.weights.share(&seen.version) > 0 || view.old.as_ref() == Some(&seen.version);
        let useful = view.replaced().filter(|seen| seen.healthy && !view.is_retired(&seen.id));
        let mut old: Vec<&Seen> = useful.filter(by_right).collect();
        old.sort_by_key(|seen| !seen.routed);
        let old_serving = count(old.iter().filter(|seen| seen.routed));
        let (new_ready, new_serving) = (view.ready(&view.new), view.serving(&view.new));
        Self { rolling, view, old, old_serving, new_ready, new_serving }
    }

    /// Moves traffic away from dead new instances and from versions of which nothing is healthy, if there is a way.
    fn mend(&self) -> Option<Move> {
        let stranded = self.view.weights.iter().any(|(version, _)| self.view.ready(version) == 0);
        let broken = stranded || !limits::dead_and_routed(self.view).is_empty();
        let alive = self.new_ready > 0 || !self.old.is_empty();
        (broken && alive).then(|| self.shift(self.kept()))
    }

    /// What is missing for the batch that serves to count as good, and then for the instances it replaced to be gone.
    fn prove(&self) -> Option<Move> {
        let begun = self.view.shifted_to().is_some() || self.is_replaced();
        if !begun || self.view.weights.share(&self.view.new) == 0 {
            return None;
        }
        let unproved = judging::unproved(self.view, self.rolling.bake);
        unproved.or_else(|| limits::retire(self.idle(), RetireWhen::Now))
    }

    fn is_replaced(&self) -> bool {
        self.new_serving >= self.view.size
    }

    fn finish(&self) -> Move {
        let strays = self.view.replaced().any(|seen| seen.routed);
        if strays || self.view.weights.share(&self.view.new) < 100 { self.shift(0) } else { Move::Done }
    }

    fn next_batch(&self) -> Move {
        let size = self.view.size;
        let fresh = self.new_ready - self.new_serving;
        let short = self.minimum().saturating_sub(self.old_serving + self.new_serving);
        let batch = self.rolling.headroom.batch().max(short).min(size - self.new_serving);
        let missing = batch.saturating_sub(fresh);
        let total = count(self.view.instances.iter());
        let room = self.maximum().saturating_sub(total);
        if missing > 0 && missing <= room {
            return Move::Launch { count: missing };
        }
        let excess = total.saturating_add(missing).saturating_sub(self.maximum());
        let made_room = if missing > 0 { self.make_room(excess, fresh) } else { None };
        made_room.unwrap_or_else(|| match (missing.min(room), fresh) {
            (0, 0) => limits::abort("no room for another instance, and none that could be spared"),
            (0, _) => self.shift(self.kept()),
            (count, _) => Move::Launch { count },
        })
    }

    /// Makes room for `excess` instances: by retiring what gets no traffic, else by taking traffic from what can be spared.
    fn make_room(&self, excess: u32, fresh: u32) -> Option<Move> {
        let idle = self.idle();
        if !idle.is_empty() {
            return limits::retire(idle, RetireWhen::Now);
        }
        let useless: Vec<&Seen> = self.view.replaced().filter(|seen| seen.routed && !seen.healthy).collect();
        if limits::is_down(self.view) {
            let useless = useless.into_iter().filter(|seen| !self.view.is_retired(&seen.id));
            let some = useless.take(usize::try_from(excess).unwrap_or(usize::MAX));
            return limits::retire(limits::ids(some), RetireWhen::Now);
        }
        let serving = self.old_serving + self.new_serving;
        let wanted = excess.saturating_sub(count(useless.iter()));
        let spared = wanted.min(serving.saturating_sub(self.minimum())).min(self.old_serving);
        let helps = fresh == 0 && (spared > 0 || !useless.is_empty());
        helps.then(|| self.shift(self.old_serving - spared))
    }

    /// How many old instances keep their traffic next to the new ones that are ready: as many as the size asks for,
    /// less the room that the next batch needs.
    fn kept(&self) -> u32 {
        let left = self.view.size.saturating_sub(self.new_ready);
        let next = self.rolling.headroom.batch().min(left);
        left.min(self.maximum().saturating_sub(self.new_ready).saturating_sub(next))
    }

    /// Gives traffic to every healthy new instance and to `kept` old ones.
    fn shift(&self, kept: u32) -> Move {
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        let split = self.weights(kept).map(|weights| (weights, kept));
        // Versions that do not fit into the router's steps: the new one alone, if that is no loss.
        let enough = self.new_ready >= self.minimum().min(self.old_serving + self.new_serving);
        let split = split.or_else(|| self.weights(0).filter(|_| enough).map(|weights| (weights, 0)));
        let Some((weights, kept)) = split else {
            let steps = self.view.granularity;
            return limits::abort(format!(
                "the versions cannot share the traffic in the router's steps of {steps} %"
            ));
        };
        let stays: Vec<&InstanceId> = self.old.iter().take(kept).map(|seen| &seen.id).collect();
        let mut leaving = limits::ids(self.view.replaced().filter(|seen| !stays.contains(&&seen.id)));
        leaving.extend(limits::dead_and_routed(self.view));
        limits::shift(self.view, weights, leaving)
    }

    fn weights(&self, kept: usize) -> Option<Weights> {
        let mut counts = BTreeMap::from([(self.view.new.clone(), self.new_ready)]);
        for seen in self.old.iter().take(kept) {
            *counts.entry(seen.version.clone()).or_default() += 1;
        }
        shares::proportional(&counts, self.view.granularity)
    }

    /// The instances of other versions that get no traffic.
    fn idle(&self) -> Vec<InstanceId> {
        limits::ids(self.view.replaced().filter(|seen| !seen.routed && !self.view.is_retired(&seen.id)))
    }

    fn minimum(&self) -> u32 {
        self.view.size.saturating_sub(self.rolling.headroom.max_unavailable())
    }

    fn maximum(&self) -> u32 {
        self.view.size.saturating_add(self.rolling.headroom.max_surge())
    }
}

fn count<T>(these: impl Iterator<Item = T>) -> u32 {
    u32::try_from(these.count()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Verdict;
    use crate::name;
    use crate::strategy::sketch::{Sketch, baked, launched, said, shifted, waited};

    fn rolling(max_surge: u32, max_unavailable: u32) -> Rolling {
        let headroom = Headroom::new(max_surge, max_unavailable).expect("room");
        Rolling { headroom, bake: baked(), relaunches: 1 }
    }

    fn split(old: u8, new: u8, leaving: &[&'static str]) -> Move {
        let weights = Weights::new([(name!("v1"), old), (name!("v2"), new)]).expect("they sum to 100");
        let leaving = leaving.iter().map(|id| Name::new(*id).expect("a name")).collect();
        Move::Shift { weights, leaving }
    }

    #[test]
    fn a_batch_is_launched_on_top_and_takes_over_from_as_many_old_ones() {
        assert_eq!(rolling(1, 0).decide(&Sketch::of(4).old(4).view()), Move::Launch { count: 1 });
        let mut view = Sketch::of(4).old(4).fresh(1).view();
        view.history.push(launched(1));
        assert_eq!(rolling(1, 0).decide(&view), split(75, 25, &["v1-3"]));
    }

    #[test]
    fn replaced_instances_stand_until_the_judgement_and_then_go_at_once() {
        let mut view = Sketch::of(4).old(4).fresh(1).share(25).view();
        view.instances
            .iter_mut()
            .filter(|seen| seen.id == name!("v1-3"))
            .for_each(|seen| seen.routed = false);
        view.history.extend([launched(1), shifted(&view.weights)]);
        assert_eq!(rolling(1, 0).decide(&view), Move::Bake { duration: baked() });
        view.history.push(waited());
        let gone = Move::Retire { instances: vec![name!("v1-3")], when: RetireWhen::Now };
        assert_eq!(rolling(1, 0).decide(&view), gone);
        view.instances.retain(|seen| seen.id != name!("v1-3"));
        assert_eq!(rolling(1, 0).decide(&view), Move::Launch { count: 1 });
    }

    #[test]
    fn without_surge_room_is_made_before_anything_is_launched() {
        let mut view = Sketch::of(5).old(5).view();
        let strategy = rolling(0, 2);
        assert_eq!(strategy.decide(&view), split(100, 0, &["v1-3", "v1-4"]));
        for seen in &mut view.instances {
            seen.routed = seen.id < name!("v1-3");
        }
        view.history.push(shifted(&view.weights));
        let gone = Move::Retire { instances: vec![name!("v1-3"), name!("v1-4")], when: RetireWhen::Now };
        assert_eq!(strategy.decide(&view), gone);
        view.instances.truncate(3);
        assert_eq!(strategy.decide(&view), Move::Launch { count: 2 });
    }

    #[test]
    fn a_failed_judgement_aborts_with_its_reason() {
        let mut view = Sketch::of(4).old(4).fresh(1).share(25).view();
        view.history.extend([launched(1), shifted(&view.weights), said(Verdict::Fail)]);
        assert_eq!(rolling(1, 0).decide(&view), Move::Abort { reason: "the gate said Fail".to_owned() });
    }

    #[test]
    fn a_first_deployment_launches_the_whole_fleet() {
        assert_eq!(rolling(1, 0).decide(&Sketch::of(4).view()), Move::Launch { count: 4 });
        let mut view = Sketch::of(4).fresh(4).view();
        view.history.push(launched(4));
        assert_eq!(rolling(1, 0).decide(&view), split(0, 100, &[]));
    }

    #[test]
    fn a_fleet_of_the_same_version_that_lacks_instances_gets_them_first() {
        let mut view = Sketch::of(4).fresh(3).share(100).view();
        view.old = Some(view.new.clone());
        assert_eq!(rolling(1, 0).decide(&view), Move::Launch { count: 1 });
    }

    #[test]
    fn an_old_fleet_that_is_down_gives_up_its_room_without_surge() {
        let mut view = Sketch::of(4).old(4).view();
        view.instances.iter_mut().for_each(|seen| seen.healthy = false);
        let Move::Retire { instances, when: RetireWhen::Now } = rolling(0, 1).decide(&view) else {
            panic!("nothing is healthy and nothing fits on top");
        };
        assert_eq!(instances, [name!("v1-0"), name!("v1-1"), name!("v1-2")]);
    }

    #[test]
    fn the_version_that_already_serves_is_done_at_once() {
        let mut view = Sketch::of(3).fresh(3).share(100).view();
        view.old = Some(view.new.clone());
        assert_eq!(rolling(1, 0).decide(&view), Move::Done);
    }

    #[test]
    fn every_problem_is_reported_with_its_field() {
        let fleet = FleetShape { size: 2, granularity: 100, gated: true };
        let strategy = Rolling { bake: Duration::ZERO, ..rolling(1, 2) };
        let problems = strategy.check(&fleet).expect_err("much is wrong");
        let fields: Vec<_> = problems.as_slice().iter().map(|problem| problem.field.as_str()).collect();
        assert_eq!(fields, ["granularity", "headroom.max_unavailable", "bake"]);
        assert!(rolling(2, 0).check(&fleet).is_ok(), "the whole fleet fits on top");
    }

    #[test]
    fn a_definition_reads_back_and_refuses_unknown_fields() {
        let strategy = rolling(2, 1);
        assert_eq!(serde_json::from_value::<Rolling>(strategy.definition()).expect("reads"), strategy);
        assert_eq!(serde_json::from_str::<Rolling>("{}").expect("reads"), Rolling::default());
        assert!(serde_json::from_str::<Rolling>(r#"{"max_surge": 1}"#).is_err());
    }
}
