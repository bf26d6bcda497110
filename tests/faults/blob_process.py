"""Uploads a file as a blob in a process of its own, and prints how much memory that took at most."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.registry import RegistryClient, RequestsTransport

host, file = sys.argv[1], Path(sys.argv[2])
with file.open("rb") as content:
    digest = Digest(f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}")
reference = ImageReference.parse(f"{host}/sagemaker-custom-pytorch:2.3.0")
with RequestsTransport() as transport:
    client = RegistryClient(
        transport=transport, credentials=lambda host: None, endpoint_for=lambda host: f"http://{host}"
    )
    sent = client.upload_blob(reference, digest, file.stat().st_size, lambda: file.open("rb"))
    there = client.has_blob(reference, digest)
# Not ru_maxrss of getrusage: over fork and exec it keeps what the process had that started this one.
peak_rss = int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
json.dump({"sent": sent, "there": there, "peak_rss": peak_rss}, sys.stdout)
