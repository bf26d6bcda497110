"""Builds that several threads ask of CodeBuild at about the same time → one batch, and each thread gets its own build.

All else is as with builds that are started one by one: each is followed, named, or stopped by who asked for it.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from threading import RLock
from typing import Protocol

from sagemaker_custom.aws.codebuild import BuildStart, LogPiece, NewProject, Project, RemoteBuild
from sagemaker_custom.aws.codebuild_batch import MOST_BUILDS, BatchStart, RemoteBatch
from sagemaker_custom.builders.codebuild_watch import RemoteBuilds
from sagemaker_custom.errors import BuildError, SageMakerCustomError, SettingsError
from sagemaker_custom.spec import canonical_json

logger = logging.getLogger(__name__)

QUIET_S = 10.0
"""A batch is started when nobody has asked for another build for so long: contexts are packed and sent by then."""
_POLL_S = 1.0
# All threads together ask CodeBuild no more often.
_LOOK_S = 3.0
_MOST_TOKENS = 20


class RemoteBatches(Protocol):
    """What of CodeBuild's batches is needed; see :class:`sagemaker_custom.aws.CodeBuildBatches`."""

    def start(self, batch: BatchStart) -> RemoteBatch | None:
        """Start a batch; ``None`` when its token belongs to another request."""

    def find(self, batch_id: str) -> RemoteBatch:
        """Return a batch as it is now."""

    def find_builds(self, ids: Sequence[str]) -> tuple[RemoteBuild, ...]:
        """Return builds as they are now."""

    def stop(self, batch_id: str) -> None:
        """Stop a batch."""


@dataclass(kw_only=True, slots=True)
class _Batch:
    """Builds of one kind that are started together, from the first one that is asked for."""

    batches: RemoteBatches
    last: float
    """When somebody asked last."""
    starts: list[BuildStart] = field(default_factory=list)
    sent: BatchStart | None = None
    now: RemoteBatch | None = None
    builds: dict[str, RemoteBuild] = field(default_factory=dict)
    looked: float = 0.0
    looked_at_builds: float = float("-inf")
    is_stopped: bool = False
    error: SageMakerCustomError | None = None


