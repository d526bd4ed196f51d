//! The tables of the history.

/// Ours, and that of sqlx's own migrator as sqlx 0.9 makes it, so that an application that migrates itself finds its rows.
pub(super) fn create(schema: &str) -> Vec<String> {
    vec![
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}._flow_migrations (
                seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
                version VARCHAR(200) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
                name TEXT NOT NULL,
                up_hash TEXT NOT NULL,
                down_hash TEXT,
                down_script LONGTEXT,
                down_mode TEXT,
                applied_at TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP(3),
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
            ) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4"
        ),
        format!(
            "CREATE TABLE IF NOT EXISTS {schema}._sqlx_migrations (
                version BIGINT PRIMARY KEY,
                description TEXT NOT NULL,
                installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
                success BOOLEAN NOT NULL,
                checksum BLOB NOT NULL,
                execution_time BIGINT NOT NULL
            )"
        ),
    ]
}
