//! Progress for people, drawn from the event stream. A slow terminal never delays a step.

use std::time::Duration;

use flow_core::Setting;
use flow_core::event::{EventKind, Next};
use flow_core::journal::{Entry, RunOutcome};
use flow_core::machine::Phase;
use flow_core::stage::StageName;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::controller::Order;

/// A line that shows how far one run has come.
pub(crate) struct Progress {
    stop: oneshot::Sender<()>,
    drawing: JoinHandle<()>,
}

impl Progress {
    pub(crate) fn watch(setting: &Setting, order: &Order) -> Self {
        let mut events = setting.events.subscribe();
        let bar = ProgressBar::new(StageName::ALL.len() as u64);
        if let Ok(style) = ProgressStyle::with_template("{prefix:22} [{bar:16}] {pos}/{len} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(format!("{} {}", order.environment, order.release));
        bar.enable_steady_tick(Duration::from_millis(200));
        let (stop, mut stopped) = oneshot::channel();
        let drawing = tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    biased;
                    next = events.next() => next,
                    _ = &mut stopped => None,
                };
                match next {
                    Some(Next::Event(event)) => show(&bar, &event.kind),
                    Some(Next::Progress(progress)) => bar.set_message(progress.message),
                    Some(Next::Gap(missed)) => bar.set_message(format!("{missed} events missed")),
                    None => break,
                }
            }
            bar.abandon();
        });
        Self { stop, drawing }
    }

    /// Draws what is left and stops.
    pub(crate) async fn finish(self) {
        // The drawing may have ended by itself; either way it is over now.
        let _ = self.stop.send(());
        let _ = self.drawing.await;
    }
}

fn show(bar: &ProgressBar, kind: &EventKind) {
    let EventKind::Recorded { entry } = kind else {
        if let EventKind::Retrying { key, attempt, .. } = kind {
            bar.set_message(format!("{key}: attempt {attempt} failed, trying again"));
        }
        return;
    };
    match &**entry {
        Entry::StageFinished { stage } => bar.set_position(u64::from(stage.number())),
        Entry::Intended { key, .. } if key.phase == Phase::Undo => {
            bar.set_message(format!("undoing {}", key.step));
        }
        Entry::Intended { key, .. } => bar.set_message(format!("{}: {}", key.stage, key.step)),
        Entry::OwnerChanged { .. } => bar.set_message("taken up again"),
        Entry::UndoFrozen { cause, .. } => bar.set_message(format!("rolling back: {cause}")),
        Entry::Finished { outcome: RunOutcome::Completed } => bar.set_message("completed"),
        Entry::Finished { outcome: RunOutcome::RolledBack } => bar.set_message("rolled back"),
        Entry::Parked { .. } => bar.set_message("parked"),
        _ => {}
    }
}
