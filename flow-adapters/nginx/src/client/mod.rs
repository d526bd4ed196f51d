//! What touches the outside: links, nginx's processes, its configuration, its log.

pub(crate) mod configuration;
pub(crate) mod files;
pub(crate) mod instance;
pub(crate) mod links;
pub(crate) mod marker;
pub(crate) mod stage;
