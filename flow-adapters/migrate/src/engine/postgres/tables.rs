//! The tables of the history.

/// Ours, and that of sqlx's own migrator as sqlx 0.9 makes it, so that an application that migrates itself finds its rows.
pub(super) fn create(schema: &str) -> Vec<String> {
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}._flow_migrations (
                seq BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                version TEXT NOT NULL UNIQUE,
                name TEXT NOT NULL,
                up_hash TEXT NOT NULL,
                down_hash TEXT,
                down_script TEXT,
                down_mode TEXT,
                applied_at TIMESTAMPTZ NOT NULL DEFAULT now(),
                applied_under TEXT NOT NULL,
                fence BIGINT NOT NULL,
                statements BIGINT NOT NULL,
                ms BIGINT NOT NULL,
                state TEXT NOT NULL,
                done BIGINT NOT NULL,
                done_hash TEXT,
                begun BIGINT,
                begun_hash TEXT,
                begun_by TEXT,
                footprint TEXT
            )"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}._sqlx_migrations (
                version BIGINT PRIMARY KEY,
                description TEXT NOT NULL,
                installed_on TIMESTAMPTZ NOT NULL DEFAULT now(),
                success BOOLEAN NOT NULL,
                checksum BYTEA NOT NULL,
                execution_time BIGINT NOT NULL
            )"
        ),
    ]
}
