"""The official Python SDK of object storage against the fake cloud.

Usage: cos.py HOST PORT. Any surprise ends it with a traceback and exit code 1.
"""

import hashlib
import json
import os
import sys
import tempfile
import urllib.request

from qcloud_cos import CosConfig, CosS3Client
from qcloud_cos.cos_exception import CosServiceError

HOST, PORT = sys.argv[1], int(sys.argv[2])
BUCKET = "site-1250000000"
KEY = ("AKIDFAKEFAKEFAKEFAKE00000000000001", "fakeSecretKey000000000000000001")


def client(key=KEY, **more):
    where = more or {"IP": HOST, "Port": PORT}
    config = CosConfig(Region="ap-beijing", SecretId=key[0], SecretKey=key[1], Scheme="http", **where)
    return CosS3Client(config, retry=0)


def control(command, body=None):
    data = json.dumps(body or {}).encode()
    with urllib.request.urlopen(f"http://{HOST}:{PORT}/__fake__/{command}", data=data) as answer:
        return json.loads(answer.read())


def refused(call, status, code):
    try:
        call()
    except CosServiceError as error:
        assert (error.get_status_code(), error.get_error_code()) == (status, code), error
    else:
        raise AssertionError(f"it was to be refused with {code}")


control("reset")
cos = client()
refused(lambda: cos.put_object(Bucket=BUCKET, Key="a", Body=b"x"), 404, "NoSuchBucket")
cos.create_bucket(Bucket=BUCKET)
refused(lambda: cos.create_bucket(Bucket=BUCKET), 409, "BucketAlreadyOwnedByYou")

for key in ["a.html", "a b/c+d%20e&f=g;h~i'(j)!*.txt", "网页/页.html", "assets/app.3f2a1c.js"]:
    body = os.urandom(1000)
    put = cos.put_object(Bucket=BUCKET, Key=key, Body=body, EnableMD5=True, CacheControl="no-cache", ContentType="text/html")
    assert put["ETag"] == '"%s"' % hashlib.md5(body).hexdigest()
    got = cos.get_object(Bucket=BUCKET, Key=key)
    assert got["Body"].get_raw_stream().read() == body and got["Cache-Control"] == "no-cache", key
    assert cos.head_object(Bucket=BUCKET, Key=key)["Content-Length"] == "1000", key

for number in range(25):
    cos.put_object(Bucket=BUCKET, Key=f"many/{number:03}", Body=b"%d" % number)
keys, marker = [], ""
while True:
    page = cos.list_objects(Bucket=BUCKET, Prefix="many/", MaxKeys=10, Marker=marker)
    keys += [each["Key"] for each in page["Contents"]]
    if page["IsTruncated"] == "false":
        break
    marker = page["NextMarker"]
assert keys == [f"many/{number:03}" for number in range(25)], keys
told = cos.list_objects(Bucket=BUCKET, Delimiter="/")
assert [each["Prefix"] for each in told["CommonPrefixes"]] == ["a b/", "assets/", "many/", "网页/"], told

cos.copy_object(Bucket=BUCKET, Key="copy.html", CopySource={"Bucket": BUCKET, "Key": "网页/页.html", "Region": "ap-beijing"})
assert cos.head_object(Bucket=BUCKET, Key="copy.html")["Content-Length"] == "1000"
deleted = cos.delete_objects(Bucket=BUCKET, Delete={"Object": [{"Key": key} for key in keys], "Quiet": "false"})
assert len(deleted["Deleted"]) == 25
assert "Contents" not in cos.list_objects(Bucket=BUCKET, Prefix="many/")

with tempfile.NamedTemporaryFile() as file:
    content = os.urandom(3 * 1024 * 1024 + 17)
    file.write(content)
    file.flush()
    done = cos.upload_file(Bucket=BUCKET, Key="big.bin", LocalFilePath=file.name, PartSize=1, MAXThread=3, EnableMD5=True)
    assert done["ETag"].endswith('-4"'), done
got = cos.get_object(Bucket=BUCKET, Key="big.bin")["Body"].get_raw_stream().read()
assert got == content
part = cos.get_object(Bucket=BUCKET, Key="big.bin", Range="bytes=5-9")["Body"].get_raw_stream().read()
assert part == content[5:10]

begun = cos.create_multipart_upload(Bucket=BUCKET, Key="left.bin")["UploadId"]
cos.upload_part(Bucket=BUCKET, Key="left.bin", Body=b"x" * 10, PartNumber=1, UploadId=begun)
assert cos.list_parts(Bucket=BUCKET, Key="left.bin", UploadId=begun)["Part"][0]["Size"] == "10"
assert [each["UploadId"] for each in cos.list_multipart_uploads(Bucket=BUCKET)["Upload"]] == [begun]
cos.abort_multipart_upload(Bucket=BUCKET, Key="left.bin", UploadId=begun)
refused(lambda: cos.list_parts(Bucket=BUCKET, Key="left.bin", UploadId=begun), 404, "NoSuchUpload")

cos.put_bucket_versioning(Bucket=BUCKET, Status="Enabled")
assert cos.get_bucket_versioning(Bucket=BUCKET)["Status"] == "Enabled"
first = cos.put_object(Bucket=BUCKET, Key="v", Body=b"one")["x-cos-version-id"]
cos.put_object(Bucket=BUCKET, Key="v", Body=b"two")
assert cos.get_object(Bucket=BUCKET, Key="v", VersionId=first)["Body"].get_raw_stream().read() == b"one"

refused(lambda: client((KEY[0], "another")).put_object(Bucket=BUCKET, Key="a", Body=b"x"), 403, "SignatureDoesNotMatch")
refused(lambda: client(("AKIDNOBODY", "x")).put_object(Bucket=BUCKET, Key="a", Body=b"x"), 403, "InvalidAccessKeyId")
refused(lambda: cos.get_object(Bucket=BUCKET, Key="nothing"), 404, "NoSuchKey")
control("faults", {"kind": "error", "service": "cos", "action": "PUT object", "code": "SlowDown", "times": 1})
refused(lambda: cos.put_object(Bucket=BUCKET, Key="a", Body=b"x"), 503, "SlowDown")
cos.delete_object(Bucket=BUCKET, Key="a.html")

plain = client(Domain=f"{HOST}:{PORT}")
plain.put_object(Bucket=BUCKET, Key="plain.txt", Body=b"plain")
assert plain.get_object(Bucket=BUCKET, Key="plain.txt")["Body"].get_raw_stream().read() == b"plain"
print("ok", len(control("log")))
