//! What must hold at every decision of a rollout, judged from the world and never from what the strategy says of itself.

use flow_core::gate::Verdict;
use flow_core::strategy::{Move, Past, RetireWhen, RolloutView, Seen, Strategy};
use flow_core::{Name, Weights};

use crate::scenario::Scenario;

/// The bounds of one strategy in one scenario.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The fewest instances that may be left serving.
    pub(crate) minimum: u32,
    /// The most instances that a launch may lead to.
    pub(crate) maximum: u32,
    /// The most instances of the new version that may be launched in all.
    pub(crate) launches: u32,
    /// The most moves that may be made.
    pub(crate) moves: usize,
    /// Whose share the weights follow.
    pub(crate) share: Share,
    /// The approval that traffic for the new version takes.
    pub(crate) approval: Option<Name>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Share {
    /// Each version's share has the instances that it needs of the whole size: `ceil(size × share / 100)`.
    OfSize,
    /// Each instance that serves has the same share.
    PerInstance,
}

/// How a rollout went.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) moves: Vec<Move>,
}

impl Ended {
    pub(crate) fn is_done(&self) -> bool {
        self.moves.last() == Some(&Move::Done)
    }
}

type Held = Result<(), String>;

/// Runs the rollout to its end and checks everything on the way.
pub(crate) fn roll_out(scenario: &Scenario, strategy: &dyn Strategy, rules: &Rules) -> Result<Ended, String> {
    let mut world = scenario.world();
    let mut moves = Vec::new();
    loop {
        let view = world.view();
        let made = strategy.decide(&view);
        moves.push(made.clone());
        let held = is_determined(strategy, &view, &made)
            .and_then(|()| listens_to_the_gate(&view, &made, scenario.patience()))
            .and_then(|()| stops_for_foreign_weights(&view, &made))
            .and_then(|()| leaves_what_is_dead(&view, &made))
            .and_then(|()| check_move(&view, &made, rules))
            .and_then(|()| terminates(moves.len(), rules));
        held.map_err(|broken| described(&broken, &moves, &view))?;
        if matches!(made, Move::Done | Move::Abort { .. }) {
            resumes(strategy, &view, &made)?;
            return Ok(Ended { moves });
        }
        world.make(&made);
    }
}

fn described(broken: &str, moves: &[Move], view: &RolloutView) -> String {
    let lines = moves.iter().map(|made| format!("  {made:?}"));
    let seen = view
        .instances
        .iter()
        .map(|seen| format!("  {} healthy {} routed {}", seen.id, seen.healthy, seen.routed));
    let told = lines.chain([format!("with {} and", view.weights)]).chain(seen).collect::<Vec<_>>().join("\n");
    format!("{broken}, after\n{told}\n")
}

fn check_move(view: &RolloutView, made: &Move, rules: &Rules) -> Held {
    match made {
        Move::Launch { count } => launches_within_bounds(view, *count, rules),
        Move::Shift { weights, leaving } => {
            weights_are_whole(view, weights)?;
            only_healthy_versions_get_traffic(view, weights, leaving)?;
            capacity_stays(view, rules, |seen| stays(seen, weights, leaving))?;
            shares_are_carried(view, weights, leaving, rules)?;
            no_gate_is_bypassed(view, weights)?;
            approval_is_given(view, weights, rules)
        }
        Move::Retire { instances, when } => {
            retires_only_what_serves_nobody(view, instances, *when)?;
            capacity_stays(view, rules, |seen| {
                seen.healthy && seen.routed && !(instances.contains(&seen.id) && *when == RetireWhen::Now)
            })
        }
        Move::AwaitApproval { .. } => {
            must(!view.history.iter().any(|past| past.made == *made), "an approval is asked for twice")
        }
        Move::Done => is_complete(view),
        Move::Bake { duration } => must(!duration.is_zero(), "a bake of nothing"),
        Move::Judge => must(view.gate.is_some(), "a gate is asked that is not there"),
        Move::Abort { reason } => must(!reason.is_empty(), "an abort without a reason"),
    }
}

fn is_determined(strategy: &dyn Strategy, view: &RolloutView, made: &Move) -> Held {
    must(strategy.decide(view) == *made, "the same view gives another move")
}

/// A run that is resumed decides on what its journal gave back.
fn resumes(strategy: &dyn Strategy, view: &RolloutView, made: &Move) -> Held {
    let journal = serde_json::to_string(&view.history).map_err(|error| error.to_string())?;
    let history: Vec<Past> = serde_json::from_str(&journal).map_err(|error| error.to_string())?;
    let resumed = RolloutView { history, ..view.clone() };
    must(strategy.decide(&resumed) == *made, "a history read back from a journal gives another move")
}

