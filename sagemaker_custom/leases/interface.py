"""What every lock promises, whom it is held by, and how that is written down."""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import secrets
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timezone
from typing import Any, Literal, Protocol, TypeAlias

from sagemaker_custom.errors import SageMakerCustomError
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import ImageReference

LARGEST_BYTES = 4096
"""Of a record; what is longer was not written here."""
_LONGEST_FAILURE = 300

State: TypeAlias = Literal["building", "done", "failed"]
_STATES: dict[str, State] = {"building": "building", "done": "done", "failed": "failed"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LockKey:
    """What only one shall make at a time."""

    reference: ImageReference
    """Where it goes: the same image in two regions is made twice."""
    fingerprint: str = ""
    """Of the plan; empty for a base image that is brought from elsewhere."""

    @property
    def name(self) -> str:
        """Fit for a file and for a key of S3."""
        place = hashlib.sha256(str(self.reference).encode()).hexdigest()[:16]
        return f"{self.fingerprint or 'base'}-{place}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Holder:
    """Who has a lock, or had it last."""

    token: str
    """Differs from turn to turn."""
    owner: str
    """``user@host``."""
    pid: int
    since: str
    """By the owner's clock, so for people alone."""
    lease_s: float = 0.0
    """How long it may show no sign of life; 0 where the kernel watches over it."""
    beat: int = 0
    """Counts the signs of life."""
    state: State = "building"
    failure: str = ""
    """Why the image could not be made."""

    def __str__(self) -> str:
        """Return what people are told."""
        return f"{self.owner} (process {self.pid})"

    @property
    def content(self) -> bytes:
        """The record, as :func:`read_holder` reads it."""
        return json.dumps(asdict(self)).encode()

    def ended(self, error: BaseException | None) -> Holder:
        """Return what is left for those who wait, after a turn that an error has ended, or none."""
        if error is None:
            return replace(self, state="done")
        return replace(self, state="failed", failure=_failure(error))


def read_holder(content: bytes) -> Holder | None:
    """Read a record; ``None`` when it is not one, or half of one."""
    try:
        document: dict[str, Any] = json.loads(content if len(content) <= LARGEST_BYTES else b"")
        return Holder(
            token=_clean(document["token"]),
            owner=_clean(document["owner"]),
            pid=int(document["pid"]),
            since=_clean(document["since"]),
            lease_s=float(document["lease_s"]),
            beat=int(document["beat"]),
            state=_STATES[document["state"]],
            failure=_clean(document["failure"]),
        )
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None


def _clean(text: str) -> str:
    """Return what a terminal may show: records are others' to write."""
    return "".join(filter(str.isprintable, text))[:_LONGEST_FAILURE]


def _failure(error: BaseException) -> str:
    if isinstance(error, SageMakerCustomError):
        return error.message.partition("\n")[0][:_LONGEST_FAILURE]
    return "interrupted" if isinstance(error, KeyboardInterrupt) else type(error).__name__


def this_process() -> Holder:
    """Return a new holder: this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number without a name
        user = str(os.getuid())
    return Holder(
        token=secrets.token_hex(8),
        owner=f"{user}@{socket.gethostname()}",
        pid=os.getpid(),
        since=f"{datetime.now(timezone.utc):%Y-%m-%d %H:%M:%S} UTC",
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class OwnTurn:
    """The caller shall make it."""

    predecessor: Holder | None = None
    """Who was waited for, and left nothing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NothingToDo:
    """It is there: another one has made it in the meantime."""


Turn: TypeAlias = OwnTurn | NothingToDo


class BuildLock(Protocol):
    """Lets one caller at a time make an image. It saves work; what is right, the registry alone decides."""

    def hold(self, key: LockKey, *, is_there: Callable[[], bool], progress: Progress) -> AbstractContextManager[Turn]:
        """Wait until nobody else makes the image, and keep others waiting until the context ends.

        Where there can be no lock, that is told and the turn is the caller's.

        Args:
            key: What is to be made.
            is_there: Asks the place where it goes, again, once it is the caller's turn; what it raises passes through.
            progress: Told whom the caller waits for.
        """
