use flow_core::strategy::BlueGreen;
use flow_core::stage::Migrate;
use flow_core::{Service, Work, name};

fn main() {
    let _ = Work::<Migrate>::rollout(BlueGreen::default(), Service::new(name!("db")));
}
