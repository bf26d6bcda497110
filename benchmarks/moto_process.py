"""moto in a process of its own, so that what it does takes no time from what is measured."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import boto3

from sagemaker_custom.sandbox.aws import SandboxAws

_PROGRAM = """
import sys
from sagemaker_custom.sandbox.aws import SandboxAws
with SandboxAws() as aws:
    print(aws.url, flush=True)
    sys.stdin.read()
"""


@contextmanager
def aws_process() -> Iterator[boto3.Session]:
    """Run moto; gives a session that talks to it alone."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        aws = SandboxAws()
        aws._url = process.stdout.readline().strip()  # noqa: SLF001  # a server that this process does not run
        try:
            yield aws.boto_session()
        finally:
            process.stdin.close()
