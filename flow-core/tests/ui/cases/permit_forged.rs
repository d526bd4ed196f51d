use flow_core::{CancelToken, Fence, Permit};

fn main() {
    let _ = Permit { idempotency_key: "mine".to_owned(), fence: Fence(9), attempt: 1, cancel: CancelToken::new() };
}
