//! Names: the zones of the account and their records.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::clock::beijing;
use super::envelope::{Answer, ApiError};
use super::params::Params;
use super::world::World;

/// The line of everybody.
const LINE: &str = "默认";

/// All zones, by their domains.
#[derive(Debug, Default)]
pub(super) struct Zones {
    zones: BTreeMap<String, Zone>,
    last: i64,
}

#[derive(Debug)]
struct Zone {
    id: i64,
    created: Timestamp,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    id: i64,
    name: String,
    kind: String,
    value: String,
    line: String,
    enabled: bool,
    ttl: i64,
    mx: i64,
    weight: Option<i64>,
    remark: String,
    updated: Timestamp,
}

impl Zones {
    pub(super) fn new(domains: &[String], now: Timestamp) -> Self {
        let mut zones = Self::default();
        for domain in domains {
            zones.zone(domain, now);
        }
        zones
    }

    /// Adds a record past the API.
    pub(super) fn add(&mut self, domain: &str, subdomain: &str, kind: &str, value: &str, now: Timestamp) {
        let id = self.next();
        let mut record = Record::new(id, now);
        subdomain.clone_into(&mut record.name);
        kind.clone_into(&mut record.kind);
        record.value = written(kind, value);
        LINE.clone_into(&mut record.line);
        self.zone(domain, now).records.push(record);
    }

    fn next(&mut self) -> i64 {
        self.last += 1;
        self.last
    }

    fn zone(&mut self, domain: &str, now: Timestamp) -> &mut Zone {
        let id = self.next();
        self.zones.entry(domain.to_owned()).or_insert_with(|| Zone { id, created: now, records: Vec::new() })
    }

    fn find(&mut self, params: &Params<'_>) -> Result<&mut Zone, ApiError> {
        let domain = params.needed("Domain");
        let message = format!("the account has no domain `{domain}`");
        let found = self.zones.get_mut(domain);
        found.ok_or_else(|| ApiError::new("InvalidParameterValue.DomainNotExists", message))
    }
}

/// Carries an action out.
pub(super) fn call(world: &mut World, action: &str, params: &Params<'_>) -> Answer {
    match action {
        "DescribeRecordList" => list(world, params),
        "DescribeDomain" => describe(world, params),
        "CreateRecord" => create(world, params),
        "ModifyRecord" => modify(world, params),
        "DeleteRecord" => delete(world, params),
        _ => Err(ApiError::new("UnsupportedOperation", format!("this cloud has no `{action}`"))),
    }
}

fn list(world: &mut World, params: &Params<'_>) -> Answer {
    let zone = world.zones.find(params)?;
    let total = zone.records.len();
    // The new name wins over the old one.
    let name = params.text("SubDomain").or_else(|| params.text("Subdomain")).filter(|name| !name.is_empty());
    let matching = zone.records.iter().filter(|record| {
        name.is_none_or(|name| record.name == name)
            && params.text("RecordType").is_none_or(|kind| record.kind.eq_ignore_ascii_case(kind))
            && params.text("RecordLine").is_none_or(|line| record.line == line)
            && params
                .text("Keyword")
                .is_none_or(|word| record.name.contains(word) || record.value.contains(word))
    });
    let found: Vec<Value> = matching.map(Record::told).collect();
    let matched = found.len();
    let page = params.page(found, 100, 3000)?;
    if page.is_empty() && params.text("ErrorOnEmpty") != Some("no") {
        return Err(ApiError::new("ResourceNotFound.NoDataOfRecord", "there is no such record"));
    }
    Ok(json!({
        "RecordCountInfo": { "SubdomainCount": total, "ListCount": page.len(), "TotalCount": matched },
        "RecordList": page,
    }))
}

impl Record {
    const fn new(id: i64, now: Timestamp) -> Self {
        Self {
            id,
            name: String::new(),
            kind: String::new(),
            value: String::new(),
            line: String::new(),
            enabled: true,
            ttl: 600,
            mx: 0,
            weight: None,
            remark: String::new(),
            updated: now,
        }
    }

    fn told(&self) -> Value {
        json!({
            "RecordId": self.id,
            "Name": self.name,
            "Type": self.kind,
            "Value": self.value,
            "Line": self.line,
            "LineId": "0",
            "Status": if self.enabled { "ENABLE" } else { "DISABLE" },
            "TTL": self.ttl,
            "MX": self.mx,
            "Weight": self.weight,
            "MonitorStatus": "",
            "Remark": self.remark,
            "DefaultNS": false,
            "UpdatedOn": beijing(self.updated),
        })
    }

    /// Takes what is given.
    fn define(&mut self, params: &Params<'_>, now: Timestamp) -> Result<(), ApiError> {
        params.needed("RecordType").clone_into(&mut self.kind);
        params.needed("RecordLine").clone_into(&mut self.line);
        params.text("SubDomain").unwrap_or("@").clone_into(&mut self.name);
        self.value = written(&self.kind, params.needed("Value"));
        self.enabled = match params.text("Status") {
            None | Some("ENABLE") => true,
            Some("DISABLE") => false,
            Some(other) => {
                return Err(ApiError::new(
                    "InvalidParameter.RecordStatusInvalid",
                    format!("the status `{other}`"),
                ));
            }
        };
        let known = ["A", "AAAA", "CAA", "CNAME", "MX", "NS", "SRV", "TXT"];
        if !known.contains(&self.kind.as_str()) {
            return Err(ApiError::new(
                "InvalidParameter.RecordTypeInvalid",
                format!("the type `{}`", self.kind),
            ));
        }
        if self.kind == "A" && self.value.parse::<std::net::Ipv4Addr>().is_err() {
            return Err(ApiError::new(
                "InvalidParameter.RecordValueInvalid",
                format!("`{}` is no IPv4 address", self.value),
            ));
        }
        self.ttl = params.number("TTL").unwrap_or(self.ttl);
        self.mx = params.number("MX").unwrap_or(self.mx);
        self.weight = params.number("Weight").or(self.weight);
        if let Some(remark) = params.text("Remark") {
            remark.clone_into(&mut self.remark);
        }
        self.updated = now;
        Ok(())
    }
}

