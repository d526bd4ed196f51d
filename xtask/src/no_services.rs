//! Keeps Debian packages from starting services, and from making databases for them, while they are installed: the suite runs
//! private instances alone.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use thiserror::Error;

/// Where `invoke-rc.d` and `deb-systemd-invoke` look for a policy (`/usr/share/doc/init-system-helpers/README.policy-rc.d.gz`).
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// 101: forbidden by policy.
const FORBIDDEN: i32 = 101;

/// It names its author, so that one left by a killed run is known and removed by the next.
const OURS: &str = "#!/bin/sh\n# Put here by `cargo xtask` for the time of an installation.\nexit 101\n";

/// Where the installation of a PostgreSQL looks whether to make a cluster, and have it started with the machine. It keeps a
/// file that stands there before it.
const CLUSTERS: &str = "/etc/postgresql-common/createcluster.conf";

const NO_CLUSTER: &str = "# Put here by `cargo xtask`.\ncreate_main_cluster = false\n";

/// Why services could not be forbidden.
#[derive(Debug, Error)]
pub(crate) enum PolicyError {
    /// The policy could not be written, or asked.
    #[error("`{}` could not be used", path.display())]
    Unusable {
        /// The policy.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else's policy stands there, and is not ours to change.
    #[error("`{}` lets services start (it ended with {status}): install by hand", path.display())]
    Permits {
        /// The policy.
        path: PathBuf,
        /// How it answered.
        status: ExitStatus,
    },
}

/// No service may start until this is dropped.
#[derive(Debug)]
pub(crate) struct NoServices {
    /// The policy, where it is ours.
    own: Option<PathBuf>,
}

impl NoServices {
    /// Forbids it on this machine. A policy that forbids it already is left as it is.
    pub(crate) fn forbid() -> Result<Self, PolicyError> {
        make_no_cluster(Path::new(CLUSTERS))?;
        Self::forbid_by(Path::new(POLICY))
    }

    fn forbid_by(policy: &Path) -> Result<Self, PolicyError> {
        let unusable = |source| PolicyError::Unusable { path: policy.to_path_buf(), source };
        let own = Some(policy.to_path_buf());
        match fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(policy) {
            Ok(mut file) => {
                let forbidden = Self { own };
                file.write_all(OURS.as_bytes()).map_err(unusable)?;
                return Ok(forbidden);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(unusable(error)),
        }
        if fs::read(policy).map_err(unusable)? == OURS.as_bytes() {
            return Ok(Self { own });
        }
        let status = Command::new(policy).args(["nginx", "start"]).stdin(Stdio::null()).status();
        match status.map_err(unusable)? {
            status if status.code() == Some(FORBIDDEN) => Ok(Self { own: None }),
            status => Err(PolicyError::Permits { path: policy.to_path_buf(), status }),
        }
    }
}

/// Leaves a machine that has PostgreSQL already as it is.
fn make_no_cluster(conf: &Path) -> Result<(), PolicyError> {
    let unusable = |source| PolicyError::Unusable { path: conf.to_path_buf(), source };
    conf.parent().map_or(Ok(()), fs::create_dir_all).map_err(unusable)?;
    match fs::OpenOptions::new().write(true).create_new(true).mode(0o644).open(conf) {
        Ok(mut file) => file.write_all(NO_CLUSTER.as_bytes()).map_err(unusable),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(unusable(error)),
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(policy) = &self.own {
            let _ = fs::remove_file(policy);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy_that(exits: i32) -> (tempfile::TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy-rc.d");
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o755).open(&policy).unwrap();
        write!(file, "#!/bin/sh\nexit {exits}\n").unwrap();
        (directory, policy)
    }

    #[test]
    fn services_are_forbidden_for_the_time_of_the_installation() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy-rc.d");
        let forbidden = NoServices::forbid_by(&policy).unwrap();
        let status = Command::new(&policy).args(["nginx", "start"]).status().unwrap();
        assert_eq!(status.code(), Some(FORBIDDEN));
        drop(forbidden);
        assert!(!policy.exists());
    }

    #[test]
    fn no_cluster_is_made_unless_somebody_decided_otherwise() {
        let directory = tempfile::tempdir().unwrap();
        let conf = directory.path().join("etc/createcluster.conf");
        make_no_cluster(&conf).unwrap();
        assert!(fs::read_to_string(&conf).unwrap().contains("\ncreate_main_cluster = false\n"));
        fs::write(&conf, "other").unwrap();
        make_no_cluster(&conf).unwrap();
        assert_eq!(fs::read_to_string(&conf).unwrap(), "other");
    }

    #[test]
    fn a_policy_that_a_killed_run_left_is_removed_by_the_next() {
        let directory = tempfile::tempdir().unwrap();
        let policy = directory.path().join("policy-rc.d");
        std::mem::forget(NoServices::forbid_by(&policy).unwrap());
        drop(NoServices::forbid_by(&policy).unwrap());
        assert!(!policy.exists());
    }

    #[test]
    fn a_policy_of_somebody_else_is_left_as_it_was() {
        let (_directory, policy) = policy_that(FORBIDDEN);
        let before = fs::read(&policy).unwrap();
        drop(NoServices::forbid_by(&policy).unwrap());
        assert_eq!(fs::read(&policy).unwrap(), before);
    }

    #[test]
    fn a_policy_that_lets_services_start_is_refused_and_left_as_it_was() {
        let (_directory, policy) = policy_that(0);
        let before = fs::read(&policy).unwrap();
        let refused = NoServices::forbid_by(&policy);
        assert!(matches!(refused, Err(PolicyError::Permits { .. })), "{refused:?}");
        assert_eq!(fs::read(&policy).unwrap(), before);
    }
}
