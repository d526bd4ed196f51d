use std::sync::Arc;

use flow_core::port::{SecurityAspect, SecurityCheck, SecurityFinding};
use flow_core::prelude::*;
use flow_core::steps::CheckSecurity;
use flow_testkit::context;

/// A check that finds a door open or closed, or cannot look.
#[derive(Clone)]
struct Door {
    name: Name,
    closed: Result<bool, ErrorKind>,
}

#[async_trait]
impl SecurityCheck for Door {
    fn name(&self) -> Name {
        self.name.clone()
    }

    fn aspect(&self) -> SecurityAspect {
        SecurityAspect::Configuration
    }

    async fn look(&self) -> Result<Vec<SecurityFinding>, StepError> {
        let dark = |kind| StepError::new(kind, "it is dark").fact("lamp", "broken");
        let holds = self.closed.map_err(dark)?;
        let found = if holds { "closed" } else { "open" }.to_owned();
        Ok(vec![SecurityFinding { what: "the door".to_owned(), expected: "closed".to_owned(), found, holds }])
    }
}

async fn refused(doors: &[(Name, Result<bool, ErrorKind>)]) -> (ErrorKind, Vec<String>) {
    let door = |(name, closed): &(Name, _)| {
        Arc::new(Door { name: name.clone(), closed: *closed }) as Arc<dyn SecurityCheck>
    };
    let error = CheckSecurity::new(doors.iter().map(door)).preview(&context()).await.unwrap_err();
    (error.kind(), error.facts().map(|(what, problem)| format!("{what}: {problem}")).collect())
}

#[tokio::test]
async fn a_check_that_cannot_look_hides_no_other() {
    let (front, side, back) = (name!("front"), name!("side"), name!("back"));
    let away = Err(ErrorKind::Unavailable);
    let (kind, facts) =
        refused(&[(front.clone(), away), (side.clone(), Ok(false)), (back.clone(), away)]).await;
    assert_eq!(kind, ErrorKind::Failed, "an open door stays open");
    let expected = [
        "side: the door: open, must be closed",
        "front: could not look: it is dark (lamp: `broken`)",
        "back: could not look: it is dark (lamp: `broken`)",
    ];
    assert_eq!(facts, expected);
    let (kind, _) = refused(&[(front.clone(), away), (back.clone(), Ok(true))]).await;
    assert_eq!(kind, ErrorKind::Unavailable, "looking again may help");
    let (kind, facts) = refused(&[(front, away), (back, Err(ErrorKind::Denied))]).await;
    assert_eq!((kind, facts.len()), (ErrorKind::Denied, 2), "looking again does not help");
}