/// Names in values end with a dot.
fn written(kind: &str, value: &str) -> String {
    let is_name = matches!(kind, "CNAME" | "MX" | "NS");
    if is_name && !value.ends_with('.') { format!("{value}.") } else { value.to_owned() }
}

fn create(world: &mut World, params: &Params<'_>) -> Answer {
    let (now, id) = (world.now, world.zones.next());
    let zone = world.zones.find(params)?;
    let mut record = Record::new(id, now);
    record.define(params, now)?;
    let same =
        |other: &Record| other.name == record.name && other.kind == record.kind && other.line == record.line;
    if zone.records.iter().any(|other| same(other) && (other.value == record.value || record.kind == "CNAME"))
    {
        return Err(ApiError::new("InvalidParameter.DomainRecordExist", "there is such a record already"));
    }
    zone.records.push(record);
    Ok(json!({ "RecordId": id }))
}

fn modify(world: &mut World, params: &Params<'_>) -> Answer {
    let now = world.now;
    let zone = world.zones.find(params)?;
    let id = params.number("RecordId").unwrap_or_default();
    let record = zone.records.iter_mut().find(|record| record.id == id).ok_or_else(|| no_record(id))?;
    record.define(params, now)?;
    Ok(json!({ "RecordId": id }))
}

fn delete(world: &mut World, params: &Params<'_>) -> Answer {
    let zone = world.zones.find(params)?;
    let id = params.number("RecordId").unwrap_or_default();
    let at = zone.records.iter().position(|record| record.id == id).ok_or_else(|| no_record(id))?;
    zone.records.remove(at);
    Ok(json!({}))
}

fn no_record(id: i64) -> ApiError {
    ApiError::new("InvalidParameter.RecordIdInvalid", format!("there is no record {id}"))
}

fn describe(world: &mut World, params: &Params<'_>) -> Answer {
    let zone = world.zones.find(params)?;
    let domain = params.needed("Domain");
    Ok(json!({ "DomainInfo": {
        "DomainId": zone.id,
        "Domain": domain,
        "Punycode": domain,
        "Status": "ENABLE",
        "DNSStatus": "",
        "Grade": "DP_FREE",
        "GradeLevel": 2,
        "GradeTitle": "免费版",
        "GroupId": 1,
        "IsMark": "NO",
        "IsVip": "NO",
        "TTL": 600,
        "Remark": "",
        "DnspodNsList": ["a.dnspod.com.", "b.dnspod.com."],
        "ActualNsList": ["a.dnspod.com.", "b.dnspod.com."],
        "Owner": "owner@example.com",
        "OwnerNick": "owner",
        "Uin": "100000000001",
        "UserId": 1,
        "RecordCount": zone.records.len(),
        "CreatedOn": beijing(zone.created),
        "UpdatedOn": beijing(zone.created),
        "IsGracePeriod": "NO",
        "VipBuffered": "NO",
        "IsSubDomain": false,
        "TagList": [],
        "SearchEnginePush": "NO",
        "SlaveDNS": "NO",
        "CNAMESpeedup": "DISABLE",
    } }))
}

#[cfg(test)]
mod tests {
    use super::super::config::FakeCloudConfig;
    use super::*;

    fn ask(world: &mut World, action: &str, given: &Value) -> Answer {
        call(world, action, &Params::new(given.as_object().unwrap()))
    }

    #[test]
    fn a_record_is_found_by_its_name_and_its_absence_is_an_error() {
        let mut world = World::new(&FakeCloudConfig::default(), Timestamp::UNIX_EPOCH);
        let record = json!({ "Domain": "example.com", "SubDomain": "www", "RecordType": "CNAME", "RecordLine": LINE,
            "Value": "www.example.com.cdn.dnsv1.com" });
        ask(&mut world, "CreateRecord", &record).unwrap();
        assert_eq!(
            ask(&mut world, "CreateRecord", &record).unwrap_err().code,
            "InvalidParameter.DomainRecordExist"
        );
        let told =
            ask(&mut world, "DescribeRecordList", &json!({ "Domain": "example.com", "SubDomain": "www" }))
                .unwrap();
        assert_eq!(told["RecordList"][0]["Value"], "www.example.com.cdn.dnsv1.com.");
        let none = json!({ "Domain": "example.com", "SubDomain": "nothing" });
        assert_eq!(
            ask(&mut world, "DescribeRecordList", &none).unwrap_err().code,
            "ResourceNotFound.NoDataOfRecord"
        );
        let none = json!({ "Domain": "example.com", "SubDomain": "nothing", "ErrorOnEmpty": "no" });
        assert_eq!(ask(&mut world, "DescribeRecordList", &none).unwrap()["RecordList"], json!([]));
        let other = ask(&mut world, "DescribeRecordList", &json!({ "Domain": "example.org" })).unwrap_err();
        assert_eq!(other.code, "InvalidParameterValue.DomainNotExists");
    }
}
