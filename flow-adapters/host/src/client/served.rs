//! A site's files as its readers get them.

use std::collections::BTreeMap;
use std::sync::Arc;

use flow_core::port::{AssetFile, ProbeReply, ProbeRequest, Prober, asset_order};
use flow_core::{CancelToken, Cause, Digest, ErrorKind, Problems, StepError};
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::local::go_on;
use crate::config::ServedSite;

/// The largest body that a probe gives.
const ASKED_MAX: u64 = 8 << 20;
/// How many files are asked for at once.
const AT_ONCE: usize = 8;

/// Asks for files as a reader does.
#[derive(Clone)]
pub(crate) struct Served {
    pub(crate) prober: Arc<dyn Prober>,
    pub(crate) site: ServedSite,
}

impl Served {
    /// Refuses files that no probe would give whole.
    pub(crate) fn check_sizes(files: &BTreeMap<&String, &AssetFile>) -> Result<(), Problems> {
        let mut problems = Problems::default();
        for (path, file) in files.iter().filter(|(_, file)| file.bytes > ASKED_MAX) {
            problems.add(
                path.as_str(),
                format!("has {} bytes, and at most {ASKED_MAX} can be asked for", file.bytes),
            );
        }
        problems.into_result()
    }

    /// Holds each file, once, to its content and to what is declared of it.
    pub(crate) async fn check_declared<'a>(
        &self,
        cancel: &CancelToken,
        files: impl Iterator<Item = (&'a String, &'a AssetFile)> + Send,
    ) -> Result<(), StepError> {
        let wrong = |path: &str, file: &AssetFile, reply: &ProbeReply| match content(file, reply) {
            Some(wrong) => vec![wrong],
            None => self.declared(path, reply),
        };
        self.each(cancel, files, wrong).await
    }

    /// Holds each file, once, to its content alone. What no probe would give whole is not asked for.
    pub(crate) async fn check_content<'a>(
        &self,
        cancel: &CancelToken,
        files: impl Iterator<Item = (&'a String, &'a AssetFile)> + Send,
    ) -> Result<(), StepError> {
        let wrong =
            |_: &str, file: &AssetFile, reply: &ProbeReply| content(file, reply).into_iter().collect();
        self.each(cancel, files, wrong).await
    }

    async fn each<'a>(
        &self,
        cancel: &CancelToken,
        files: impl Iterator<Item = (&'a String, &'a AssetFile)> + Send,
        wrong: impl Fn(&str, &AssetFile, &ProbeReply) -> Vec<String> + Sync,
    ) -> Result<(), StepError> {
        let mut asked = Vec::new();
        for (path, file) in files.filter(|(_, file)| file.bytes <= ASKED_MAX) {
            let request = ProbeRequest { url: self.url(path), timeout: self.site.timeout };
            let wrong = &wrong;
            asked.push(async move {
                go_on(cancel)?;
                let found = match self.prober.get(&request).await {
                    Ok(reply) => wrong(path, file, &reply),
                    Err(error) => vec![format!("gives no answer: {}", Cause::from(&error))],
                };
                Ok::<_, StepError>((path, found))
            });
        }
        let found: Vec<_> = stream::iter(asked).buffered(AT_ONCE).try_collect().await?;
        let mut problems = Problems::default();
        for (path, wrong) in found {
            wrong.into_iter().for_each(|wrong| problems.add(path, wrong));
        }
        problems.into_result().map_err(|problems| {
            StepError::new(ErrorKind::Failed, "readers do not get the site as they must").because(problems)
        })
    }

    /// What is wrong with the headers of a file.
    fn declared(&self, path: &str, reply: &ProbeReply) -> Vec<String> {
        let header = |name: &str| reply.headers.get(name).map(String::as_str);
        let rank = asset_order(path).0;
        let demanded = self.site.headers.iter().filter(|demanded| demanded.rank == rank);
        let missing = demanded
            .filter(|demanded| !header(&demanded.name).is_some_and(|is| is.contains(&demanded.value)));
        let mut wrong: Vec<String> = missing
            .map(|demanded| {
                let found = header(&demanded.name).unwrap_or("nothing");
                format!("comes with `{found}` as `{}`, without `{}`", demanded.name, demanded.value)
            })
            .collect();
        let extension = path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, last)| last);
        let types = extension.and_then(|extension| self.site.types.get(&extension.to_ascii_lowercase()));
        let found = header("content-type").unwrap_or("nothing");
        // Parameters, such as the character set, may follow (RFC 9110, 8.3.1).
        let media_type = found.split(';').next().unwrap_or_default().trim();
        if types.is_some_and(|types| !types.iter().any(|may| may.eq_ignore_ascii_case(media_type))) {
            wrong.push(format!("comes with `{found}` as `content-type`"));
        }
        wrong
    }

    /// Where a file is found. Everything but unreserved characters and slashes is percent-encoded (RFC 3986).
    fn url(&self, path: &str) -> String {
        let mut url = format!("{}/", self.site.base_url.trim_end_matches('/'));
        for byte in path.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
                url.push(char::from(byte));
            } else {
                url.push_str(&format!("%{byte:02X}"));
            }
        }
        url
    }
}

/// What is wrong with the answer for a file, if it is not that file.
fn content(file: &AssetFile, reply: &ProbeReply) -> Option<String> {
    if reply.status != 200 {
        return Some(format!("is answered with {}", reply.status));
    }
    (Digest::of(&reply.body) != file.digest).then(|| "comes with another content".to_owned())
}
