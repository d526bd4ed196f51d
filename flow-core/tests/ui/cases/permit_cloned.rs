use flow_core::Permit;

fn keep_for_later(permit: &Permit) -> Permit {
    permit.clone()
}

fn main() {}
