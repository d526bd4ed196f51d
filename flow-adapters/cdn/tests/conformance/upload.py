"""Uploads a directory as the official client's users do, and prints the seconds.

Usage: upload.py HOST PORT DIRECTORY
"""

import pathlib
import sys
import time

from qcloud_cos import CosConfig, CosS3Client
from qcloud_cos.cos_threadpool import SimpleThreadPool

HOST, PORT, ROOT = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
KEY = ("AKIDFAKEFAKEFAKEFAKE00000000000001", "fakeSecretKey000000000000000001")

config = CosConfig(Region="ap-guangzhou", SecretId=KEY[0], SecretKey=KEY[1], Scheme="http", IP=HOST, Port=PORT)
client = CosS3Client(config)


def put(path):
    with open(path, "rb") as body:
        client.put_object(Bucket="site-1250000000", Body=body, Key=str(path.relative_to(ROOT)), EnableMD5=True)


paths = [path for path in ROOT.rglob("*") if path.is_file()]
begun = time.monotonic()
pool = SimpleThreadPool(num_threads=16)
for path in paths:
    pool.add_task(put, path)
pool.wait_completion()
print(time.monotonic() - begun)
results = pool.get_result()
done = sum(worker[0] for worker in results["detail"])
assert results["success_all"] and done == len(paths), f"{done} of {len(paths)} files"