class BatchGate:
    """Where builds wait for each other; shared by the threads of a run.

    Args:
        builds: CodeBuild in a region, for all but what batches do.
        batches: Its batches.
        quiet_s: See :data:`QUIET_S`.
        monotonic: Seconds that never go back.
    """

    def __init__(
        self,
        *,
        builds: Callable[[str], RemoteBuilds],
        batches: Callable[[str], RemoteBatches],
        quiet_s: float = QUIET_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._builds = builds
        self._batches = batches
        self._quiet_s = quiet_s
        self._monotonic = monotonic
        self._lock = RLock()
        self._open: dict[tuple[str, BuildStart], _Batch] = {}

    def builds(
        self, *, sleep: Callable[[float], None], confirm: Callable[[str], bool | None]
    ) -> Callable[[str], RemoteBuilds]:
        """Return CodeBuild in a region for one thread, whose builds are started in batches.

        Args:
            sleep: Waits for seconds.
            confirm: Asks a person a question on a terminal; ``None`` where nobody can be asked.
        """
        return lambda region: _BatchedBuilds(self, self._builds(region), region, sleep, confirm)

    def enter(self, region: str, start: BuildStart) -> _Batch:
        """Put a build into the batch of its kind that has not been started yet."""
        key = (region, BatchStart.kind(start))
        with self._lock:
            batch = self._open.get(key)
            if batch is None:
                batch = self._open[key] = _Batch(batches=self._batches(region), last=self._monotonic())
            batch.starts.append(start)
            batch.last = self._monotonic()
            if len(batch.starts) >= MOST_BUILDS:
                self._send(key, batch)
            return batch

    def leave(self, batch: _Batch, start: BuildStart) -> None:
        """Take a build out of a batch that has not been started."""
        with self._lock:
            if batch.sent is None and start in batch.starts:
                batch.starts.remove(start)

    def build_of(self, batch: _Batch, start: BuildStart) -> str | None:
        """Return the id of a build, once it has one.

        Raises:
            BuildError: The batch ended before the build was begun.
            AwsError: The batch could not be started.
        """
        with self._lock:
            if batch.sent is None and batch.error is None and self._monotonic() - batch.last >= self._quiet_s:
                key = next(key for key, one in self._open.items() if one is batch)
                self._send(key, batch)
            if batch.error:
                raise batch.error
            if batch.sent is None or batch.now is None:
                return None
            identifier = next(name for name, one in batch.sent.builds if one == start)
            if identifier not in dict(batch.now.builds):
                self._look(batch)
            build = dict(batch.now.builds).get(identifier)
            if build is None and batch.now.is_over:
                said = f" ({'; '.join(dict.fromkeys(batch.now.contexts))})" if batch.now.contexts else ""
                raise BuildError(
                    f"the batch {batch.now.id} ended as {batch.now.status} before this image was begun{said}",
                    hint="look at the batch in the console of CodeBuild; without --batch, each build is started alone",
                )
            return build

    def find_build(self, batch: _Batch, build_id: str) -> RemoteBuild | None:
        """Return a build of a batch, as all of them were looked at a moment ago."""
        with self._lock:
            if batch.now and self._monotonic() - batch.looked_at_builds >= _LOOK_S:
                ids = [build for _, build in batch.now.builds]
                batch.builds = {build.id: build for build in batch.batches.find_builds(ids)}
                batch.looked_at_builds = self._monotonic()
            return batch.builds.get(build_id)

    def stop(self, batch: _Batch) -> None:
        """Stop a batch, once."""
        with self._lock:
            if batch.now and not batch.is_stopped:
                batch.is_stopped = True
                batch.batches.stop(batch.now.id)

    def _look(self, batch: _Batch) -> None:
        if batch.now and self._monotonic() - batch.looked >= _LOOK_S:
            batch.now = batch.batches.find(batch.now.id)
            batch.looked = self._monotonic()

    def _send(self, key: tuple[str, BuildStart], batch: _Batch) -> None:
        del self._open[key]
        # Whoever asks for the same images asks for the same batch.
        starts = sorted(batch.starts, key=lambda start: start.token)
        token = _digest(canonical_json({"builds": [start.document for start in starts]}))
        try:
            for _ in range(_MOST_TOKENS):
                sent = BatchStart.of(starts, token)
                now = batch.batches.start(sent)
                if now is not None and not now.is_over:
                    batch.sent, batch.now, batch.looked = sent, now, self._monotonic()
                    return
                token = _digest(f"{token} {now.id if now else ''}")
            raise BuildError(
                f"CodeBuild starts no new batch: {_MOST_TOKENS} have ended in the last minutes",
                hint="wait five minutes, and look at the last one",
            )
        except SageMakerCustomError as error:
            batch.error = error


class _BatchedBuilds:
    """CodeBuild for one thread; see :class:`RemoteBuilds` for its methods."""

    def __init__(
        self,
        gate: BatchGate,
        builds: RemoteBuilds,
        region: str,
        sleep: Callable[[float], None],
        confirm: Callable[[str], bool | None],
    ) -> None:
        self._gate = gate
        self._builds = builds
        self._region = region
        self._sleep = sleep
        self._confirm = confirm
        self._batch: _Batch | None = None

    def find_project(self, name: str) -> Project | None:
        project = self._builds.find_project(name)
        if project is None or project.batch_role is None:
            raise SettingsError(
                f"there is no CodeBuild project {name!r} in {self._region}"
                if project is None
                else f"the CodeBuild project {name!r} in {self._region} allows no batches",
                hint="give it a buildBatchConfig with the service role of batches ('sagemaker-custom iam "
                "codebuild-batch-service' prints its policy), or leave --batch out: then builds are started one by one",
            )
        return project

    def create_project(self, project: NewProject) -> None:
        self._builds.create_project(project)

    def start(self, start: BuildStart) -> RemoteBuild | None:
        batch = self._batch = self._gate.enter(self._region, start)
        try:
            while True:
                build_id = self._gate.build_of(batch, start)
                if build_id is not None:
                    return self.find_build(build_id)
                self._sleep(_POLL_S)
        except KeyboardInterrupt:
            self._gate.leave(batch, start)
            if batch.sent and self._confirm(f"Stop the batch {batch.now.id if batch.now else ''}?"):
                self._stop(batch)
            raise

    def find_build(self, build_id: str) -> RemoteBuild:
        found = self._gate.find_build(self._batch, build_id) if self._batch else None
        return found or self._builds.find_build(build_id)

    def recent_builds(self, project: str) -> tuple[RemoteBuild, ...]:
        return self._builds.recent_builds(project)

    def stop(self, build_id: str) -> None:
        if self._batch:
            self._stop(self._batch)
        else:
            self._builds.stop(build_id)

    def log_lines(self, group: str, stream: str, token: str | None) -> LogPiece:
        return self._builds.log_lines(group, stream, token)

    def _stop(self, batch: _Batch) -> None:
        try:
            self._gate.stop(batch)
        except SageMakerCustomError as error:
            logger.warning("the batch could not be stopped: %s", error.message)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
