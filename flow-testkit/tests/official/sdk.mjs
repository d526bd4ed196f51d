// The official Node SDKs against the fake cloud: functions, a purge, objects, and refusals.
//
// Usage: node sdk.mjs PORT, with the folder of the packages in PACKAGES. Any surprise ends it with exit code 1.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import http from "node:http";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";

const require = createRequire(process.env.PACKAGES + "/");
const scf = require("tencentcloud-sdk-nodejs-scf").scf.v20180416;
const cdn = require("tencentcloud-sdk-nodejs-cdn").cdn.v20180606;
const dnspod = require("tencentcloud-sdk-nodejs-dnspod").dnspod.v20210323;
const COS = require("cos-nodejs-sdk-v5");

const port = process.argv[2];
const key = { secretId: "AKIDFAKEFAKEFAKEFAKE00000000000001", secretKey: "fakeSecretKey000000000000000001" };
// The SDK signs for the first label of the endpoint: the name stands, and every name leads to this machine.
const lookup = (_, options, done) =>
  options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4);
const agent = new http.Agent({ lookup });

const client = (kind, service, credential = key) =>
  new kind({
    credential,
    region: "ap-guangzhou",
    profile: { httpProfile: { protocol: "http://", endpoint: `${service}.tencentcloudapi.com:${port}`, agent } },
  });

const control = async (command, body = {}) => {
  const answer = await fetch(`http://127.0.0.1:${port}/__fake__/${command}`, { method: "POST", body: JSON.stringify(body) });
  return answer.json();
};

const refused = async (call, code) => {
  const error = await call().then(() => assert.fail(`it was to be refused with ${code}`), (error) => error);
  assert.equal(error.code, code);
};

await control("reset");

const functions = client(scf.Client, "scf");
const FunctionName = "shop";
const settled = async () => {
  for (let tries = 0; (await functions.GetFunction({ FunctionName })).Status !== "Active"; tries += 1) {
    assert.ok(tries < 100, "never active");
    await control("advance", { seconds: 1 });
  }
};
const zip = (text) => Buffer.from(text).toString("base64");
await functions.CreateFunction({ FunctionName, Handler: "index.main", Code: { ZipFile: zip("old") } });
await settled();
assert.equal((await functions.PublishVersion({ FunctionName })).FunctionVersion, "1");
await settled();
await functions.UpdateFunctionCode({ FunctionName, Handler: "index.main", ZipFile: zip("new") });
await settled();
assert.equal((await functions.PublishVersion({ FunctionName })).FunctionVersion, "2");
await settled();
const RoutingConfig = { AdditionalVersionWeights: [{ Version: "2", Weight: 0.1 }] };
await functions.CreateAlias({ FunctionName, Name: "live", FunctionVersion: "1", RoutingConfig });
const reached = { 1: 0, 2: 0 };
for (let number = 0; number < 200; number += 1) {
  const { Result } = await functions.Invoke({ FunctionName, Qualifier: "live" });
  reached[JSON.parse(Result.RetMsg).version] += 1;
}
assert.ok(reached[2] >= 4 && reached[2] <= 40, JSON.stringify(reached));
await functions.UpdateAlias({ FunctionName, Name: "live", FunctionVersion: "2", RoutingConfig: { AdditionalVersionWeights: [] } });
assert.equal((await functions.GetAlias({ FunctionName, Name: "live" })).FunctionVersion, "2");
await refused(() => functions.GetFunction({ FunctionName: "nobody" }), "ResourceNotFound.Function");
const wrong = client(scf.Client, "scf", { ...key, secretKey: "another" });
await refused(() => wrong.GetFunction({ FunctionName }), "AuthFailure.SignatureFailure");

await control("faults", { kind: "error", service: "scf", action: "GetFunction", code: "RequestLimitExceeded", times: 1 });
await refused(() => functions.GetFunction({ FunctionName }), "RequestLimitExceeded");

const delivery = client(cdn.Client, "cdn");
const { TaskId } = await delivery.PurgeUrlsCache({ Urls: ["https://www.example.com/"] });
await control("advance", { seconds: 10 });
assert.equal((await delivery.DescribePurgeTasks({ TaskId })).PurgeLogs[0].Status, "done");
const names = client(dnspod.Client, "dnspod");
await refused(() => names.DescribeRecordList({ Domain: "example.com" }), "ResourceNotFound.NoDataOfRecord");

const storage = (SecretKey) => new COS({ SecretId: key.secretId, SecretKey, Protocol: "http:", Proxy: `http://127.0.0.1:${port}` });
const cos = storage(key.secretKey);
const place = { Bucket: "site-1250000000", Region: "ap-beijing" };
await cos.putBucket(place);
await cos.putObject({ ...place, Key: "a b/c+d.html", Body: "hello" });
assert.equal((await cos.getObject({ ...place, Key: "a b/c+d.html" })).Body.toString(), "hello");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "big-"));
try {
  const big = randomBytes(3 * 1024 * 1024 + 17);
  const FilePath = path.join(folder, "big");
  fs.writeFileSync(FilePath, big);
  const { ETag } = await cos.sliceUploadFile({ ...place, Key: "big", FilePath, ChunkSize: 1024 * 1024 });
  assert.match(ETag, /-4"$/);
  assert.ok(big.equals((await cos.getObject({ ...place, Key: "big" })).Body), "it comes back otherwise");
} finally {
  fs.rmSync(folder, { recursive: true });
}
const listed = await cos.getBucket({ ...place, Prefix: "a b/" });
assert.deepEqual(listed.Contents.map((each) => each.Key), ["a b/c+d.html"]);
await cos.deleteMultipleObject({ ...place, Objects: [{ Key: "a b/c+d.html" }] });
await refused(() => cos.getObject({ ...place, Key: "a b/c+d.html" }), "NoSuchKey");
await refused(() => storage("another").putObject({ ...place, Key: "a", Body: "x" }), "SignatureDoesNotMatch");
console.log("ok", (await control("log")).length);
