use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::clock::{after, beijing};
use super::super::config::Strictness;
use super::super::envelope::{Answer, ApiError};
use super::super::params::Params;
use super::super::world::World;
use super::actions::Cdn;

/// What is done with a URL or a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Url,
    Path,
    Push,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Url => "url",
            Self::Path => "path",
            Self::Push => "push",
        }
    }

    /// How the codes of the documentation begin.
    const fn code(self) -> &'static str {
        match self {
            Self::Url => "CdnPurgeUrl",
            Self::Path => "CdnPurgePath",
            Self::Push => "CdnPush",
        }
    }
}

/// One URL or path of a task: each is a row of its own.
#[derive(Debug)]
pub(super) struct Entry {
    kind: Kind,
    task: String,
    url: String,
    flush: String,
    area: String,
    status: &'static str,
    fails: bool,
    created: Timestamp,
    until: Timestamp,
}

impl Entry {
    /// What happens to the cache, where it ends well: by its kind, with the URL without its scheme.
    pub(super) fn settle(&mut self, now: Timestamp) -> Option<(Kind, &str)> {
        if self.status != "process" || self.until > now {
            return None;
        }
        self.status = if self.fails { "fail" } else { "done" };
        (!self.fails).then(|| (self.kind, without_scheme(&self.url)))
    }

    fn told(&self) -> Value {
        let mut told = json!({
            "TaskId": self.task,
            "Url": self.url,
            "Status": self.status,
            "CreateTime": beijing(self.created),
        });
        let more = if self.kind == Kind::Push {
            // The official example writes it in this way, and only it.
            let status = if self.status == "done" { "Done" } else { self.status };
            let percent = if self.status == "process" { 0 } else { 100 };
            json!({ "Status": status, "Percent": percent, "Area": self.area, "UpdateTime": beijing(self.until) })
        } else {
            json!({ "PurgeType": self.kind.name(), "FlushType": self.flush })
        };
        if let (Some(told), Some(more)) = (told.as_object_mut(), more.as_object()) {
            told.extend(more.clone());
        }
        told
    }
}

pub(super) fn submit(world: &mut World, params: &Params<'_>, kind: Kind) -> Answer {
    let urls = params.texts(if kind == Kind::Path { "Paths" } else { "Urls" });
    let areas: &[&str] = match params.text("Area") {
        None | Some("global") => &["mainland", "overseas"],
        Some("mainland") => &["mainland"],
        Some("overseas") => &["overseas"],
        Some(other) => {
            return Err(ApiError::new("InvalidParameter.CdnParamError", format!("the area `{other}`")));
        }
    };
    let flush = params.text("FlushType").unwrap_or_default();
    if kind == Kind::Path && !matches!(flush, "flush" | "delete") {
        return Err(ApiError::new(
            "InvalidParameter.CdnParamError",
            format!("`{flush}` is neither flush nor delete"),
        ));
    }
    for url in &urls {
        check_url(&world.cdn, url, kind)?;
    }
    spend(world, kind, areas, urls.len())?;
    let task = world.chance.next().to_string();
    let fails = world.faults.fails_task(kind.name());
    let area = if areas.len() == 2 { "global" } else { areas.first().copied().unwrap_or_default() };
    let count = u32::try_from(urls.len()).unwrap_or(u32::MAX);
    // One after the other: whoever looks at the first page alone sees neither the end nor what failed.
    let half = world.delay / 2;
    for (place, url) in (1..).zip(urls) {
        world.cdn.entries.push(Entry {
            kind,
            task: task.clone(),
            url: url.to_owned(),
            flush: flush.to_owned(),
            area: area.to_owned(),
            status: "process",
            fails: fails && place == count,
            created: world.now,
            until: after(world.now, half + half / count * place),
        });
    }
    Ok(json!({ "TaskId": task }))
}

fn check_url(cdn: &Cdn, url: &str, kind: Kind) -> Result<(), ApiError> {
    let bare = without_scheme(url);
    if bare == url {
        return Err(ApiError::new(
            "InvalidParameter.CdnUrlExceedLength",
            format!("`{url}` has neither http:// nor https://"),
        ));
    }
    if url.contains('*') {
        let code = if kind == Kind::Push {
            "InvalidParameter.CdnPushWildcardNotAllowed"
        } else {
            "InvalidParameter.CdnPurgeWildcardNotAllowed"
        };
        return Err(ApiError::new(code, format!("`{url}` has a wildcard")));
    }
    if kind == Kind::Path && !url.ends_with('/') {
        return Err(ApiError::new(
            "InvalidParameter.CdnParamError",
            format!("the path `{url}` does not end with a slash"),
        ));
    }
    let host = bare.split(['/', ':']).next().unwrap_or_default();
    if cdn.strictness == Strictness::Full && !cdn.has(host) {
        return Err(ApiError::new(
            "ResourceNotFound.CdnHostNotExists",
            format!("the account has no domain `{host}`"),
        ));
    }
    Ok(())
}

