//! Benches of flow; the figures are in `README.md`.
