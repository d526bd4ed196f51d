//! Journal stores on SQL databases: SQLite, the embedded default.
