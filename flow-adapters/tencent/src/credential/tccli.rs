use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use flow_core::{ErrorKind, Problems, StepError};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::{Credential, Credentials};

/// More than tccli ever writes: its configuration names an endpoint for each of its services.
const FILE_MAX: u64 = 1 << 20;

/// A profile of the official command line tool: `<profile>.credential` and `<profile>.configure` in its directory, which is `~/.tccli`.
///
/// The files are read as they are, at each question: a token that tccli renewed meanwhile is seen. Profiles that stand for a role instead of
/// a key (`type` `cvm-role`, or a `role-arn`) are refused: they need tccli itself.
#[derive(Debug, Clone)]
pub struct TccliFile {
    directory: PathBuf,
    profile: String,
}

impl TccliFile {
    /// The profile called `profile` in `directory`.
    ///
    /// # Errors
    /// A name that is empty or would leave the directory.
    pub fn new(directory: impl Into<PathBuf>, profile: impl Into<String>) -> Result<Self, Problems> {
        let profile = profile.into();
        let mut problems = Problems::default();
        let plain = profile.chars().all(|letter| letter.is_alphanumeric() || "-_.".contains(letter));
        problems.check(plain && !profile.is_empty(), "profile", "must be letters, digits, `-`, `_` and `.`");
        problems.check(!profile.starts_with('.'), "profile", "must not begin with `.`");
        problems.check(profile.len() <= 200, "profile", "must not be longer than 200 bytes");
        problems.into_result()?;
        Ok(Self { directory: directory.into(), profile })
    }

    /// The region that the profile is configured for, if it is.
    ///
    /// # Errors
    /// As [`credential`](Credentials::credential).
    pub async fn region(&self) -> Result<Option<String>, StepError> {
        let path = self.path("configure");
        let configured: Option<Configured> = blocking(move || read(&path)).await?;
        Ok(configured.and_then(|configured| configured.system.region).filter(|region| !region.is_empty()))
    }

    fn path(&self, kind: &str) -> PathBuf {
        self.directory.join(format!("{}.{kind}", self.profile))
    }
}

#[async_trait]
impl Credentials for TccliFile {
    async fn credential(&self) -> Result<Credential, StepError> {
        let path = self.path("credential");
        let shown = path.display().to_string();
        let stored: Option<Stored> = blocking(move || read(&path)).await?;
        let stored = stored.ok_or_else(|| {
            StepError::new(ErrorKind::NotFound, "the profile has no credential").fact("path", &shown)
        })?;
        let role = stored.role_arn.is_some_and(|role| !role.is_empty());
        if role || stored.kind.as_deref() == Some("cvm-role") {
            let refused = "the profile stands for a role, not for a key";
            return Err(StepError::new(ErrorKind::Invalid, refused).fact("path", &shown));
        }
        Credential::new(stored.id, stored.key, stored.token)
            .map_err(|problems| StepError::from(problems).fact("path", shown))
    }
}

#[derive(Deserialize)]
struct Stored {
    #[serde(rename = "secretId", default)]
    id: String,
    #[serde(rename = "secretKey", default)]
    key: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(rename = "role-arn", alias = "roleArn", default)]
    role_arn: Option<String>,
    #[serde(rename = "type", default)]
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Configured {
    #[serde(rename = "_sys_param", default)]
    system: System,
}

#[derive(Default, Deserialize)]
struct System {
    #[serde(default)]
    region: Option<String>,
}

