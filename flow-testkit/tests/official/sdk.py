"""The official Python SDK against the fake cloud: a deployment of a function, purges, names, and refusals.

Usage: sdk.py HOST:PORT. Any surprise ends it with a traceback and exit code 1.
"""

import base64
import hashlib
import io
import json
import sys
import urllib.request
import zipfile

from tencentcloud.cdn.v20180606 import cdn_client, models as cdn
from tencentcloud.common import credential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.dnspod.v20210323 import dnspod_client, models as dnspod
from tencentcloud.scf.v20180416 import models as scf, scf_client

ENDPOINT = sys.argv[1]
KEY = ("AKIDFAKEFAKEFAKEFAKE00000000000001", "fakeSecretKey000000000000000001")


def client(kind, key=KEY, region="ap-guangzhou", method="POST"):
    http = HttpProfile(protocol="http", endpoint=ENDPOINT, reqTimeout=20, reqMethod=method)
    profile = ClientProfile(httpProfile=http)
    return kind(credential.Credential(*key), region, profile)


def control(command, body=None):
    data = json.dumps(body or {}).encode()
    with urllib.request.urlopen(f"http://{ENDPOINT}/__fake__/{command}", data=data) as answer:
        return json.loads(answer.read())


def request(models, name, **given):
    made = getattr(models, name + "Request")()
    made.from_json_string(json.dumps(given))
    return made


def refused(call, code):
    try:
        call()
    except TencentCloudSDKException as error:
        assert error.get_code() == code, error
        assert error.get_request_id(), error
    else:
        raise AssertionError(f"it was to be refused with {code}")


def package(text):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("index.py", text)
    return packed.getvalue()


