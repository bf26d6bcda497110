"""What users give as ``lock=`` → one lock for each scope that it says something about."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from sagemaker_custom.errors import UsageError
from sagemaker_custom.image_uris import check_scope
from sagemaker_custom.locks import read_lock_file
from sagemaker_custom.wheels.lock import Lock

OneLock: TypeAlias = Lock | str | os.PathLike[str]
Locks: TypeAlias = OneLock | Mapping[str, OneLock] | None
"""A lock or its file, or one for each scope: training and inference images have different bases."""


def read_locks(locks: Locks, image_scope: str) -> Mapping[str, Lock]:
    """Read the ``lock`` argument.

    Args:
        locks: As the user gave it.
        image_scope: What a single one is for.

    Raises:
        UsageError: A file cannot be read, or a scope does not exist.
    """
    if locks is None:
        return {}
    named = locks if isinstance(locks, Mapping) else {image_scope: locks}
    return {check_scope(scope): _read(lock) for scope, lock in named.items()}


def _read(lock: OneLock) -> Lock:
    if isinstance(lock, Lock):
        return lock
    if isinstance(lock, str | os.PathLike):
        return read_lock_file(Path(lock))
    raise UsageError(f"lock={lock!r} is not a lock", hint="give the path of a file that 'sagemaker-custom lock' wrote")
