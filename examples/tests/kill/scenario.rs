//! The runs that are killed: each a few commands, with what happens to the world before each of them.

use flow_core::durable::Journaled;
use flow_core::journal::Signal;
use flow_core::machine::{CallKey, Phase};
use flow_core::stage::StageName;
use flow_core::{Actor, RunId, name};
use flow_journal::SqliteJournal;

use crate::shop::Shop;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Scenario {
    /// 1.1.0 replaces 1.0.0.
    Good,
    /// 1.2.0 cannot read the orders, and takes itself back. Its switch waits for an approval.
    Bad,
    /// 1.2.0 is held, since nobody can be notified. It is given up, but its configuration cannot be taken back.
    Stuck,
}

/// One command of a scenario.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leg {
    pub(crate) command: &'static str,
    /// What goes on after a death.
    pub(crate) recovery: &'static str,
    before: Act,
    /// The exit code at its end.
    pub(crate) code: i32,
}

#[derive(Debug, Clone, Copy)]
enum Act {
    Nothing,
    Approve,
    BreakNotifications,
    BreakConfiguration,
    Repair,
}

impl Scenario {
    pub(crate) const fn version(self) -> &'static str {
        match self {
            Self::Good => "1.1.0",
            Self::Bad | Self::Stuck => "1.2.0",
        }
    }

    pub(crate) const fn options(self) -> &'static [&'static str] {
        match self {
            Self::Good => &[],
            Self::Bad => &["--approval", "switch"],
            Self::Stuck => &["--hold"],
        }
    }

    pub(crate) const fn legs(self) -> &'static [Leg] {
        match self {
            Self::Good => &[Leg { command: "release", recovery: "resume", before: Act::Nothing, code: 0 }],
            Self::Bad => &[Leg { command: "release", recovery: "resume", before: Act::Approve, code: 3 }],
            Self::Stuck => &[
                Leg { command: "release", recovery: "resume", before: Act::BreakNotifications, code: 5 },
                Leg { command: "give-up", recovery: "give-up", before: Act::BreakConfiguration, code: 4 },
                Leg { command: "retry", recovery: "retry", before: Act::Repair, code: 3 },
            ],
        }
    }
}

impl Leg {
    /// Does to the world what happens before this command.
    pub(crate) async fn prepare(&self, shop: &Shop, run: &RunId) {
        let inbox = shop.staging("notifications.jsonl");
        let file = shop.staging("configuration/shop.json");
        let away = shop.staging("configuration/shop.json.away");
        match self.before {
            Act::Nothing => {}
            Act::Approve => {
                let store = SqliteJournal::open(shop.root.join("journal.db")).await.unwrap();
                let key =
                    CallKey { stage: StageName::Services, step: name!("web"), phase: Phase::Do, unit: 2 };
                let signal = Signal::Approved { by: Actor::new("ann").unwrap() };
                assert!(Journaled::answer(&store, run, &key, &signal).await.unwrap(), "the first answer");
            }
            Act::BreakNotifications => {
                // The receiver cannot write into a directory, and says so.
                if inbox.is_file() {
                    std::fs::remove_file(&inbox).unwrap();
                }
                std::fs::create_dir(&inbox).unwrap();
            }
            Act::BreakConfiguration => {
                std::fs::remove_dir(&inbox).unwrap();
                std::fs::rename(&file, &away).unwrap();
                std::fs::create_dir(&file).unwrap();
            }
            Act::Repair => {
                std::fs::remove_dir(&file).unwrap();
                std::fs::rename(&away, &file).unwrap();
            }
        }
    }
}
