//! Stores in directories: assets, evidence, sealed state, configuration.
