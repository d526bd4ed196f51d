use flow_core::Work;
use flow_core::stage::Verify;

fn main() {
    let _ = Work::<Verify>::not_applicable("we trust it");
}