fn listens_to_the_gate(view: &RolloutView, made: &Move, patience: u32) -> Held {
    let verdict = |past: &Past| past.judgement.as_ref().map(|judgement| judgement.verdict);
    let aborts = matches!(made, Move::Abort { .. });
    let last = view.history.last().and_then(verdict);
    must(last != Some(Verdict::Fail) || aborts, "a failed gate is not followed by an abort")?;
    let said = view.since_shift().iter().rev().filter_map(verdict);
    let silent =
        said.take_while(|said| matches!(said, Verdict::Insufficient | Verdict::ProviderError)).count();
    must(silent <= patience as usize || aborts, "a silent gate is asked more often than its policy allows")
}

fn stops_for_foreign_weights(view: &RolloutView, made: &Move) -> Held {
    let moved = view.shifted_to().is_some_and(|expected| *expected != view.weights);
    must(!moved || matches!(made, Move::Abort { .. }), "foreign weights are overruled")
}

/// Traffic for dead new instances moves before anything else happens, as long as there is somewhere to move it to.
fn leaves_what_is_dead(view: &RolloutView, made: &Move) -> Held {
    let stranded = view.weights.share(&view.new) > 0 && view.ready(&view.new) == 0;
    let dead = view.instances.iter().any(|seen| seen.version == view.new && seen.routed && !seen.healthy);
    let refuge = view.instances.iter().filter(|seen| seen.healthy && !is_parting(view, &seen.id));
    let refuge =
        refuge.into_iter().any(|seen| seen.version == view.new || view.old.as_ref() == Some(&seen.version));
    let moves = matches!(made, Move::Shift { .. } | Move::Abort { .. });
    must(!((stranded || dead) && refuge) || moves, "dead new instances keep their traffic")
}

fn launches_within_bounds(view: &RolloutView, count: u32, rules: &Rules) -> Held {
    let total = view.instances.len() as u32 + count;
    must(count > 0, "a launch of nothing")?;
    must(total <= rules.maximum, &format!("{total} instances, at most {} may stand", rules.maximum))?;
    let launched = view.launched() + count;
    must(launched <= rules.launches, &format!("{launched} launches, at most {} may be", rules.launches))
}

fn weights_are_whole(view: &RolloutView, weights: &Weights) -> Held {
    let sum: u32 = weights.iter().map(|(_, share)| u32::from(share)).sum();
    must(sum == 100, "the weights do not sum to 100")?;
    let whole = weights.iter().all(|(_, share)| share % view.granularity == 0);
    must(whole, "a weight is finer than the router")
}

fn only_healthy_versions_get_traffic(view: &RolloutView, weights: &Weights, leaving: &[Name]) -> Held {
    let healthy = |version: &Name| {
        view.instances.iter().any(|seen| seen.version == *version && stays(seen, weights, leaving))
    };
    must(
        weights.iter().all(|(version, _)| healthy(version)),
        "traffic for a version without a healthy instance",
    )?;
    let known = |version: &Name| *version == view.new || view.old.as_ref() == Some(version);
    must(weights.iter().all(|(version, _)| known(version)), "traffic for a version that never served")?;
    let parting = view.replaced().filter(|seen| is_parting(view, &seen.id));
    must(
        !parting.into_iter().any(|seen| stays(seen, weights, leaving)),
        "traffic for an instance that was told to stop",
    )
}

fn capacity_stays(view: &RolloutView, rules: &Rules, serves_after: impl Fn(&Seen) -> bool) -> Held {
    let before = view.instances.iter().filter(|seen| seen.healthy && seen.routed).count() as u32;
    let after = view.instances.iter().filter(|seen| serves_after(seen)).count() as u32;
    let least = rules.minimum.min(before);
    must(after >= least, &format!("{after} instances serve after the move, {least} must"))
}

