//! Benches of flow, made by criterion. None is written yet: figures come with the first one.
