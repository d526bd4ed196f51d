use super::super::request::Request;
use super::super::server::Reply;
use super::super::signature::{Moments, verify_cos};
use super::super::world::{Cloud, World};
use super::error::CosError;
use super::place::Place;
use super::storage::Bucket;
use super::xml::Document;
use super::{bucket, listing, multipart, objects};

/// Answers a request for a bucket or an object.
pub(in super::super) fn answer(cloud: &Cloud, request: &Request, id: &str) -> Reply {
    let default = cloud.default_bucket();
    let place = Place::of(request, &default);
    // Here, and not while the world is held.
    request.digests();
    let verified = verify_cos(request, &cloud.keys, Moments::of(&cloud.clock));
    let answered = verified.and_then(|()| cloud.with(|world| dispatch(world, request, &place, &default)));
    match answered {
        Ok(reply) => reply.with("x-cos-request-id", id).with("server", "tencent-cos"),
        Err(error) => refusal(&error, &place.subject(), id),
    }
}

/// An error as object storage tells it.
pub(in super::super) fn refusal(error: &CosError, resource: &str, id: &str) -> Reply {
    let mut told = Document::new("Error");
    told.value("Code", &error.code).value("Message", &error.message).value("Resource", resource);
    told.value("RequestId", id).value("TraceId", id);
    let status = error.status();
    let body = if status == 304 { String::new() } else { told.end() };
    Reply::new(status, "application/xml", body, &error.code).with("x-cos-request-id", id)
}

/// The action and its subject, for faults and the log.
pub(in super::super) fn name(request: &Request, default: &str) -> (String, String) {
    let place = Place::of(request, default);
    let has = |name: &str| request.parameter(name).is_some();
    let copies = request.header("x-cos-copy-source").is_some();
    let what = match (&place, request.method.as_str()) {
        (Place::Service, _) => "service",
        (Place::Bucket(_), _) => ["versioning", "versions", "uploads", "delete"]
            .into_iter()
            .find(|name| has(name))
            .unwrap_or("bucket"),
        (Place::Object(..), "PUT") if has("partNumber") => "part",
        (Place::Object(..), "PUT") if copies => "copy",
        (Place::Object(..), "GET") if has("uploadId") => "parts",
        (Place::Object(..), _) if has("uploadId") => "upload",
        (Place::Object(..), _) if has("uploads") => "uploads",
        (Place::Object(..), _) => "object",
    };
    (format!("{} {what}", request.method), place.subject())
}

fn dispatch(world: &mut World, request: &Request, place: &Place, default: &str) -> Result<Reply, CosError> {
    let (action, _) = name(request, default);
    match place {
        Place::Service if action == "GET service" => Ok(bucket::list_all(world)),
        Place::Service => Err(not_allowed(&action)),
        Place::Bucket(name) => {
            if name == default && action != "PUT bucket" {
                make(world, name);
            }
            for_bucket(world, request, name, &action)
        }
        Place::Object(name, key) => {
            if name == default {
                make(world, name);
            }
            for_object(world, request, (name.as_str(), key.as_str()), &action, default)
        }
    }
}

fn for_bucket(world: &mut World, request: &Request, name: &str, action: &str) -> Result<Reply, CosError> {
    match action {
        "GET bucket" => listing::list(world, request, name),
        "GET versions" => listing::list_versions(world, request, name),
        "GET uploads" => multipart::list_uploads(world, request, name),
        "GET versioning" => bucket::versioning(world, name),
        "PUT versioning" => bucket::set_versioning(world, request, name),
        "POST delete" => bucket::delete_many(world, request, name),
        "PUT bucket" => bucket::create(world, name),
        "HEAD bucket" => bucket::head(world, name),
        "DELETE bucket" => bucket::delete(world, name),
        _ => Err(not_allowed(action)),
    }
}

fn for_object(
    world: &mut World,
    request: &Request,
    (bucket, key): (&str, &str),
    action: &str,
    default: &str,
) -> Result<Reply, CosError> {
    match action {
        "PUT object" => objects::put(world, request, bucket, key),
        "PUT copy" => objects::copy(world, request, bucket, key, default),
        "GET object" | "HEAD object" => objects::get(world, request, bucket, key),
        "DELETE object" => objects::delete(world, request, bucket, key),
        "POST uploads" => multipart::begin(world, request, bucket, key),
        "PUT part" => multipart::part(world, request, bucket, key, default),
        "POST upload" => multipart::complete(world, request, bucket, key),
        "GET parts" => multipart::list_parts(world, request, bucket, key),
        "DELETE upload" => multipart::abort(world, request, bucket, key),
        _ => Err(not_allowed(action)),
    }
}

fn make(world: &mut World, name: &str) {
    let now = world.now;
    world.storage.buckets.entry(name.to_owned()).or_insert_with(|| Bucket::new(now));
}

fn not_allowed(action: &str) -> CosError {
    CosError::new("MethodNotAllowed", format!("this storage knows no `{action}`"))
}
