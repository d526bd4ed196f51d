use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::super::clock::{after, beijing};
use super::super::envelope::{Answer, ApiError};
use super::super::params::Params;
use super::super::world::World;

/// A domain that readers use.
#[derive(Debug)]
pub(super) struct Domain {
    name: String,
    status: String,
    /// What it becomes, and when.
    change: Option<(String, Timestamp)>,
    config: Map<String, Value>,
    created: Timestamp,
    modified: Timestamp,
}

impl Domain {
    /// A domain that will be online.
    pub(super) fn new(name: &str, origin: Value, now: Timestamp) -> Self {
        Self {
            name: name.to_owned(),
            status: "processing".to_owned(),
            change: Some(("online".to_owned(), now)),
            config: Map::from_iter([("Origin".to_owned(), origin)]),
            created: now,
            modified: now,
        }
    }

    pub(super) fn settle(&mut self, now: Timestamp) {
        if let Some((status, _)) = self.change.take_if(|(_, until)| *until <= now) {
            self.status = status;
        }
    }

    pub(super) fn stands(&mut self, status: &str) {
        self.change = None;
        status.clone_into(&mut self.status);
    }

    pub(super) fn is_online(&self) -> bool {
        // While it is configured anew it goes on to serve.
        self.status == "online" || (self.status == "processing" && self.modified > self.created)
    }

    /// The bucket behind it: the first part of the first origin's name.
    pub(super) fn bucket(&self) -> Option<&str> {
        self.config.get("Origin")?.get("Origins")?.get(0)?.as_str()?.split('.').next()
    }

    fn begin(&mut self, status: &str, now: Timestamp, due: Timestamp) {
        "processing".clone_into(&mut self.status);
        self.change = Some((status.to_owned(), due));
        self.modified = now;
    }

    pub(super) fn brief(&self) -> Value {
        json!({
            "ResourceId": format!("cdn-{}", self.name),
            "AppId": 1_250_000_000,
            "Domain": self.name,
            "Cname": format!("{}.cdn.dnsv1.com", self.name),
            "Status": self.status,
            "ProjectId": 0,
            "ServiceType": self.config.get("ServiceType").cloned().unwrap_or_else(|| json!("web")),
            "CreateTime": beijing(self.created),
            "UpdateTime": beijing(self.modified),
            "Origin": self.config.get("Origin"),
            "Disable": "normal",
            "Area": self.config.get("Area").cloned().unwrap_or_else(|| json!("mainland")),
            "Readonly": "normal",
            "Product": "cdn",
            "ParentHost": "",
        })
    }

    pub(super) fn told(&self) -> Value {
        let mut told = self.brief();
        if let Some(told) = told.as_object_mut() {
            told.remove("Product");
            told.extend(self.config.clone());
        }
        told
    }
}

pub(super) fn add(world: &mut World, params: &Params<'_>) -> Answer {
    let name = params.needed("Domain");
    if world.cdn.domains.contains_key(name) {
        return Err(ApiError::new(
            "ResourceInUse.CdnHostExists",
            format!("there is a domain `{name}` already"),
        ));
    }
    if !name.contains('.')
        || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
    {
        return Err(ApiError::new("InvalidParameter.CdnHostInvalidParam", format!("`{name}` is no domain")));
    }
    let (now, due) = (world.now, world.due());
    let mut domain = Domain::new(name, Value::Null, now);
    configure(&mut domain, params);
    domain.change = Some(("online".to_owned(), due));
    world.cdn.register(name, domain);
    Ok(json!({}))
}

/// Replaces whole objects, as the API does.
pub(super) fn update(world: &mut World, params: &Params<'_>) -> Answer {
    let (now, due) = (world.now, world.due());
    let domain = find(world, params)?;
    domain.check_ready()?;
    let status = domain.status.clone();
    configure(domain, params);
    // The end is later than the beginning even where changes take no time.
    domain.begin(&status, after(now, Duration::from_millis(1)), due);
    Ok(json!({}))
}

fn configure(domain: &mut Domain, params: &Params<'_>) {
    let given = params.all().filter(|(name, value)| *name != "Domain" && !value.is_null());
    domain.config.extend(given.map(|(name, value)| (name.clone(), value.clone())));
}

