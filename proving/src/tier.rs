/// Whether the tests make their full number of trials: `FLOW_LONG=1`.
#[must_use]
pub fn is_long() -> bool {
    std::env::var_os("FLOW_LONG").is_some_and(|value| value == "1")
}
