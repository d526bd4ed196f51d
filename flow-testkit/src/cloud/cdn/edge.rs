//! What readers meet at a domain: the origin's objects, kept until they are purged.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::super::cos::{Object, Storage};
use super::super::request::{Request, decoded};
use super::super::server::Reply;
use super::super::world::World;
use super::domains::Domain;

/// What the edge keeps of a URL; none: that there was nothing.
#[derive(Debug, Clone)]
pub(super) struct Cached(Option<(Bytes, Vec<(String, String)>)>);

impl Cached {
    fn of(object: Option<&Object>) -> Self {
        let kept = |object: &Object| {
            let headers = object.headers.iter().map(|(name, value)| (name.clone(), value.clone()));
            (object.content.clone(), headers.collect())
        };
        Self(object.map(kept))
    }

    /// What the bucket has for a path.
    fn of_origin(storage: &Storage, bucket: &str, path: &str) -> Self {
        let path = decoded(path);
        let key = path.strip_prefix('/').unwrap_or(&path);
        let key =
            if key.is_empty() || key.ends_with('/') { format!("{key}index.html") } else { key.to_owned() };
        Self::of(storage.served(bucket, &key))
    }

    fn reply(&self, hit: bool) -> Reply {
        let reply = match &self.0 {
            Some((content, headers)) => {
                let reply = Reply::new(200, "application/octet-stream", content.clone(), "ok");
                headers.iter().fold(reply, |reply, (name, value)| reply.with(name, value))
            }
            None => Reply::new(404, "text/html", "<html><body>404</body></html>", "http 404"),
        };
        reply.with("x-cache-lookup", if hit { "Cache Hit" } else { "Cache Miss" })
    }
}

/// Serves a URL. It keeps everything, whatever the object's `Cache-Control` says, and what is absent too: stricter than the real one.
pub(in super::super) fn fetch(world: &mut World, request: &Request) -> Reply {
    let host = request.host();
    let domain = world.cdn.domains.get(&host).filter(|domain| domain.is_online());
    let Some(bucket) = domain.and_then(|domain| domain.bucket()).map(str::to_owned) else {
        return Reply::new(
            514,
            "text/html",
            "<html><body>the domain is not online</body></html>",
            "http 514",
        );
    };
    if !matches!(request.method.as_str(), "GET" | "HEAD") {
        return Reply::new(405, "text/html", "", "http 405");
    }
    let url = format!("{host}{}", request.path);
    if let Some(cached) = world.cdn.cache.get(&url) {
        return cached.reply(true);
    }
    let cached = Cached::of_origin(&world.storage, &bucket, &request.path);
    let reply = cached.reply(false);
    world.cdn.cache.insert(url, cached);
    reply
}

/// What the edge keeps of a URL without its scheme once it is prefetched, by the name it has in the cache.
pub(super) fn prefetched(
    domains: &BTreeMap<String, Domain>,
    storage: &Storage,
    url: &str,
) -> Option<(String, Cached)> {
    let (host, path) = url.split_at(url.find('/').unwrap_or(url.len()));
    let host = host.split(':').next().unwrap_or_default();
    let path = path.split('?').next().filter(|path| !path.is_empty()).unwrap_or("/");
    let bucket = domains.get(host).filter(|domain| domain.is_online())?.bucket()?;
    Some((format!("{host}{path}"), Cached::of_origin(storage, bucket, path)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::Timestamp;
    use serde_json::json;

    use super::super::super::clock::after;
    use super::super::super::config::FakeCloudConfig;
    use super::super::super::params::Params;
    use super::super::super::request::tests::request;
    use super::super::actions::call;
    use super::*;

    fn change(world: &mut World, content: &'static [u8]) {
        let now = world.now;
        world.storage.change("b-1250000000", "index.html", Some(content), now, 1);
    }

    #[test]
    fn readers_meet_the_old_page_until_it_is_purged() {
        let mut world = World::new(&FakeCloudConfig::default(), Timestamp::UNIX_EPOCH);
        world.cdn.serve("a.example.com", "b-1250000000", Timestamp::UNIX_EPOCH);
        let asked = request("GET", "/", &[("host", "a.example.com:80")], b"");
        change(&mut world, b"old");
        assert_eq!(fetch(&mut world, &asked).body, "old");
        change(&mut world, b"new");
        assert_eq!(fetch(&mut world, &asked).body, "old");
        let urls = json!({ "Urls": ["https://a.example.com/"] });
        call(&mut world, "PurgeUrlsCache", &Params::new(urls.as_object().unwrap())).unwrap();
        assert_eq!(fetch(&mut world, &asked).body, "old");
        world.settle(after(world.now, Duration::from_secs(2)));
        assert_eq!(fetch(&mut world, &asked).body, "new");
        world.cdn.becomes("a.example.com", "offline");
        assert_eq!(fetch(&mut world, &asked).status, 514);
    }
}
