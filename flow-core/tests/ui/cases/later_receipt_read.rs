use flow_core::StepContext;
use flow_core::stage::{Migrate, Services};

fn read_ahead(cx: &StepContext<Migrate>) {
    let _ = cx.receipts::<Services>();
}

fn main() {}
