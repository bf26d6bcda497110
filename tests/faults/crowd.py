"""Starts callers of one image as processes, kills some of them, and looks at what is in the registry afterwards."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from signal import SIGKILL

from callers import Callers, client_for, line_of, plan_for

from sagemaker_custom import oci
from sagemaker_custom.plan import FINGERPRINT_LABEL
from sagemaker_custom.reference import digest_of
from sagemaker_custom.registry import RequestsTransport

SCRIPT = Path(__file__).parent / "callers.py"
LIMIT_S = 90


class Callery:
    """The process that callers are forked from, so that a hundred of them cost no more imports than one."""

    def __init__(self):
        known = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, str(SCRIPT)], stdin=subprocess.PIPE, text=True, env=known, start_new_session=True
        )

    def fork(self, asked):
        self._process.stdin.write(line_of(asked))
        self._process.stdin.flush()

    def close(self):
        self._process.stdin.close()
        self._process.wait(LIMIT_S)


class Crowd:
    """Callers of one image."""

    def __init__(self, folder, registry, callery, environment):
        self.folder = folder
        self._callery = callery
        self._fixed = {
            "registry": registry.host,
            "repository": f"sagemaker-custom-{secrets.token_hex(4)}",
            "folder": str(folder),
            "environment": environment,
        }
        self.plan = plan_for(registry.host, self._fixed["repository"])
        self._started = []

    def start(self, **asked):
        """Start callers and return at once, with the process ids of all."""
        number = len(self._started)
        self._callery.fork(Callers(number=number, **self._fixed, **asked))
        started = self.folder / f"started-{number}"
        wait_for(started.exists)
        self._started.append(json.loads(started.read_text()))
        return self._started[-1]

    def wait_until_told(self, pids):
        """Wait until each has been told of something."""
        wait_for(lambda: all((self.folder / f"told-{pid}").exists() for pid in pids))

    def results(self, pids):
        """Wait for callers and return what became of each."""
        files = [self.folder / f"result-{pid}" for pid in pids]
        wait_for(lambda: all(file.exists() for file in files))
        return [json.loads(file.read_text()) for file in files]

    def run(self, **asked):
        return self.results(self.start(**asked))

    def run_one(self, **asked):
        [result] = self.run(**asked)
        return result

    def start_stopped(self, **asked):
        """Start one caller that stops at a point of its build, and return its process id once it is there."""
        [pid] = self.start(**asked)
        wait_for((self.folder / f"stopped-{pid}").exists)
        return pid

    @property
    def builds(self):
        return len(list(self.folder.glob("build-*")))

    def tags(self):
        """Return the tags, after a look at every byte that they lead to."""
        with RequestsTransport() as transport:
            client = client_for(transport)
            tags = client.tags(self.plan.reference)
            for tag in tags:
                reference = self.plan.reference.with_tag(tag)
                manifest = client.manifest(reference)
                parsed = oci.parse_manifest(manifest.media_type, manifest.content, name=tag)
                for blob in (parsed.config, *parsed.layers):
                    content = b"".join(client.read_blob(reference, blob.digest, size=blob.size))
                    assert (digest_of(content), len(content)) == (blob.digest, blob.size)
                assert oci.labels(client.image_config(reference))[FINGERPRINT_LABEL] == self.plan.fingerprint
        return tags

    def digest(self):
        with RequestsTransport() as transport:
            return client_for(transport).find(self.plan.reference)

    def close(self):
        """End those who are not at their end."""
        for pid in (pid for pids in self._started for pid in pids):
            if not (self.folder / f"result-{pid}").exists():
                with suppress(ProcessLookupError):
                    os.kill(pid, SIGKILL)


def wait_for(condition):
    """Wait until something is so; a test that waits too long fails."""
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.02)
