"""Computes computed.json: what Tencent Cloud's own Python clients sign. Nothing is sent. See README.md."""

import json
import sys
import time
from importlib.metadata import version

from qcloud_cos import CosConfig, CosS3Client
from qcloud_cos import cos_auth
from tencentcloud.common.abstract_client import AbstractClient
from tencentcloud.common.credential import Credential
from tencentcloud.common.http.request import RequestInternal
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile

ID, KEY = "AKIDz8krbsJ5yKBZQpn74WFkmLPx3EXAMPLE", "Gu5t9xGARNpq86cd98joQYCN3EXAMPLE"
TOKEN = "Zm9v+/==.tok-en_~"
AWKWARD = {
    "plain": "index",
    "blank inside": "a b  c",
    "plus and percent": "a+b%20c%2Fd",
    "reserved": "!#$&'()*,;=:@[]?",
    "unreserved": "-._~",
    "quotes and brackets": "\"<a>\\^`{|}",
    "accents": "é-ü-ñ",
    "chinese": "中文/说明",
    "beyond the BMP": "🚀-𝒳",
    "combining": "e\u0301",
    "tab and line": "a\tb\nc",
    "long": "x" * 700,
}


class Stop(BaseException):
    """Where something would be sent."""


def at(moment):
    time.time = lambda: moment


# API 3.0

def tc3(name, params, moment, method="POST", service="scf", host=None, key=KEY, token=None, unsigned=False, options=None, body=None):
    at(moment)
    profile = ClientProfile(httpProfile=HttpProfile(reqMethod=method, endpoint=host))
    profile.unsignedPayload = unsigned
    client = AbstractClient(Credential(ID, key, token), "ap-guangzhou", profile)
    client._apiVersion, client._service = "2018-04-16", service
    client._endpoint = f"{service}.tencentcloudapi.com"
    request = RequestInternal(client._get_endpoint(), method, "/")
    if body is not None:
        request.data = body
    client._build_req_with_tc3_signature("DoIt", params, request, options)
    payload = b"" if method == "GET" else request.data
    payload = payload.encode() if isinstance(payload, str) else payload
    return {
        "name": name,
        "method": method,
        "uri": request.uri,
        "query": request.data if method == "GET" else "",
        "host": request.header["Host"],
        "content_type": request.header["Content-Type"],
        "service": service,
        "timestamp": moment,
        "secret_id": ID,
        "secret_key": key,
        "payload_hex": payload.hex(),
        "unsigned_payload": unsigned,
        "expected_authorization": request.header["Authorization"],
    }


def all_tc3():
    for number, (name, text) in enumerate(AWKWARD.items()):
        params, moment = {"FunctionName": text, "Tags": [text, text[:3]]}, 1_700_000_000 + number * 86_399
        yield tc3(f"POST {name}", params, moment)
        yield tc3(f"GET {name}", {"FunctionName": text, text[:9]: "1"}, moment, method="GET", service="cdn")
        yield tc3(f"unsigned {name}", params, moment, service="dnspod", unsigned=True)
    for name, moment in {"epoch": 0, "last second of a year": 1_767_225_599, "first second of a year": 1_767_225_600,
                         "leap day": 1_709_164_800, "beyond 2038": 2_147_483_648}.items():
        yield tc3(name, {}, moment)
    for size in (1, 63, 64, 65, 200):
        yield tc3(f"key of {size} bytes", {"A": 1}, 1_700_000_000, key="k" * size)
    yield tc3("token", {"A": 1}, 1_700_000_000, token=TOKEN)
    yield tc3("port in the host", {"A": 1}, 1_700_000_000, host="127.0.0.1:7001")
    yield tc3("IPv6 host", {"A": 1}, 1_700_000_000, host="[::1]:7001")
    yield tc3("region in the host", {"A": 1}, 1_700_000_000, host="scf.ap-guangzhou.tencentcloudapi.com")
    yield tc3("nested and null", {"A": {"B": [None, True, 1.5, {"C": ""}]}}, 1_700_000_000)
    yield tc3("GET without parameters", {}, 1_700_000_000, method="GET")
    octets = {"IsOctetStream": True}
    yield tc3("empty octets", {}, 1_700_000_000, options=octets, body=b"")
    yield tc3("octets that are no text", {}, 1_700_000_000, options=octets, body=bytes(range(256)))
    yield tc3("multipart", {"A": "é", "B": [1]}, 1_700_000_000, options={"IsMultipart": True})


# The object storage

caught = {}


class Noting(cos_auth.CosS3Auth):
    def __call__(self, request):
        signed = super().__call__(request)
        caught.update(path=self._path, params=self._params, request=signed)
        raise Stop