/// What stands in the file, or nothing where there is none.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StepError> {
    let unreadable = |kind, message: &'static str| StepError::new(kind, message).fact("path", path.display());
    // To open a pipe would wait for whoever writes into it.
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(unreadable(ErrorKind::Invalid, "the profile is no regular file"));
    }
    let mut content = Zeroizing::new(Vec::new());
    let read = File::open(path).and_then(|file| file.take(FILE_MAX + 1).read_to_end(&mut content));
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let denied = error.kind() == io::ErrorKind::PermissionDenied;
            let kind = if denied { ErrorKind::Denied } else { ErrorKind::Unavailable };
            return Err(unreadable(kind, "the profile cannot be read").because(error));
        }
        Ok(_) if u64::try_from(content.len()).unwrap_or(u64::MAX) > FILE_MAX => {
            return Err(unreadable(ErrorKind::Invalid, "the profile is longer than 1 MiB"));
        }
        Ok(_) => {}
    }
    // What serde says of a value may quote it: only the place is told.
    serde_json::from_slice(&content).map(Some).map_err(|error| {
        unreadable(ErrorKind::Invalid, "the profile is not what tccli writes").fact("line", error.line())
    })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StepError> + Send + 'static,
) -> Result<T, StepError> {
    let gone = |error| StepError::new(ErrorKind::Unavailable, "the read was given up").because(error);
    tokio::task::spawn_blocking(work).await.map_err(gone)?
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(credential: &str, configure: &str) -> (tempfile::TempDir, TccliFile) {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("work.credential"), credential).unwrap();
        std::fs::write(directory.path().join("work.configure"), configure).unwrap();
        let file = TccliFile::new(directory.path(), "work").unwrap();
        (directory, file)
    }

    #[tokio::test]
    async fn a_profile_is_read_as_tccli_writes_it() {
        let (_kept, file) = profile(
            r#"{"secretId": "AKID1", "secretKey": "s3cret", "token": "t0ken", "type": "oauth",
                "expiresAt": 1767225600, "oauth": {"refreshToken": "r"}}"#,
            r#"{"_sys_param": {"region": "ap-guangzhou", "output": "json", "arrayCount": 10, "warning": "off"},
                "scf": {"endpoint": "scf.tencentcloudapi.com", "version": "2018-04-16"}}"#,
        );
        let credential = file.credential().await.unwrap();
        assert_eq!(credential, Credential::new("AKID1", "s3cret", Some("t0ken".into())).unwrap());
        assert_eq!(file.region().await.unwrap().as_deref(), Some("ap-guangzhou"));
    }

    #[tokio::test]
    async fn what_is_no_key_is_refused_by_kind_and_path_and_never_quoted() {
        for (content, kind) in [
            (r#"{"secretId": "AKID1", "secretKey": ["s3cret"]}"#, ErrorKind::Invalid),
            (r#"{"secretId": "AKID1", "secretKey": "s3cret""#, ErrorKind::Invalid),
            (r#"{"secretId": "", "secretKey": "s3cret"}"#, ErrorKind::Invalid),
            (r#""s3cret""#, ErrorKind::Invalid),
            (r#"{"secretId": "AKID1", "secretKey": "s3cret", "role-arn": "qcs::cam"}"#, ErrorKind::Invalid),
            (r#"{"secretId": "AKID1", "secretKey": "s3cret", "type": "cvm-role"}"#, ErrorKind::Invalid),
            (
                &format!("{}{}", r#"{"secretId": "AKID1", "secretKey": "s3cret"}"#, " ".repeat(1 << 20)),
                ErrorKind::Invalid,
            ),
        ] {
            let (kept, file) = profile(content, "{}");
            let refused = file.credential().await.unwrap_err();
            assert_eq!(refused.kind(), kind, "{content}");
            let source = std::error::Error::source(&refused);
            let said = format!("{refused:?} {refused} {source:?}");
            assert!(said.contains(&kept.path().display().to_string()) && !said.contains("s3cret"), "{said}");
        }
    }

    #[tokio::test]
    async fn a_profile_that_is_no_regular_file_is_refused_and_not_waited_for() {
        let (kept, file) = profile("", "{}");
        let path = kept.path().join("work.credential");
        std::fs::remove_file(&path).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let ended = tokio::time::timeout(std::time::Duration::from_secs(10), file.credential()).await;
        // Whoever waits for a writer has one now.
        drop(File::options().read(true).write(true).open(&path).unwrap());
        assert_eq!(ended.unwrap().unwrap_err().kind(), ErrorKind::Invalid);
    }

    #[tokio::test]
    async fn a_missing_profile_is_not_found_and_has_no_region() {
        let directory = tempfile::tempdir().unwrap();
        let file = TccliFile::new(directory.path(), "none").unwrap();
        assert_eq!(file.credential().await.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(file.region().await.unwrap(), None);
    }

    #[test]
    fn a_profile_never_leaves_its_directory() {
        for name in ["", "..", "../work", "a/b", ".hidden", "a\0b"] {
            assert!(TccliFile::new("/tmp", name).is_err(), "{name:?}");
        }
    }
}
