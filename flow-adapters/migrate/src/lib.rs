//! Database migrations, proved before they run: SQLite.
