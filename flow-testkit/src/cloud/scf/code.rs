use bytes::Bytes;

use super::super::config::Strictness;
use super::super::cos::Storage;
use super::super::digests::from_base64;
use super::super::envelope::ApiError;
use super::super::params::Params;

/// How a zip begins that has a file. No more of it is read: the code is never run.
const ZIP: &[u8] = b"PK\x03\x04";

/// The code that an action was given, if it is a zip.
pub(super) fn code(
    storage: &Storage,
    appid: &str,
    strictness: Strictness,
    params: &Params<'_>,
) -> Result<Bytes, ApiError> {
    let code = given(storage, appid, params)?;
    if code.is_empty() || (strictness == Strictness::Full && !code.starts_with(ZIP)) {
        return Err(ApiError::new("InvalidParameterValue.ZipFile", "the code is no zip with a file"));
    }
    Ok(code)
}

/// In the request, or from a bucket named without the account's number.
fn given(storage: &Storage, appid: &str, params: &Params<'_>) -> Result<Bytes, ApiError> {
    let within = params.object("Code").unwrap_or(*params);
    if let Some(zip) = within.text("ZipFile") {
        let message = "`ZipFile` is not in base64";
        let bytes = from_base64(zip)
            .ok_or_else(|| ApiError::new("InvalidParameterValue.ZipFileBase64BinasciiError", message))?;
        return Ok(bytes.into());
    }
    let (Some(bucket), Some(object)) = (within.text("CosBucketName"), within.text("CosObjectName")) else {
        return Err(ApiError::new(
            "InvalidParameterValue.Code",
            "there is neither `ZipFile` nor a COS object",
        ));
    };
    let Some(key) = object.strip_prefix('/') else {
        let message = format!("`{object}` does not begin with a slash");
        return Err(ApiError::new("InvalidParameterValue.CosObjectName", message));
    };
    if bucket.ends_with(&format!("-{appid}")) {
        let message = format!("`{bucket}` must stand without the account's number");
        return Err(ApiError::new("InvalidParameterValue.CosBucketName", message));
    }
    storage.object(&format!("{bucket}-{appid}"), key).ok_or_else(|| {
        ApiError::new("InvalidParameterValue.CosObjectName", format!("`{bucket}` has no object `{object}`"))
    })
}
