//! The engine's own points of failure, under the same faults as the fakes.

use flow_core::durable::{FaultPoints, PointFault};
use futures::FutureExt;
use futures::future::BoxFuture;

use crate::fault::{Effect, Fault, Faults, Moment};

impl FaultPoints for Faults {
    fn visit(&self, point: &str, about: &str, can: fn(PointFault) -> bool) -> Option<PointFault> {
        self.visit(point, about, Effect::Reads, |fault| can(at_a_point(fault))).map(at_a_point)
    }

    fn crash(&self) -> BoxFuture<'static, ()> {
        let faults = self.clone();
        async move { faults.crash::<()>().await }.boxed()
    }
}

const fn at_a_point(fault: Fault) -> PointFault {
    match fault {
        Fault::Refused(kind) => PointFault::Refused(kind),
        Fault::InDoubt | Fault::HalfDone => PointFault::InDoubt,
        Fault::Delayed(delay) => PointFault::Delayed(delay),
        Fault::Hung => PointFault::Hung,
        Fault::Crash(Moment::Before) => PointFault::CrashBefore,
        Fault::Crash(Moment::Inside | Moment::After) => PointFault::CrashAfter,
        Fault::Repeated => PointFault::Repeated,
    }
}
