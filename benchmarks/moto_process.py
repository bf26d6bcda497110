"""moto in a process of its own, so that what it does takes no time from what is measured."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import boto3

REGION = "us-east-1"
ACCOUNT = "123456789012"
_PROGRAM = """
import sys
from sagemaker_custom.sandbox.aws import SandboxAws
with SandboxAws() as aws:
    print(aws.url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def aws_process() -> Iterator[boto3.Session]:
    """Run moto, and have every session of this process talk to it alone."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        url = process.stdout.readline().strip()
        os.environ |= {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "AKIASANDBOXSANDBOX00",
            "AWS_SECRET_ACCESS_KEY": "sandbox",
            "AWS_EC2_METADATA_DISABLED": "true",
            "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1",
        }
        try:
            yield boto3.Session(region_name=REGION)
        finally:
            process.stdin.close()
