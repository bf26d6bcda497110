"""A build that runs in CodeBuild → its log and phases, live, to the person who waits; and how it ended."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote

from sagemaker_custom.aws.codebuild import BuildStart, LogPiece, NewProject, Project, RemoteBuild
from sagemaker_custom.builders import script_start
from sagemaker_custom.builders.codebuild_job import START_MARK, VERIFICATION_MARK
from sagemaker_custom.builders.failures import is_disk_full, wrong_hash
from sagemaker_custom.builders.log import BuildLog
from sagemaker_custom.builders.steps import BuildSteps
from sagemaker_custom.errors import (
    AccessDeniedError,
    AwsError,
    BuildError,
    CredentialsError,
    DigestMismatchError,
    DiskFullError,
    VerificationError,
)
from sagemaker_custom.progress import Progress

logger = logging.getLogger(__name__)

_POLL_S = 3.0
# CloudWatch has the last lines some seconds after the build is over.
_DRAIN_POLLS = 10
_QUIET_POLLS = 3
# About ten minutes of an AWS that does not answer, on top of the retries of every request.
_MOST_FAILURES = 60

_CONSOLES = {
    "aws": "console.aws.amazon.com",
    "aws-cn": "console.amazonaws.cn",
    "aws-us-gov": "console.amazonaws-us-gov.com",
    "aws-eusc": "console.amazonaws-eusc.eu",
}
_ENDINGS = {
    "FAILED": "failed",
    "FAULT": "had a fault of AWS's",
    "TIMED_OUT": "took longer than it may",
    "STOPPED": "was stopped",
}
_HINTS = {
    "FAILED": "read the log",
    "FAULT": "build again; if it happens again, look at AWS's health dashboard",
    "TIMED_OUT": "set codebuild_timeout_minutes higher, or codebuild_compute_type to a larger machine",
    "STOPPED": "somebody stopped it: build again",
}


class RemoteBuilds(Protocol):
    """What of CodeBuild is needed; see :class:`sagemaker_custom.aws.CodeBuild`."""

    def find_project(self, name: str) -> Project | None:
        """Look a project up."""

    def create_project(self, project: NewProject) -> None:
        """Create a project."""

    def start(self, start: BuildStart) -> RemoteBuild | None:
        """Start a build; ``None`` when its token belongs to another request."""

    def find_build(self, build_id: str) -> RemoteBuild:
        """Return a build as it is now."""

    def recent_builds(self, project: str) -> tuple[RemoteBuild, ...]:
        """Return the newest builds of a project."""

    def stop(self, build_id: str) -> None:
        """Stop a build."""

    def log_lines(self, group: str, stream: str, token: str | None) -> LogPiece:
        """Return what a log says after ``token``."""


def console_link(build: RemoteBuild) -> str:
    """Return where a person looks at a build: its page, or where the console of a partition is not known, its ARN."""
    _, partition, _, region, account, _ = build.arn.split(":", 5)
    host = _CONSOLES.get(partition)
    if host is None:
        return build.link or build.arn
    project = quote(build.id.partition(":")[0], safe="")
    page = f"codesuite/codebuild/{account}/projects/{project}/build/{quote(build.id, safe='')}"
    return f"https://{region}.{host}/{page}/?region={region}"


@dataclass(kw_only=True, slots=True)
class Watch:
    """Follows one build."""

    builds: RemoteBuilds
    progress: Progress
    log: BuildLog
    sleep: Callable[[float], None]
    _token: str | None = None
    _phase: str = ""
    _failures: int = 0
    _verification: str = ""
    _start: VerificationError | None = None
    _disk_is_full: bool = False
    _may_read_log: bool = True

    def follow(self, build: RemoteBuild) -> None:
        """Return when the build has succeeded.

        Raises:
            BuildError: It ended otherwise.
            AwsError: How it goes could not be learned for a long time.
        """
        steps = BuildSteps(self.progress.task("building in CodeBuild", unit="steps"))
        while True:
            self._show_phase(build)
            # Asked before the log is read, so that nothing is said after the last look.
            self._read(build, steps)
            if build.is_over:
                break
            self.sleep(_POLL_S)
            build = self._now(build)
        self._drain(build, steps)
        steps.finish()
        if build.status != "SUCCEEDED":
            raise self._failure(build)

    def _now(self, build: RemoteBuild) -> RemoteBuild:
        try:
            found = self.builds.find_build(build.id)
        except (CredentialsError, AccessDeniedError):
            raise
        except AwsError as error:
            self._failures += 1
            if self._failures > _MOST_FAILURES:
                raise
            logger.info("the state of %s could not be learned, it is asked again: %s", build.id, error.message)
            return build
        self._failures = 0
        return found

    def _show_phase(self, build: RemoteBuild) -> None:
        if build.phase and build.phase != self._phase:
            self._phase = build.phase
            self.progress.step(f"CodeBuild: {build.phase.lower().replace('_', ' ')}")

    def _drain(self, build: RemoteBuild, steps: BuildSteps) -> None:
        quiet = 0
        for _ in range(_DRAIN_POLLS):
            if not (build.log_group and self._may_read_log) or quiet >= _QUIET_POLLS:
                return
            self.sleep(_POLL_S / _QUIET_POLLS)
            quiet = 0 if self._read(build, steps) else quiet + 1

    def _read(self, build: RemoteBuild, steps: BuildSteps) -> bool:
        if not (build.log_group and build.log_stream and self._may_read_log):
            return False
        try:
            piece = self.builds.log_lines(build.log_group, build.log_stream, self._token)
        except AccessDeniedError as error:
            self._may_read_log = False
            self.log.line(f"(the log cannot be shown: {error.message}; it is at {console_link(build)})")
            return False
        except CredentialsError:
            raise
        except AwsError as error:
            # The build goes on without its log being read; a throttled read is made up for by the next.
            logger.info("the log of %s could not be read, it is asked again: %s", build.id, error.message)
            return False
        self._token = piece.token
        for line in piece.lines:
            self._take(line, steps)
        return bool(piece.lines)

    def _take(self, line: str, steps: BuildSteps) -> None:
        steps.line(line)
        self.log.line(line)
        if line.startswith(VERIFICATION_MARK):
            self._verification = self.log.clean(line.removeprefix(VERIFICATION_MARK))
        if line.startswith(START_MARK):
            # Steps print what they like, too.
            with suppress(ValueError, TypeError, KeyError, RecursionError):
                found = json.loads(line.removeprefix(START_MARK))
                self._start = script_start.refusal("the built image", found["lacks"], found["of_base"])
        self._disk_is_full = self._disk_is_full or is_disk_full(line)

    def _failure(self, build: RemoteBuild) -> BuildError | DigestMismatchError:
        # CodeBuild repeats what it says of a phase for every phase that it touches.
        said = "; ".join(dict.fromkeys(self.log.clean(context) for context in build.contexts))
        tail = f"; the last lines of the log:\n{self.log.tail}" if self.log.tail else ""
        where = f"the whole log is in {self.log.path} and at {console_link(build)}"
        if self._verification:
            return VerificationError(
                f"the built image does not pass {self._verification}{tail}",
                hint="nothing was pushed; choose other versions of the extras, or report it against the recipe; "
                + where,
                log_path=str(self.log.path),
            )
        if self._start:
            self._start.hint, self._start.log_path = f"{self._start.hint}; {where}", str(self.log.path)
            return self._start
        if self._disk_is_full:
            return DiskFullError(
                f"no space left on the disk of the build {build.id}{tail}",
                hint=f"set codebuild_compute_type to a larger machine; {where}",
                log_path=str(self.log.path),
            )
        hint = wrong_hash(self.log.tail)
        if hint:
            return DigestMismatchError(
                f"a file of the package index has another hash, and the build {build.id} failed{tail}",
                hint=f"{hint}; {where}",
            )
        return BuildError(
            f"the build {build.id} {_ENDINGS.get(build.status, f'ended as {build.status}')}"
            f"{f' ({said})' if said else ''}{tail}",
            hint=f"{_HINTS.get(build.status, 'read the log')}; {where}",
            log_path=str(self.log.path),
        )
