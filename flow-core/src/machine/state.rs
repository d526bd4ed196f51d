/// Where a run stands.
#[derive(Debug, Clone, PartialEq)]
pub enum State {
    /// Nothing is recorded.
    Fresh,
}
