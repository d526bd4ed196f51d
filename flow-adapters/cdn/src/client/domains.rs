use std::sync::Arc;
use std::time::Duration;

use flow_core::{Clock, StepError, Timestamp};
#[cfg(feature = "tencentcloud-sdk-rs")]
use flow_tencent::SdkDnspod;
use flow_tencent::{Api, ApiError, Failure, Nature};
use jiff::civil::DateTime;
use jiff::tz::Offset;

use super::actions::{DescribeDomains, DescribeDomainsConfig, DescribeRecordList, Domain, Filter, Records};

/// How the CDN writes times: Beijing's, without saying so.
const TIME: &str = "%Y-%m-%d %H:%M:%S";
const BEIJING: Offset = Offset::constant(8);

/// What is found about a domain: what is as it must be, and what is not.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) sound: Vec<String>,
    pub(crate) broken: Vec<String>,
}

impl Findings {
    fn note(&mut self, holds: bool, found: String) {
        if holds { self.sound.push(found) } else { self.broken.push(found) }
    }
}

/// A domain as the CDN and the name service have it.
#[derive(Debug, Clone)]
pub(crate) struct Domains {
    pub(crate) cdn: Api,
    pub(crate) dns: Names,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Domains {
    /// Looks whether the domain delivers, and from where; gives the name that its record must point to, if there is such a domain.
    pub(crate) async fn delivery(
        &self,
        host: &str,
        origin: Option<&str>,
        findings: &mut Findings,
    ) -> Result<Option<String>, StepError> {
        let answer = self.cdn.call(&named(host), Nature::Reads).await?;
        let Some(domain) = answer.domains.into_iter().find(|domain| domain.domain == host) else {
            findings.note(false, "the account has no such domain".to_owned());
            return Ok(None);
        };
        let online = domain.status.eq_ignore_ascii_case("online");
        findings.note(online, format!("its status is `{}`", domain.status));
        if let Some(origin) = origin {
            let origins = origins(&domain);
            let wanted = origins.iter().any(|found| found == origin);
            findings.note(wanted, format!("its origin is `{}`", origins.join(", ")));
        }
        Ok(Some(domain.cname.unwrap_or_default()))
    }

    /// Looks whether the host's record points to the CDN.
    pub(crate) async fn record(
        &self,
        zone: &str,
        name: &str,
        cname: &str,
        findings: &mut Findings,
    ) -> Result<(), StepError> {
        let asked =
            DescribeRecordList { domain: zone.to_owned(), sub_domain: name.to_owned(), record_type: "CNAME" };
        let records = match self.dns.records(&asked).await {
            Ok(answer) => answer.record_list,
            // That there is no record is told as an error.
            Err(error) if error.failure() == Failure::NotFound => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let enabled: Vec<_> =
            records.iter().filter(|record| record.status.eq_ignore_ascii_case("ENABLE")).collect();
        let Some(first) = enabled.first() else {
            findings.note(false, format!("`{zone}` has no CNAME record `{name}` that is enabled"));
            return Ok(());
        };
        let points = enabled.iter().all(|record| plain(&record.value).eq_ignore_ascii_case(plain(cname)));
        findings.note(points, format!("its record points to `{}`, the CDN's name is `{cname}`", first.value));
        Ok(())
    }

    /// Looks whether the domain's certificate is good for another `left`.
    pub(crate) async fn certificate(
        &self,
        host: &str,
        left: Duration,
        findings: &mut Findings,
    ) -> Result<(), StepError> {
        let answer = self.cdn.call(&DescribeDomainsConfig(named(host)), Nature::Reads).await?;
        let domain = answer.domains.into_iter().find(|domain| domain.domain == host);
        let https = domain.and_then(|domain| domain.https);
        let https =
            https.filter(|https| https.switch.as_deref().is_some_and(|on| on.eq_ignore_ascii_case("on")));
        let Some(https) = https else {
            findings.note(false, "HTTPS is off".to_owned());
            return Ok(());
        };
        let Some(ends) = https.cert_info.and_then(|certificate| certificate.expire_time) else {
            findings.note(false, "it has no certificate whose end is known".to_owned());
            return Ok(());
        };
        let needed = self.clock.now().checked_add(left).unwrap_or(Timestamp::MAX);
        let good = moment(&ends).is_some_and(|ends| ends >= needed);
        findings.note(good, format!("its certificate ends at {ends} (Beijing time)"));
        Ok(())
    }
}

/// Who is asked for records.
#[derive(Debug, Clone)]
pub(crate) enum Names {
    Api(Api),
    #[cfg(feature = "tencentcloud-sdk-rs")]
    Sdk(SdkDnspod),
}

impl Names {
    async fn records(&self, asked: &DescribeRecordList) -> Result<Records, ApiError> {
        match self {
            Self::Api(api) => api.call(asked, Nature::Reads).await,
            #[cfg(feature = "tencentcloud-sdk-rs")]
            Self::Sdk(sdk) => sdk.ask(asked).await,
        }
    }
}

fn named(host: &str) -> DescribeDomains {
    DescribeDomains { filters: vec![Filter { name: "domain", value: vec![host.to_owned()] }] }
}

fn origins(domain: &Domain) -> Vec<String> {
    domain.origin.as_ref().and_then(|origin| origin.origins.clone()).unwrap_or_default()
}

/// Names in records end with a dot.
fn plain(name: &str) -> &str {
    name.trim_end_matches('.')
}

/// A moment as the CDN writes it.
pub(super) fn beijing(moment: Timestamp) -> String {
    BEIJING.to_datetime(moment).strftime(TIME).to_string()
}

fn moment(text: &str) -> Option<Timestamp> {
    let civil = DateTime::strptime(TIME, text).ok()?;
    BEIJING.to_timestamp(civil).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_beijings_both_ways() {
        let midnight = Timestamp::from_second(1_767_225_600).unwrap();
        assert_eq!(beijing(midnight), "2026-01-01 08:00:00");
        assert_eq!(moment("2026-01-01 08:00:00"), Some(midnight));
        assert_eq!(moment("2026-01-01T08:00:00"), None);
    }
}
