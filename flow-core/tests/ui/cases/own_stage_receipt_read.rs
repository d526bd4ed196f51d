use flow_core::StepContext;
use flow_core::stage::Migrate;

fn read_siblings(cx: &StepContext<Migrate>) {
    let _ = cx.receipts::<Migrate>();
}

fn main() {}
