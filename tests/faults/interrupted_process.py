"""Commands, each in a fork of this process, that get a signal at their nth step; asked for by lines on standard input.

A step is a file opened, renamed or removed, a folder made, a program started or something sent: Python's audit events
tell them, so that nothing of the package has to know of this. With ``at`` below 0 steps are only counted.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import requests  # noqa: F401  # imported once for all forks, as all that follows

import sagemaker_custom.builders.append
import sagemaker_custom.builders.docker_engine
import sagemaker_custom.cli.build
import sagemaker_custom.cli.mirror
import sagemaker_custom.wheels.resolver  # noqa: F401
from sagemaker_custom.aws import Aws, open_session
from sagemaker_custom.cli import failures, main
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.source import SourceDestination, bundle, upload

ON_FILES = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.scandir", "shutil.rmtree", "tempfile.mkstemp"}
OTHERS = {"http.client.send", "subprocess.Popen", "socket.connect"}


class Steps:
    """Counts, and sends the signal."""

    def __init__(self, asked):
        self._asked = asked
        self._folders = tuple(asked["folders"])
        self.count = 0

    def happens(self, event, arguments):
        """Take one audit event."""
        if event in OTHERS or (event in ON_FILES and str(arguments[0]).startswith(self._folders)):
            self.count += 1
            if self.count == self._asked["at"] + 1:
                os.kill(os.getpid(), self._asked["signal"])


def send_source(source_dir, bucket, workspace):
    """Pack and upload a folder, as ``fit`` does."""
    store = Aws(open_session())
    destination = SourceDestination(bucket=bucket, prefix="code")
    upload(bundle("train.py", source_dir), destination, store=store, progress=NoProgress(), workspace=Path(workspace))


def run(asked):
    """Run the command in this process, a fork, and leave the number of steps beside its output."""
    output = os.open(asked["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.clear()
    os.environ.update(asked["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    steps = Steps(asked)
    sys.addaudithook(steps.happens)
    try:
        if asked["arguments"][0] == "send-source":
            sys.exit(failures.Report().run(lambda: send_source(*asked["arguments"][1:])))
        sys.argv = ["sagemaker-custom", *asked["arguments"]]
        main()
    except KeyboardInterrupt:
        # What a program with no handler of its own would end with.
        sys.exit(failures.INTERRUPTED)
    finally:
        Path(f"{asked['output']}.steps").write_text(str(steps.count))


if __name__ == "__main__":
    while line := sys.stdin.readline():
        child = os.fork()
        if not child:
            run(json.loads(line))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        sys.stdout.write(f"{status}\n")
        sys.stdout.flush()
