"""Sends a file to S3 in a process of its own, and prints what was told of it and how much memory that took."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import boto3

from sagemaker_custom.aws import Aws


class Bar:
    """Counts, and remembers how often it moved."""

    def __init__(self):
        self.done = self.moves = 0

    def advance(self, amount):
        self.done += amount
        self.moves += 1


def memory():
    # Not ru_maxrss of getrusage: over fork and exec it keeps what the process had that started this one.
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def send(key, path):
    bar = Bar()
    aws.put_file("bucket", key, path, kms_key=None, encrypt=True, expected_owner=None, task=bar)
    return bar


bucket_url, large, small = sys.argv[1:]
aws = Aws(
    boto3.Session(aws_access_key_id="testing", aws_secret_access_key="testing", region_name="us-east-1"),
    s3_client=boto3.client(
        "s3",
        endpoint_url=bucket_url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="us-east-1",
    ),
)
send("small", Path(small))
before = memory()
bar = send("large", Path(large))
json.dump({"done": bar.done, "moves": bar.moves, "memory": memory() - before}, sys.stdout)