/// All areas pay, or none.
fn spend(world: &mut World, kind: Kind, areas: &[&str], count: usize) -> Result<(), ApiError> {
    let (batch, total) = limits(&world.cdn, kind);
    if count == 0 || count > batch {
        let message = format!("{count} in one request, not 1 to {batch}");
        return Err(ApiError::new(format!("LimitExceeded.{}ExceedBatchLimit", kind.code()), message));
    }
    let day = day(world.now);
    let key = |area: &str| (day.clone(), kind, area.to_owned());
    let spent = |area: &str| world.cdn.spent.get(&key(area)).copied().unwrap_or(0);
    if areas.iter().any(|area| spent(area) + count > total) {
        let message = format!("the day's {total} do not hold {count} more");
        return Err(ApiError::new(format!("LimitExceeded.{}ExceedDayLimit", kind.code()), message));
    }
    for area in areas {
        *world.cdn.spent.entry(key(area)).or_insert(0) += count;
    }
    Ok(())
}

const fn limits(cdn: &Cdn, kind: Kind) -> (usize, usize) {
    let quotas = cdn.quotas;
    match kind {
        Kind::Url => (quotas.url_batch, quotas.url_day),
        Kind::Path => (quotas.path_batch, quotas.path_day),
        Kind::Push => (quotas.push_batch, quotas.push_day),
    }
}

pub(super) fn quota(world: &World, kind: Kind) -> Value {
    let (batch, total) = limits(&world.cdn, kind);
    let day = day(world.now);
    let rows = ["mainland", "overseas"].map(|area| {
        let spent = world.cdn.spent.get(&(day.clone(), kind, area.to_owned())).copied().unwrap_or(0);
        json!({ "Batch": batch, "Total": total, "Available": total.saturating_sub(spent), "Area": area })
    });
    json!(rows)
}

/// The day in Beijing, by which quotas are counted.
fn day(now: Timestamp) -> String {
    beijing(now).chars().take(10).collect()
}

pub(super) fn describe(world: &mut World, params: &Params<'_>, list: &str) -> Answer {
    let (task, start) = (params.text("TaskId"), params.text("StartTime"));
    if task.is_none() && start.is_none() {
        return Err(ApiError::new("MissingParameter", "either `TaskId` or `StartTime` is needed"));
    }
    let end = params
        .text("EndTime")
        .map_or_else(|| beijing(after(world.now, Duration::from_secs(1))), str::to_owned);
    let pushes = list == "PushLogs";
    let wanted = |entry: &&Entry| {
        let created = beijing(entry.created);
        let fits =
            |name: &str, is: &str| params.text(name).is_none_or(|wanted| wanted.eq_ignore_ascii_case(is));
        (entry.kind == Kind::Push) == pushes
            && fits("TaskId", &entry.task)
            && fits("Status", entry.status)
            && fits("PurgeType", entry.kind.name())
            && params.text("Area").is_none_or(|area| area == entry.area || entry.area == "global")
            && params.text("Keyword").is_none_or(|word| entry.url.contains(word))
            && (task.is_some() || (start.is_none_or(|start| start <= created.as_str()) && created <= end))
    };
    let all: Vec<_> = world.cdn.entries.iter().filter(wanted).map(Entry::told).collect();
    let total = all.len();
    let mut answer = serde_json::Map::new();
    answer.insert(list.to_owned(), params.page(all, 20, 1000)?.into());
    answer.insert("TotalCount".to_owned(), total.into());
    Ok(answer.into())
}

fn without_scheme(url: &str) -> &str {
    url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or(url)
}

#[cfg(test)]
mod tests {
    use super::super::super::config::FakeCloudConfig;
    use super::super::super::faults::Fault;
    use super::super::actions::call;
    use super::*;

    fn world() -> World {
        let mut world =
            World::new(&FakeCloudConfig::default(), Timestamp::from_second(1_767_225_600).unwrap());
        let now = world.now;
        world.cdn.serve("a.example.com", "site-1250000000", now);
        world
    }

