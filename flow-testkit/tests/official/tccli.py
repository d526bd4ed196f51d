"""Tencent's own command line against the fake cloud: a deployment of a function, a purge, a record, and refusals.

Usage: tccli.py HOST:PORT. Any surprise ends it with a traceback and exit code 1.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import urllib.request

ENDPOINT = f"http://{sys.argv[1]}"
KEY = {"TENCENTCLOUD_SECRET_ID": "AKIDFAKEFAKEFAKEFAKE00000000000001", "TENCENTCLOUD_SECRET_KEY": "fakeSecretKey000000000000000001"}
HOME = tempfile.TemporaryDirectory()
# Logs and profiles are written below the home directory.
ENVIRONMENT = {**os.environ, **KEY, "TENCENTCLOUD_REGION": "ap-guangzhou", "HOME": HOME.name}
PROGRAM = [sys.executable, "-c", "import sys; from tccli.main import main; sys.exit(main())"]


def control(command, body=None):
    data = json.dumps(body or {}).encode()
    with urllib.request.urlopen(f"{ENDPOINT}/__fake__/{command}", data=data) as answer:
        return json.loads(answer.read())


def run(service, action, *more, environment=ENVIRONMENT, **given):
    words = [word for name, value in given.items() for word in ("--" + name, value if isinstance(value, str) else json.dumps(value))]
    argv = [*PROGRAM, service, action, "--endpoint", ENDPOINT, *words, *more]
    return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=60)


def ask(service, action, *more, **given):
    ended = run(service, action, *more, **given)
    assert ended.returncode == 0, (action, ended)
    return json.loads(ended.stdout)


def refused(code, service, action, **given):
    ended = run(service, action, **given)
    assert ended.returncode != 0 and code in ended.stdout + ended.stderr, (code, ended)


ACTIVE = ("--waiter", json.dumps({"expr": "Status", "to": "Active", "timeout": 30, "interval": 1}))


def settled():
    control("advance", {"seconds": 60})


shop = {"FunctionName": "shop"}
zipped = lambda text: base64.b64encode(text).decode()
control("reset")
control("config", {"delay": 1})
ask("scf", "CreateFunction", **shop, Handler="index.main", Code={"ZipFile": zipped(b"old")})
waited = run("scf", "GetFunction", *ACTIVE, **shop)
assert waited.returncode == 0 and '"Status": "Active"' in waited.stdout, waited
control("config", {"delay": 60})
assert ask("scf", "PublishVersion", **shop)["FunctionVersion"] == "1"
settled()
ask("scf", "UpdateFunctionCode", **shop, Handler="index.main", ZipFile=zipped(b"new"))
refused("FailedOperation.PublishVersion", "scf", "PublishVersion", **shop)
settled()
assert ask("scf", "PublishVersion", **shop)["FunctionVersion"] == "2"
settled()
canary = {"AdditionalVersionWeights": [{"Version": "2", "Weight": 0.1}]}
ask("scf", "CreateAlias", **shop, Name="live", FunctionVersion="1", RoutingConfig=canary)
told = ask("scf", "Invoke", **shop, Qualifier="live", ClientContext=json.dumps({"n": 1}))["Result"]
told = json.loads(told["RetMsg"])
assert told["version"] in ("1", "2") and told["event"] == {"n": 1}, told
ask("scf", "UpdateAlias", **shop, Name="live", FunctionVersion="2", RoutingConfig={"AdditionalVersionWeights": []})
assert ask("scf", "ListAliases", "--filter", "Aliases[?Name=='live'].FunctionVersion", **shop) == ["2"]

task = ask("cdn", "PurgeUrlsCache", Urls=["https://www.example.com/"])["TaskId"]
settled()
assert ask("cdn", "DescribePurgeTasks", TaskId=task)["PurgeLogs"][0]["Status"] == "done"
ask("dnspod", "CreateRecord", Domain="example.com", SubDomain="www", RecordType="A", RecordLine="默认", Value="127.0.0.1")

refused("ResourceNotFound.Function", "scf", "GetFunction", FunctionName="nobody")
wrong = {**ENVIRONMENT, "TENCENTCLOUD_SECRET_KEY": "another"}
refused("AuthFailure.SignatureFailure", "scf", "GetFunction", **shop, environment=wrong)
control("faults", {"kind": "error", "service": "scf", "action": "GetFunction", "code": "RequestLimitExceeded", "times": 10})
refused("RequestLimitExceeded", "scf", "GetFunction", **shop)
print("ok", len(control("log")))
