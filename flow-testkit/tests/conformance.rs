//! The suites of the testkit against the stores of flow-core.

#[cfg(feature = "mockall")]
#[path = "conformance/mocks.rs"]
mod mocks;

mod memory_journal {
    use flow_core::journal::MemoryJournal;

    async fn fresh() -> ((), MemoryJournal) {
        ((), MemoryJournal::new())
    }

    flow_testkit::journal_conformance!(fresh);
}