def cos(name, moment, call, key=KEY, token=None):
    at(moment)
    config = CosConfig(Region="ap-guangzhou", SecretId=ID, SecretKey=key, Token=token, Scheme="http")
    try:
        call(CosS3Client(config, retry=0))
    except Stop:
        pass
    request = caught["request"]
    host = request.url.split("/")[2]
    authorization = request.headers["Authorization"]
    fields = dict(field.split("=", 1) for field in authorization.split("&"))
    headers = {k.lower(): v for k, v in cos_auth.filter_headers(request.headers).items() if k.lower() != "host"}
    text = lambda value: value.decode() if isinstance(value, bytes) else str(value)
    return {
        "name": name,
        "method": request.method,
        "key": caught["path"].removeprefix("/"),
        "host": host,
        "url_on_the_wire": request.url,
        "params": {k: text(v) for k, v in caught["params"].items()},
        "headers": {k: text(v) for k, v in headers.items()},
        "headers_signed_by_the_sdk": fields["q-header-list"].split(";"),
        "now": moment,
        "sign_time": fields["q-sign-time"],
        "secret_id": ID,
        "secret_key": key,
        "expected_authorization": authorization,
    }


def all_cos():
    import qcloud_cos.cos_client as module

    module.CosS3Auth = Noting
    bucket = {"Bucket": "site-1250000000"}
    for number, (name, text) in enumerate(AWKWARD.items()):
        moment, key = 1_700_000_000 + number * 12_345, f"assets/{text}/app.js"
        yield cos(f"put {name}", moment, lambda c: c.put_object(**bucket, Key=key, Body=text.encode(), EnableMD5=True,
                                                                CacheControl="no-cache", ContentType="text/javascript"))
        yield cos(f"get {name}", moment, lambda c: c.get_object(**bucket, Key=key, Range="bytes=0-9",
                                                                ResponseContentType=text.replace("\n", " ")[:99]), token=TOKEN)
        yield cos(f"list {name}", moment, lambda c: c.list_objects(**bucket, Prefix=text, Marker=text[:3], Delimiter="/",
                                                                   MaxKeys=1000, EncodingType="url"))
        yield cos(f"header {name}", moment, lambda c: c.put_object(**bucket, Key="a", Body=b"", EnableMD5=True, Metadata={
            "x-cos-meta-note": text.replace("\n", " ")}, ContentDisposition=text.replace("\n", " ")[:99]))
    plain = {**bucket, "Key": "big/file.bin"}
    moment = 1_767_225_600
    for name, call in {
        "empty body": lambda c: c.put_object(**plain, Body=b"", EnableMD5=True),
        "head": lambda c: c.head_object(**plain),
        "delete": lambda c: c.delete_object(**plain, VersionId="MTg0NDUxNTgxMjg/+="),
        "forbid overwrite": lambda c: c.put_object(**plain, Body=b"1", **{"IfNoneMatch": "*"}),
        "begin upload": lambda c: c.create_multipart_upload(**plain, ContentType="text/html; charset=utf-8"),
        "put part": lambda c: c.upload_part(**plain, Body=b"12345", PartNumber=10_000, UploadId="u/1+2=", EnableMD5=True),
        "complete upload": lambda c: c.complete_multipart_upload(**plain, UploadId="u/1+2=", MultipartUpload={
            "Part": [{"PartNumber": 1, "ETag": '"e"'}]}),
        "abort upload": lambda c: c.abort_multipart_upload(**plain, UploadId="u/1+2="),
        "list parts": lambda c: c.list_parts(**plain, UploadId="u", PartNumberMarker=7, MaxParts=1000, EncodingType="url"),
        "list uploads": lambda c: c.list_multipart_uploads(**bucket, Prefix="a b", KeyMarker="é", UploadIdMarker="1", EncodingType="url"),
        "delete many": lambda c: c.delete_objects(**bucket, Delete={"Object": [{"Key": "é&<"}], "Quiet": "true"}),
        "copy": lambda c: c.copy_object(**plain, CopySource={"Bucket": "site-1250000000", "Key": "a b/é", "Region": "ap-guangzhou"}),
        "versions": lambda c: c.list_objects_versions(**bucket, Prefix="x"),
    }.items():
        yield cos(name, moment, call)
    for size in (1, 64, 65, 200):
        yield cos(f"key of {size} bytes", moment, lambda c: c.head_object(**plain), key="k" * size)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    names = ("tencentcloud-sdk-python-common", "cos-python-sdk-v5")
    lists = {"generator": [f"{name} {version(name)}" for name in names], "tc3": all_tc3(), "cos": all_cos()}
    parts = [f'"{name}": [\n' + ",\n".join(json.dumps(one) for one in many) + "\n]" for name, many in lists.items()]
    print("{" + ",\n".join(parts) + "}")
