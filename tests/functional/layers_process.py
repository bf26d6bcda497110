"""Makes the layers of wheels in a process of its own, and prints their digests and how much memory that took."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

from fakes.tiny_wheels import inventory

from sagemaker_custom.progress import NoProgress
from sagemaker_custom.wheels.layers import LayerStore
from sagemaker_custom.wheels.listing import listing_of
from sagemaker_custom.wheels.lock import LockedWheel
from sagemaker_custom.wheels.store import FetchedWheel


def memory():
    # Not ru_maxrss of getrusage: over fork and exec it keeps what the process had that started this one.
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


def fetched(path):
    name, version = path.name.split("-")[:2]
    url = f"https://files.example.com/{path.name}"
    wheel = LockedWheel(name=name, version=version, filename=path.name, url=url, sha256="0" * 64, size=None, index=None)
    return FetchedWheel(wheel=wheel, path=path)


os.umask(int(os.environ.get("UMASK", "022"), 8))
folder, *wheels = (Path(argument) for argument in sys.argv[1:])
before = memory()
layers = LayerStore(folder).layers(
    [fetched(path) for path in wheels], inventory(), removed={"old": ("/opt/x", "/opt/y")}, progress=NoProgress()
)
for layer in layers:
    listing_of(layer)
digests = [[layer.digest, layer.diff_id, layer.size] for layer in layers]
json.dump({"layers": digests, "memory": memory() - before}, sys.stdout)