def functions():
    api = client(scf_client.ScfClient)
    ask = lambda action, **given: getattr(api, action)(request(scf, action, FunctionName="shop", **given))
    update = lambda code: ask("UpdateFunctionCode", Handler="index.main", ZipFile=base64.b64encode(code).decode())

    def wait():
        for _ in range(100):
            if ask("GetFunction").Status == "Active":
                return
            control("advance", {"seconds": 1})
        raise AssertionError("never active")

    old, new = package("old"), package("new")
    ask("CreateFunction", Handler="index.main", Code={"ZipFile": base64.b64encode(old).decode()})
    wait()
    assert ask("PublishVersion").FunctionVersion == "1"
    wait()
    update(new)
    refused(lambda: update(new), "FailedOperation.UpdateFunctionCode")
    wait()
    assert ask("GetFunctionAddress").CodeSha256 == hashlib.sha256(new).hexdigest()
    assert ask("PublishVersion").FunctionVersion == "2"
    wait()
    told = ask("ListVersionByFunction", Limit=20)
    assert sorted(told.FunctionVersion) == ["$LATEST", "1", "2"], told.FunctionVersion
    routing = {"AdditionalVersionWeights": [{"Version": "2", "Weight": 0.1}], "AddtionVersionMatchs": []}
    ask("CreateAlias", Name="live", FunctionVersion="1", RoutingConfig=routing)
    reached = {"1": 0, "2": 0}
    for number in range(300):
        result = ask("Invoke", Qualifier="live", ClientContext=json.dumps({"n": number})).Result
        told = json.loads(result.RetMsg)
        assert told["event"] == {"n": number} and result.ErrMsg == "" and result.InvokeResult == 0
        reached[told["version"]] += 1
    assert 10 <= reached["2"] <= 55, reached
    ask("UpdateAlias", Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": []})
    alias = ask("GetAlias", Name="live")
    assert alias.FunctionVersion == "2" and alias.RoutingConfig.AdditionalVersionWeights == []
    for _ in range(50):
        assert json.loads(ask("Invoke", Qualifier="live").Result.RetMsg)["version"] == "2"
    assert ask("ListAliases", Offset="0", Limit="20").TotalCount == 2
    ask("CreateTrigger", TriggerName="nightly", Type="timer", TriggerDesc="0 0 3 * * * *", Qualifier="$DEFAULT", Enable="OPEN")
    assert [(each.TriggerName, each.Enable) for each in ask("ListTriggers").Triggers] == [("nightly", 1)]
    refused(lambda: ask("DeleteFunctionVersion", Qualifier="2"), "UnsupportedOperation.AliasBind")
    refused(lambda: ask("GetAlias", Name="nobody"), "ResourceNotFound.Alias")


def in_the_query():
    api = client(scf_client.ScfClient, method="GET")
    ask = lambda action, **given: getattr(api, action)(request(scf, action, FunctionName="shop", **given))
    routing = {"AdditionalVersionWeights": [{"Version": "1", "Weight": 0.5}], "AddtionVersionMatchs": []}
    ask("UpdateAlias", Name="live", FunctionVersion="2", RoutingConfig=routing)
    weights = ask("GetAlias", Name="live").RoutingConfig.AdditionalVersionWeights
    assert [(each.Version, each.Weight) for each in weights] == [("1", 0.5)]
    assert ask("ListVersionByFunction", Limit=1).FunctionVersion == ["$LATEST"]


def refusals():
    given = request(scf, "GetFunction", FunctionName="nobody")
    refused(lambda: client(scf_client.ScfClient).GetFunction(given), "ResourceNotFound.Function")
    wrong = client(scf_client.ScfClient, (KEY[0], "another"))
    refused(lambda: wrong.GetFunction(given), "AuthFailure.SignatureFailure")
    nobody = client(scf_client.ScfClient, ("AKIDNOBODY", KEY[1]))
    refused(lambda: nobody.GetFunction(given), "AuthFailure.SecretIdNotFound")
    temporary = ("AKIDTEMPTEMPTEMPTEMP00000000000002", "fakeSecretKey000000000000000002", "fake-session-token")
    client(scf_client.ScfClient, temporary).ListFunctions(request(scf, "ListFunctions"))
    control("faults", {"kind": "error", "service": "scf", "action": "GetFunction", "code": "RequestLimitExceeded", "times": 1})
    refused(lambda: client(scf_client.ScfClient).GetFunction(given), "RequestLimitExceeded")


def delivery():
    api = client(cdn_client.CdnClient, region="")
    ask = lambda action, **given: getattr(api, action)(request(cdn, action, **given))
    urls = [f"https://www.example.com/{number}" for number in range(21)]
    task = ask("PurgeUrlsCache", Urls=urls).TaskId
    first = ask("DescribePurgeTasks", TaskId=task)
    assert first.TotalCount == 21 and len(first.PurgeLogs) == 20 and first.PurgeLogs[0].Status == "process"
    control("advance", {"seconds": 10})
    second = ask("DescribePurgeTasks", TaskId=task, Offset=20)
    assert [each.Status for each in second.PurgeLogs] == ["done"]
    assert [each.Available for each in ask("DescribePurgeQuota").UrlPurge] == [9979, 9979]
    refused(lambda: ask("PurgeUrlsCache", Urls=["https://www.example.com/*"]), "InvalidParameter.CdnPurgeWildcardNotAllowed")


def names():
    api = client(dnspod_client.DnspodClient, region="")
    ask = lambda action, **given: getattr(api, action)(request(dnspod, action, Domain="example.com", **given))
    refused(lambda: ask("DescribeRecordList"), "ResourceNotFound.NoDataOfRecord")
    ask("CreateRecord", SubDomain="www", RecordType="CNAME", RecordLine="默认", Value="www.example.com.cdn.dnsv1.com")
    record = ask("DescribeRecordList").RecordList[0]
    assert (record.Name, record.Value) == ("www", "www.example.com.cdn.dnsv1.com."), record
    ask("DeleteRecord", RecordId=record.RecordId)


control("reset")
functions()
in_the_query()
refusals()
delivery()
names()
print("ok", len(control("log")))
