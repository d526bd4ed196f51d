//! Git sources, command builds and digest-pinned artefacts.
