use bytes::Bytes;

use super::super::cos::Storage;
use super::super::digests::from_base64;
use super::super::envelope::ApiError;
use super::super::params::Params;

/// The code that an action was given: in the request, or from a bucket named without the account's number.
pub(super) fn code(storage: &Storage, appid: &str, params: &Params<'_>) -> Result<Bytes, ApiError> {
    let within = params.object("Code").unwrap_or(*params);
    if let Some(zip) = within.text("ZipFile") {
        let message = "`ZipFile` is not in base64";
        let bytes = from_base64(zip)
            .ok_or_else(|| ApiError::new("InvalidParameterValue.ZipFileBase64BinasciiError", message))?;
        if bytes.is_empty() {
            return Err(ApiError::new("InvalidParameterValue.ZipFile", "`ZipFile` is empty"));
        }
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
