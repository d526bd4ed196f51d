//! How suites are proved: by what a promise's check finds, and by nothing else.

use std::panic::AssertUnwindSafe;

use flow_testkit::conformance::{Checked, breaks};
use futures::FutureExt as _;

async fn caught(check: impl AsyncFnOnce(&()) -> Checked) -> bool {
    breaks(async || (), check).await.is_ok()
}

#[tokio::test]
async fn a_check_catches_by_its_panic_and_by_its_error_and_not_by_passing() {
    assert!(caught(async |()| panic!("the promise is broken")).await);
    assert!(caught(async |()| Err("it refused what it may not refuse".into())).await);
    assert!(!caught(async |()| Ok(())).await);
}

#[tokio::test]
async fn an_implementation_that_cannot_be_made_proves_nothing() {
    let proved = breaks(async || panic!("there is no fixture"), async |(): &()| Ok(()));
    assert!(AssertUnwindSafe(proved).catch_unwind().await.is_err(), "a broken fixture counts as caught");
}