fn shares_are_carried(view: &RolloutView, weights: &Weights, leaving: &[Name], rules: &Rules) -> Held {
    let serving = |version: &Name| {
        let of = |seen: &&Seen| seen.version == *version && stays(seen, weights, leaving);
        view.instances.iter().filter(of).count() as u32
    };
    let share = weights.share(&view.new);
    match rules.share {
        Share::OfSize => {
            let raised = share > view.weights.share(&view.new) && !is_emergency(view);
            let needed = (view.size * u32::from(share)).div_ceil(100);
            must(!raised || serving(&view.new) >= needed, "too few new instances for their share")
        }
        Share::PerInstance => {
            let total: u32 =
                view.instances.iter().filter(|seen| stays(seen, weights, leaving)).count() as u32;
            let step = f64::from(view.granularity);
            let quota = |version: &Name| 100.0 * f64::from(serving(version)) / f64::from(total.max(1));
            let fits = weights.iter().all(|(version, _)| quota(version) >= step);
            let near = |version: &Name, share: u8| (f64::from(share) - quota(version)).abs() < step;
            let carried = weights.iter().all(|(version, share)| share > 0 && (!fits || near(version, share)));
            must(carried, "the weights do not follow the instances")
        }
    }
}

/// The new version gets more only after the gate passed what it had, unless what is routed now is broken.
fn no_gate_is_bypassed(view: &RolloutView, weights: &Weights) -> Held {
    let had = view.weights.share(&view.new);
    let raised = weights.share(&view.new) > had && had > 0 && view.shifted_to().is_some();
    let excused = view.gate.is_none() || is_emergency(view);
    must(!raised || excused || passed(view), "the new version gets more without a pass")
}

fn approval_is_given(view: &RolloutView, weights: &Weights, rules: &Rules) -> Held {
    let Some(gate) = rules.approval.clone() else { return Ok(()) };
    let given = view.history.iter().any(|past| past.made == Move::AwaitApproval { gate: gate.clone() });
    let first = view.weights.share(&view.new) == 0 && weights.share(&view.new) > 0;
    must(!first || given, "a switch without its approval")
}

fn retires_only_what_serves_nobody(view: &RolloutView, retired: &[Name], when: RetireWhen) -> Held {
    must(!retired.is_empty(), "a retirement of nothing")?;
    let down = !view.instances.iter().any(|seen| seen.healthy);
    for id in retired {
        let seen =
            view.instances.iter().find(|seen| seen.id == *id).ok_or("an unknown instance is retired")?;
        must(!seen.routed || down, "an instance that gets traffic is retired")?;
        must(seen.version != view.new || !seen.healthy, "a healthy new instance is retired")?;
        must(seen.version != view.new || when == RetireWhen::Now, "a new instance is kept warm")?;
        must(!view.is_retired(id), "an instance is retired twice")?;
    }
    Ok(())
}

fn is_complete(view: &RolloutView) -> Held {
    must(view.weights == Weights::all_to(view.new.clone()), "done without all the traffic")?;
    must(view.serving(&view.new) >= view.size, "done without the whole fleet")?;
    let untouched = view.shifted_to().is_none() && view.old.as_ref() == Some(&view.new);
    let retired = view.replaced().all(|seen| view.is_retired(&seen.id));
    must(untouched || retired, "done while replaced instances stand unretired")?;
    let baked = view.since_shift().iter().any(|past| matches!(past.made, Move::Bake { .. }));
    must(untouched || baked, "done without a bake since the last shift")?;
    must(untouched || view.gate.is_none() || passed(view), "done without a pass since the last shift")
}

fn terminates(moves: usize, rules: &Rules) -> Held {
    must(moves <= rules.moves, &format!("more than {} moves", rules.moves))
}

/// Whether the last thing that the gate said since the last shift is `Pass`.
fn passed(view: &RolloutView) -> bool {
    let said = view.since_shift().iter().rev().find_map(|past| past.judgement.as_ref());
    said.is_some_and(|judgement| judgement.verdict == Verdict::Pass)
}

/// Whether traffic goes to something dead right now.
fn is_emergency(view: &RolloutView) -> bool {
    let stranded = view.weights.iter().any(|(version, _)| view.ready(version) == 0);
    stranded || view.instances.iter().any(|seen| seen.version == view.new && seen.routed && !seen.healthy)
}

/// Whether the instance was told to stop at once.
fn is_parting(view: &RolloutView, id: &Name) -> bool {
    view.history.iter().any(|past| match &past.made {
        Move::Retire { instances, when: RetireWhen::Now } => instances.contains(id),
        _ => false,
    })
}

fn stays(seen: &Seen, weights: &Weights, leaving: &[Name]) -> bool {
    seen.healthy && weights.share(&seen.version) > 0 && !leaving.contains(&seen.id)
}

fn must(holds: bool, otherwise: &str) -> Held {
    if holds { Ok(()) } else { Err(otherwise.to_owned()) }
}
