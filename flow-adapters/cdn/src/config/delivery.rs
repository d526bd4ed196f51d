use std::time::Duration;

use flow_core::Problems;

/// Where readers are whose caches are purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Area {
    /// The mainland of China.
    Mainland,
    /// Everywhere else.
    Overseas,
}

impl Area {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Mainland => "mainland",
            Self::Overseas => "overseas",
        }
    }
}

/// What happens when the day's quota does not hold all URLs of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OverQuota {
    /// The purge ends as `Throttled`.
    Refuse,
    /// The whole site is purged by one path, if the quota of paths holds one, and a warning says so.
    PurgeSite,
}

/// What is fetched into the cache behind a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Prefetch {
    /// Nothing: readers fill the cache.
    Nothing,
    /// The URLs that were purged. A prefetch that fails is a warning: readers get their files all the same.
    Purged,
}

/// A domain of the CDN with the site behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CdnConfig {
    /// Below which URL readers find the site, without a port, such as `https://www.example.com`.
    pub base_url: String,
    /// The area that the domain serves; none is both.
    pub area: Option<Area>,
    /// What happens when the day's quota does not hold a purge.
    pub over_quota: OverQuota,
    /// What is fetched into the cache behind a purge.
    pub prefetch: Prefetch,
    /// How long a purge may take, and a prefetch as well.
    pub within: Duration,
    /// How long it waits between two looks.
    pub look_every: Duration,
    /// The origin that the domain must have, such as the bucket's host; none is any.
    pub origin: Option<String>,
    /// The domain in DNSPod that holds the record of the site's host, such as `example.com`; with none the record is not looked at.
    pub zone: Option<String>,
    /// How long the certificate must still be good.
    pub certificate_left: Duration,
    /// Another address than Tencent Cloud's for the APIs. Plain `http://` is for this machine's loopback only.
    pub endpoint: Option<String>,
}

impl CdnConfig {
    /// The site below `base_url`: in both areas, refused when over quota, nothing prefetched, purges within 15 minutes looked at every 5 seconds,
    /// a certificate that is good for another 14 days; neither origin nor record are looked at.
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            area: None,
            over_quota: OverQuota::Refuse,
            prefetch: Prefetch::Nothing,
            within: Duration::from_mins(15),
            look_every: Duration::from_secs(5),
            origin: None,
            zone: None,
            certificate_left: Duration::from_hours(14 * 24),
            endpoint: None,
        }
    }

    /// Finds everything wrong with it.
    ///
    /// # Errors
    /// All that is wrong, by field.
    pub(crate) fn check(&self) -> Result<Base, Problems> {
        let mut problems = Problems::default();
        let base = Base::parse(&self.base_url);
        let form = "must be `http://` or `https://`, a domain without a port, and maybe a path";
        problems.check(base.is_some(), "base_url", form);
        problems.check(!self.look_every.is_zero(), "look_every", "must be longer than zero");
        problems.check(self.within >= self.look_every, "within", "must not be shorter than `look_every`");
        if let (Some(base), Some(zone)) = (&base, &self.zone) {
            let below = base.record_in(zone).is_some();
            problems.check(below, "zone", "must be the domain of `base_url` or one above it");
        }
        match (base, problems.as_slice().is_empty()) {
            (Some(base), true) => Ok(base),
            _ => Err(problems),
        }
    }
}

/// Below which URL a site stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Base {
    /// Without a slash at its end.
    pub(crate) url: String,
    pub(crate) host: String,
    pub(crate) is_secure: bool,
}

impl Base {
    fn parse(url: &str) -> Option<Self> {
        let is_secure = url.starts_with("https://");
        let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"))?;
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let label = |label: &str| {
            !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~/%".contains(&byte));
        let sound = plain && host.contains('.') && host.split('.').all(label);
        let (scheme, host) = (if is_secure { "https" } else { "http" }, host.to_ascii_lowercase());
        let url = format!("{scheme}://{host}/{path}").trim_end_matches('/').to_owned();
        sound.then_some(Self { url, host, is_secure })
    }

    /// What the host's record is called in `zone`, if it is in it.
    pub(crate) fn record_in(&self, zone: &str) -> Option<&str> {
        if self.host == zone {
            return Some("@");
        }
        self.host.strip_suffix(zone)?.strip_suffix('.')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_base_is_a_scheme_a_domain_and_maybe_a_path() {
        let base = Base::parse("https://WWW.example.com/shop/").unwrap();
        assert_eq!(
            (base.url.as_str(), base.host.as_str()),
            ("https://www.example.com/shop", "www.example.com")
        );
        assert!(base.is_secure);
        assert_eq!(base.record_in("example.com"), Some("www"));
        assert_eq!(base.record_in("www.example.com"), Some("@"));
        assert_eq!(base.record_in("ample.com"), None);
        for wrong in
            ["www.example.com", "https://a.b:8080", "https://", "ftp://a.b", "https://a.b/?q", "http://u@a.b"]
        {
            assert_eq!(Base::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn all_that_is_wrong_with_a_delivery_is_said_at_once() {
        let config = CdnConfig {
            within: Duration::ZERO,
            look_every: Duration::ZERO,
            zone: Some("example.org".into()),
            ..CdnConfig::new("https://www.example.com")
        };
        let said = config.check().unwrap_err().to_string();
        assert!(said.contains("`look_every`") && said.contains("`zone`"), "{said}");
        let config = CdnConfig { within: Duration::ZERO, ..CdnConfig::new("x") };
        let said = config.check().unwrap_err().to_string();
        assert!(said.contains("`base_url`") && said.contains("`within`"), "{said}");
    }
}
