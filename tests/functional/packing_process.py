"""Bundles and packs a folder in a process of its own, and prints what came out and how much memory that took."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path

from sagemaker_custom.archive import write_tar_gz
from sagemaker_custom.source import bundle


class HashingFile:
    """Keeps nothing of what is written to it."""

    def __init__(self):
        self.sha256 = hashlib.sha256()

    def write(self, content):
        self.sha256.update(content)
        return len(content)


def memory():
    # Not ru_maxrss of getrusage: over fork and exec it keeps what the process had that started this one.
    return int(re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024


source, cache = (Path(argument) for argument in sys.argv[1:3])
if sys.argv[3:] == ["one core"] and hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
before = memory()
code, target = bundle(None, source, cache_dir=cache), HashingFile()
size = write_tar_gz(code.entries, target, digest=code.digest)
result = {"digest": code.digest, "sha256": target.sha256.hexdigest(), "size": size, "memory": memory() - before}
json.dump(result, sys.stdout)