    fn ask(world: &mut World, action: &str, given: &Value) -> Answer {
        call(world, action, &Params::new(given.as_object().unwrap()))
    }

    fn urls(count: usize) -> Value {
        (0..count).map(|number| format!("https://a.example.com/{number}")).collect::<Vec<_>>().into()
    }

    #[test]
    fn a_task_of_twenty_one_urls_has_twenty_on_its_first_page() {
        let mut world = world();
        let task = ask(&mut world, "PurgeUrlsCache", &json!({ "Urls": urls(21) })).unwrap()["TaskId"].clone();
        let told = ask(&mut world, "DescribePurgeTasks", &json!({ "TaskId": task })).unwrap();
        assert_eq!(told["TotalCount"], 21);
        assert_eq!(told["PurgeLogs"].as_array().unwrap().len(), 20);
        assert!(told["PurgeLogs"].as_array().unwrap().iter().all(|row| row["Status"] == "process"));
        world.settle(after(world.now, Duration::from_secs(2)));
        let told = ask(&mut world, "DescribePurgeTasks", &json!({ "TaskId": task, "Offset": 20 })).unwrap();
        assert_eq!(told["PurgeLogs"].as_array().unwrap().len(), 1);
        assert_eq!(told["PurgeLogs"][0]["Status"], "done");
        assert_eq!(ask(&mut world, "DescribePurgeTasks", &json!({})).unwrap_err().code, "MissingParameter");
    }

    #[test]
    fn the_urls_of_a_task_end_one_after_the_other_and_only_the_last_one_fails() {
        let mut world = world();
        world.faults.add(Fault::CdnTask { subject: ("url".to_owned(),), times: 1 });
        let task = ask(&mut world, "PurgeUrlsCache", &json!({ "Urls": urls(21) })).unwrap()["TaskId"].clone();
        let page = |world: &mut World, offset: usize| {
            let given = json!({ "TaskId": task, "Offset": offset });
            let told = ask(world, "DescribePurgeTasks", &given).unwrap();
            let rows = told["PurgeLogs"].as_array().unwrap().iter();
            rows.map(|row| row["Status"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        world.settle(after(world.now, Duration::from_millis(1970)));
        assert_eq!(page(&mut world, 0), ["done"; 20]);
        assert_eq!(page(&mut world, 20), ["process"]);
        world.settle(after(world.now, Duration::from_millis(30)));
        assert_eq!(page(&mut world, 20), ["fail"]);
    }

    #[test]
    fn the_days_quota_ends_and_comes_back_the_next_day() {
        let mut world = world();
        for _ in 0..10 {
            ask(&mut world, "PurgeUrlsCache", &json!({ "Urls": urls(1000), "Area": "mainland" })).unwrap();
        }
        let more = json!({ "Urls": urls(1), "Area": "mainland" });
        let refused = ask(&mut world, "PurgeUrlsCache", &more).unwrap_err();
        assert_eq!(refused.code, "LimitExceeded.CdnPurgeUrlExceedDayLimit");
        let quota = ask(&mut world, "DescribePurgeQuota", &json!({})).unwrap();
        assert_eq!(
            (&quota["UrlPurge"][0]["Available"], &quota["UrlPurge"][1]["Available"]),
            (&json!(0), &json!(10_000))
        );
        world.settle(after(world.now, Duration::from_secs(86_400)));
        ask(&mut world, "PurgeUrlsCache", &more).unwrap();
        let refused = ask(&mut world, "PurgeUrlsCache", &json!({ "Urls": urls(1001) })).unwrap_err();
        assert_eq!(refused.code, "LimitExceeded.CdnPurgeUrlExceedBatchLimit");
    }

    #[test]
    fn a_url_that_is_none_or_of_another_account_is_refused() {
        let mut world = world();
        let code =
            |world: &mut World, action: &str, given: Value| ask(world, action, &given).unwrap_err().code;
        let wild = json!({ "Urls": ["https://a.example.com/*"] });
        assert_eq!(code(&mut world, "PurgeUrlsCache", wild), "InvalidParameter.CdnPurgeWildcardNotAllowed");
        let other = json!({ "Urls": ["https://b.example.com/"] });
        assert_eq!(code(&mut world, "PurgeUrlsCache", other), "ResourceNotFound.CdnHostNotExists");
        let path = json!({ "Paths": ["https://a.example.com/a"], "FlushType": "flush" });
        assert_eq!(code(&mut world, "PurgePathCache", path), "InvalidParameter.CdnParamError");
    }
}
