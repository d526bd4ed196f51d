//! What must not compile does not, and says which stage and which step were expected.
//!
//! In a target of its own: the messages belong to the pinned toolchain. `TRYBUILD=overwrite` writes them anew.

#[test]
fn what_must_not_compile_says_what_was_expected() {
    trybuild::TestCases::new().compile_fail("tests/ui/cases/*.rs");
}
