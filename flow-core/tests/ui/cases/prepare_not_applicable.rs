use flow_core::Work;
use flow_core::stage::Prepare;

fn main() {
    let _ = Work::<Prepare>::not_applicable("no time");
}
