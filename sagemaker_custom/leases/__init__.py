"""An image that somebody is about to build → the turn to build it, or the news that another one has done it."""

from sagemaker_custom.leases.interface import BuildLock, Holder, LockKey, NothingToDo, OwnTurn, Turn
from sagemaker_custom.leases.machine import MachineLock
from sagemaker_custom.leases.shared import SharedLease

__all__ = ["BuildLock", "Holder", "LockKey", "MachineLock", "NothingToDo", "OwnTurn", "SharedLease", "Turn"]
