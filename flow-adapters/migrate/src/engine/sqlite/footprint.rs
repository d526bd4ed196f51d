//! What stands of a statement that no transaction holds.

use flow_core::Digest;

use crate::engine::Footprint;

/// What SQLite refuses inside a transaction (`VACUUM`, `ATTACH`, pragmas) changes nothing that stands: it may be run again.
pub(super) fn nothing() -> Footprint {
    Footprint { digest: Digest::of(&[]), drops_remain: false }
}
