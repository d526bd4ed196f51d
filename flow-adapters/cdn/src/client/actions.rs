//! Actions of the CDN (2018-06-06) and of DNSPod (2021-03-23), with the fields that are read here.

use flow_tencent::Action;
use serde::{Deserialize, Serialize};

macro_rules! action {
    ($request:ty => $answer:ty, $name:literal) => {
        impl Action for $request {
            const NAME: &'static str = $name;
            type Answer = $answer;
        }
    };
}

/// `PurgeUrlsCache` and `PushUrlsCache` take the same.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PurgeUrls<'a> {
    pub(super) urls: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) area: Option<&'static str>,
}
action!(PurgeUrls<'_> => Begun, "PurgeUrlsCache");

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct PushUrls<'a>(pub(super) PurgeUrls<'a>);
action!(PushUrls<'_> => Begun, "PushUrlsCache");

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PurgePaths<'a> {
    pub(super) paths: &'a [String],
    /// `delete` forgets everything below the path; `flush` only what its origin says is newer.
    pub(super) flush_type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) area: Option<&'static str>,
}
action!(PurgePaths<'_> => Begun, "PurgePathCache");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Begun {
    pub(super) task_id: String,
}

/// `DescribePurgeTasks` and `DescribePushTasks` take the same.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribePurges {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) task_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start_time: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) end_time: Option<String>,
    pub(super) offset: u64,
    pub(super) limit: u64,
}
action!(DescribePurges => Purges, "DescribePurgeTasks");

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct DescribePushes(pub(super) DescribePurges);
action!(DescribePushes => Pushes, "DescribePushTasks");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Purges {
    pub(super) purge_logs: Vec<Row>,
    pub(super) total_count: u64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Pushes {
    pub(super) push_logs: Vec<Row>,
    pub(super) total_count: u64,
}

/// What became of one URL.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Row {
    pub(super) task_id: String,
    pub(super) url: String,
    pub(super) status: String,
}

#[derive(Debug, Serialize)]
pub(super) struct DescribePurgeQuota {}
action!(DescribePurgeQuota => PurgeQuota, "DescribePurgeQuota");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PurgeQuota {
    pub(super) url_purge: Vec<Quota>,
    pub(super) path_purge: Vec<Quota>,
}

#[derive(Debug, Serialize)]
pub(super) struct DescribePushQuota {}
action!(DescribePushQuota => PushQuota, "DescribePushQuota");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PushQuota {
    pub(super) url_push: Vec<Quota>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Quota {
    pub(super) batch: usize,
    pub(super) available: usize,
    pub(super) area: String,
}

/// `DescribeDomains` and `DescribeDomainsConfig` take the same.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeDomains {
    pub(super) filters: Vec<Filter>,
}
action!(DescribeDomains => Domains<Domain>, "DescribeDomains");

#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct DescribeDomainsConfig(pub(super) DescribeDomains);
action!(DescribeDomainsConfig => Domains<DomainConfig>, "DescribeDomainsConfig");

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Filter {
    pub(super) name: &'static str,
    pub(super) value: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Domains<T> {
    pub(super) domains: Vec<T>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Domain {
    pub(super) domain: String,
    #[serde(default)]
    pub(super) cname: Option<String>,
    pub(super) status: String,
    #[serde(default)]
    pub(super) origin: Option<Origin>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Origin {
    #[serde(default)]
    pub(super) origins: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DomainConfig {
    pub(super) domain: String,
    #[serde(default)]
    pub(super) https: Option<Https>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Https {
    pub(super) switch: Option<String>,
    #[serde(default)]
    pub(super) cert_info: Option<Certificate>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Certificate {
    #[serde(default)]
    pub(super) expire_time: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DescribeRecordList {
    pub(super) domain: String,
    pub(super) sub_domain: String,
    pub(super) record_type: &'static str,
}
action!(DescribeRecordList => Records, "DescribeRecordList");

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Records {
    pub(super) record_list: Vec<NameRecord>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NameRecord {
    pub(super) value: String,
    pub(super) status: String,
}