impl Domain {
    fn check_ready(&self) -> Result<(), ApiError> {
        if self.status != "processing" {
            return Ok(());
        }
        Err(ApiError::new("ResourceInUse.CdnOpInProgress", format!("`{}` is being deployed", self.name)))
    }
}

pub(super) fn switch(world: &mut World, params: &Params<'_>, to: &str) -> Answer {
    let (now, due) = (world.now, world.due());
    let domain = find(world, params)?;
    domain.check_ready()?;
    if domain.status == to {
        return Err(ApiError::new(
            "ResourceUnavailable.CdnHostIsNotOffline",
            format!("`{}` is {to} already", domain.name),
        ));
    }
    domain.begin(to, now, due);
    Ok(json!({}))
}

pub(super) fn delete(world: &mut World, params: &Params<'_>) -> Answer {
    let domain = find(world, params)?;
    if domain.status != "offline" {
        let message = format!("`{}` is {}, not offline", domain.name, domain.status);
        return Err(ApiError::new("ResourceUnavailable.CdnHostIsNotOffline", message));
    }
    world.cdn.domains.remove(params.needed("Domain"));
    Ok(json!({}))
}

pub(super) fn list(world: &mut World, params: &Params<'_>, told: impl Fn(&Domain) -> Value) -> Answer {
    let mut all: Vec<&Domain> = world.cdn.domains.values().collect();
    for filter in params.list("Filters") {
        let name = filter.get("Name").and_then(Value::as_str).unwrap_or_default();
        let values: Vec<&str> = filter
            .get("Value")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        let fuzzy = filter.get("Fuzzy").and_then(Value::as_bool) == Some(true);
        let fits = |is: &str| values.iter().any(|wanted| *wanted == is || (fuzzy && is.contains(wanted)));
        match name {
            "domain" => all.retain(|domain| fits(&domain.name)),
            "status" => all.retain(|domain| fits(&domain.status)),
            _ => {
                return Err(ApiError::new(
                    "InvalidParameter.CdnParamError",
                    format!("there is no filter `{name}`"),
                ));
            }
        }
    }
    let all: Vec<_> = all.into_iter().map(told).collect();
    let total = all.len();
    Ok(json!({ "Domains": params.page(all, 100, 1000)?, "TotalNumber": total }))
}

fn find<'a>(world: &'a mut World, params: &Params<'_>) -> Result<&'a mut Domain, ApiError> {
    let name = params.needed("Domain");
    let message = format!("the account has no domain `{name}`");
    world.cdn.domains.get_mut(name).ok_or_else(|| ApiError::new("ResourceNotFound.CdnHostNotExists", message))
}

#[cfg(test)]
mod tests {
    use super::super::super::config::FakeCloudConfig;
    use super::super::actions::call;
    use super::*;

    fn ask(world: &mut World, action: &str, given: &Value) -> Answer {
        call(world, action, &Params::new(given.as_object().unwrap()))
    }

    #[test]
    fn a_domain_takes_time_to_change() {
        let mut world = World::new(&FakeCloudConfig::default(), Timestamp::UNIX_EPOCH);
        let named = json!({ "Domain": "a.example.com" });
        let added = json!({ "Domain": "a.example.com", "ServiceType": "web", "Origin": { "Origins": ["b-1250000000.cos.x"] } });
        ask(&mut world, "AddCdnDomain", &added).unwrap();
        let status = |world: &mut World| {
            let told = ask(world, "DescribeDomains", &json!({})).unwrap();
            told["Domains"][0]["Status"].as_str().unwrap().to_owned()
        };
        assert_eq!(status(&mut world), "processing");
        assert_eq!(
            ask(&mut world, "StopCdnDomain", &named).unwrap_err().code,
            "ResourceInUse.CdnOpInProgress"
        );
        let settle = |world: &mut World| world.settle(after(world.now, Duration::from_secs(2)));
        settle(&mut world);
        assert_eq!(status(&mut world), "online");
        assert!(ask(&mut world, "DeleteCdnDomain", &named).is_err());
        ask(&mut world, "StopCdnDomain", &named).unwrap();
        settle(&mut world);
        assert_eq!(status(&mut world), "offline");
        ask(&mut world, "DeleteCdnDomain", &named).unwrap();
        assert!(!world.cdn.has("a.example.com"));
    }
}
