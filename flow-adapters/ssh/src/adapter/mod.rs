mod each;
mod host;

pub use each::on_each;
pub use host::SshHost;
