"""Sending in a process of its own: several parts at a time, none of them kept in memory, and a bar that moves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

PROCESS = str(Path(__file__).with_name("upload_process.py"))
MB = 1_000_000


@pytest.fixture
def bucket():
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="bucket")
    yield client
    client.close()
    server.stop()


def test_a_large_archive_goes_in_parts_and_takes_no_more_memory(bucket, tmp_path):
    large, small = tmp_path / "large.tar.gz", tmp_path / "small.tar.gz"
    with large.open("wb") as file:
        file.truncate(160 * MB)
    small.write_bytes(b"small")

    output = subprocess.run(
        [sys.executable, PROCESS, bucket.meta.endpoint_url, str(large), str(small)],
        stdout=subprocess.PIPE,
        check=True,
        timeout=120,
    ).stdout
    told = json.loads(output)

    stored = bucket.head_object(Bucket="bucket", Key="large")
    assert (told["done"], stored["ContentLength"]) == (160 * MB, 160 * MB)
    assert stored["ETag"].strip('"').endswith("-20"), "it did not go in parts of 8 MiB"
    assert told["moves"] >= 20
    assert told["memory"] < 64 * MB
