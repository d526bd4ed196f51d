use super::super::request::{Request, decoded};

/// What a request is about: the service itself, a bucket, or an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Service,
    Bucket(String),
    Object(String, String),
}

impl Place {
    /// By the host; else by the path's first part, if that is a bucket's name; else in the default bucket.
    pub(super) fn of(request: &Request, default: &str) -> Self {
        Self::at(&request.host(), &decoded(&request.path), default)
    }

    fn at(host: &str, path: &str, default: &str) -> Self {
        let first = host.split('.').next().unwrap_or_default();
        let path = path.strip_prefix('/').unwrap_or(path);
        if host.starts_with("service.cos") {
            return Self::Service;
        }
        if is_bucket(first) {
            return Self::within(first, path);
        }
        match path.split_once('/') {
            Some((bucket, key)) if is_bucket(bucket) => Self::within(bucket, key),
            None if is_bucket(path) => Self::Bucket(path.to_owned()),
            _ => Self::within(default, path),
        }
    }

    /// The object that `x-cos-copy-source` names: `host/key`, the host as a request would have it.
    pub(super) fn of_source(source: &str, default: &str) -> Option<(String, String)> {
        let source = source.split('?').next().unwrap_or_default();
        let (host, path) = source.split_once('/')?;
        match Self::at(host, &decoded(path), default) {
            Self::Object(bucket, key) => Some((bucket, key)),
            Self::Service | Self::Bucket(_) => None,
        }
    }

    fn within(bucket: &str, key: &str) -> Self {
        if key.is_empty() {
            Self::Bucket(bucket.to_owned())
        } else {
            Self::Object(bucket.to_owned(), key.to_owned())
        }
    }

    pub(super) fn subject(&self) -> String {
        match self {
            Self::Service => String::new(),
            Self::Bucket(bucket) => bucket.clone(),
            Self::Object(bucket, key) => format!("{bucket}/{key}"),
        }
    }
}

/// A name with the number of an account at its end.
fn is_bucket(name: &str) -> bool {
    name.rsplit_once('-').is_some_and(|(name, number)| {
        !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && number.len() >= 8
            && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::request::tests::request;
    use super::*;

    fn place(host: &str, path: &str) -> Place {
        Place::of(&request("GET", path, &[("host", host)], b""), "default-1250000000")
    }

    fn object(bucket: &str, key: &str) -> Place {
        Place::Object(bucket.to_owned(), key.to_owned())
    }

    #[test]
    fn a_bucket_is_in_the_host_or_the_path_or_is_the_default_one() {
        assert_eq!(
            place("shop-1250000000.cos.ap-beijing.myqcloud.com", "/a%20b/c"),
            object("shop-1250000000", "a b/c")
        );
        assert_eq!(place("127.0.0.1:8080", "/shop-1250000000/a"), object("shop-1250000000", "a"));
        assert_eq!(place("127.0.0.1:8080", "/shop-1250000000"), Place::Bucket("shop-1250000000".to_owned()));
        assert_eq!(place("127.0.0.1:8080", "/a/b"), object("default-1250000000", "a/b"));
        assert_eq!(place("127.0.0.1:8080", "/"), Place::Bucket("default-1250000000".to_owned()));
        assert_eq!(place("service.cos.myqcloud.com", "/"), Place::Service);
    }

    #[test]
    fn a_source_is_named_by_its_host() {
        let source = "shop-1250000000.cos.ap-beijing.myqcloud.com/a%2Bb.js?versionId=1";
        let found = Place::of_source(source, "default-1250000000");
        assert_eq!(found, Some(("shop-1250000000".to_owned(), "a+b.js".to_owned())));
        assert_eq!(Place::of_source("nothing", "default-1250000000"), None);
    }
}
