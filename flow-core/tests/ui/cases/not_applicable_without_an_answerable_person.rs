use flow_core::Work;
use flow_core::stage::Functions;

fn main() {
    let _: Work<Functions> = Work::not_applicable("no functions");
}
