use flow_core::journal::MemoryJournal;

async fn fresh() -> ((), MemoryJournal) {
    ((), MemoryJournal::new())
}

flow_testkit::journal_conformance!(fresh);
