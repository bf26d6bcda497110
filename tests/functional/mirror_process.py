"""Mirrors an image in a process of its own, and prints how much memory that took at most."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import RegistryClient, RequestsTransport


def client_for(url):
    return RegistryClient(
        transport=RequestsTransport(timeout_s=60),
        credentials=lambda host: None,
        endpoint_for=lambda host: url,
        attempts=10,
        sleep=lambda seconds: None,
    )


source_url, target_url, source, target = sys.argv[1:]
done = mirror_image(
    ImageReference.parse(source),
    ImageReference.parse(target),
    source_registry=client_for(source_url),
    target_registry=client_for(target_url),
    progress=NoProgress(),
)
# Not ru_maxrss of getrusage: over fork and exec it keeps what the process had that started this one.
status = Path("/proc/self/status").read_text()
peak_rss = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024
json.dump({"digest": done.reference.digest, "bytes": done.bytes_copied, "peak_rss": peak_rss}, sys.stdout)
