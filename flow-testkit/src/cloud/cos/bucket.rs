use bytes::Bytes;

use super::super::request::Request;
use super::super::server::Reply;
use super::super::world::World;
use super::error::CosError;
use super::multipart::time;
use super::objects::check_md5;
use super::storage::Bucket;
use super::xml::{Document, Element};

/// How many keys one request may delete.
const MOST: usize = 1000;

pub(super) fn list_all(world: &World) -> Reply {
    let mut told = Document::new("ListAllMyBucketsResult");
    told.within("Owner", |owner| {
        owner.value("ID", &world.appid).value("DisplayName", &world.appid);
    });
    told.within("Buckets", |list| {
        for (name, bucket) in &world.storage.buckets {
            list.within("Bucket", |row| {
                row.value("Name", name).value("CreationDate", time(bucket.created));
            });
        }
    });
    Reply::new(200, "application/xml", told.end(), "ok")
}

pub(super) fn create(world: &mut World, name: &str) -> Result<Reply, CosError> {
    if world.storage.buckets.contains_key(name) {
        return Err(CosError::new("BucketAlreadyOwnedByYou", format!("there is a bucket `{name}` already")));
    }
    if !name.ends_with(&format!("-{}", world.appid)) {
        return Err(CosError::new("AccessDenied", format!("`{name}` has not the account's number")));
    }
    world.storage.buckets.insert(name.to_owned(), Bucket::new(world.now));
    Ok(done(200))
}

pub(super) fn head(world: &mut World, name: &str) -> Result<Reply, CosError> {
    world.storage.bucket(name)?;
    Ok(done(200))
}

pub(super) fn delete(world: &mut World, name: &str) -> Result<Reply, CosError> {
    if !world.storage.bucket(name)?.objects.is_empty() {
        return Err(CosError::new("BucketNotEmpty", format!("the bucket `{name}` has objects")));
    }
    world.storage.buckets.remove(name);
    Ok(done(204))
}

pub(super) fn versioning(world: &mut World, name: &str) -> Result<Reply, CosError> {
    let mut told = Document::new("VersioningConfiguration");
    if let Some(status) = world.storage.bucket(name)?.versioning {
        told.value("Status", status);
    }
    Ok(Reply::new(200, "application/xml", told.end(), "ok"))
}

pub(super) fn set_versioning(world: &mut World, request: &Request, name: &str) -> Result<Reply, CosError> {
    let bucket = world.storage.bucket(name)?;
    let read = Element::read(&request.body);
    bucket.versioning = match read.as_ref().and_then(|root| root.value("Status")) {
        Some("Enabled") => Some("Enabled"),
        Some("Suspended") => Some("Suspended"),
        _ => return Err(CosError::new("MalformedXML", "the status is neither Enabled nor Suspended")),
    };
    Ok(done(200))
}

pub(super) fn delete_many(world: &mut World, request: &Request, name: &str) -> Result<Reply, CosError> {
    if request.header("content-md5").is_none() {
        return Err(CosError::new("MissingRequestHeader", "the request lacks Content-MD5"));
    }
    check_md5(request)?;
    let read = Element::read(&request.body).filter(|root| root.name == "Delete");
    let read = read.ok_or_else(|| CosError::new("MalformedXML", "the body lists no objects"))?;
    let rows: Vec<_> = read.all("Object").collect();
    if rows.is_empty() || rows.len() > MOST {
        return Err(CosError::new(
            "MalformedXML",
            format!("the body lists {} objects, not 1 to {MOST}", rows.len()),
        ));
    }
    let mut told = Document::new("DeleteResult");
    let quiet = read.value("Quiet") == Some("true");
    for row in rows {
        let (key, version) = (row.value("Key").unwrap_or_default(), row.value("VersionId"));
        if let Some(code) = world.faults.keeps(key) {
            told.within("Error", |error| {
                error.value("Key", key).value("Code", &code).value("Message", "a fault that was asked for");
            });
            continue;
        }
        let (now, number) = (world.now, world.chance.next());
        let removed = world.storage.bucket(name)?.remove(key, version, now, number);
        if quiet {
            continue;
        }
        told.within("Deleted", |deleted| {
            deleted.value("Key", key);
            if let Some((version, true)) = &removed {
                deleted.value("DeleteMarker", true).value("DeleteMarkerVersionId", version);
            }
        });
    }
    Ok(Reply::new(200, "application/xml", told.end(), "ok"))
}

fn done(status: u16) -> Reply {
    Reply::new(status, "application/xml", Bytes::new(), "ok")
}
