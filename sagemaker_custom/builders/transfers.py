"""The engine's stream of pull or push events → one bar of bytes over all layers, and the error in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from sagemaker_custom.progress import Task

_MOVING = ("Downloading", "Pushing")
_MOVED = ("Download complete", "Pull complete", "Pushed")


class _Layers:
    """Bytes done and wanted, by layer."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._done: dict[str, int] = {}
        self._total: dict[str, int] = {}

    def take(self, event: Mapping[str, Any]) -> None:
        layer, status = str(event.get("id", "")), str(event.get("status", ""))
        detail = event.get("progressDetail") or {}
        if status in _MOVING and detail.get("total"):
            self._grow(layer, int(detail["total"]))
            self._reach(layer, int(detail.get("current", 0)))
        elif status in _MOVED and layer in self._total:
            self._reach(layer, self._total[layer])

    def _grow(self, layer: str, total: int) -> None:
        if self._total.get(layer) != total:
            self._total[layer] = total
            self._task.set_total(sum(self._total.values()))

    def _reach(self, layer: str, current: int) -> None:
        # A push counts headers of the archive too, so that more than all arrives.
        done = min(current, self._total[layer])
        if done != self._done.get(layer, 0):
            self._task.advance(done - self._done.get(layer, 0))
            self._done[layer] = done


def follow(events: Iterable[Mapping[str, Any]], task: Task) -> str | None:
    """Draw the events of a pull or push.

    Returns:
        The engine's error message; ``None`` when all went well.
    """
    layers = _Layers(task)
    failure: str | None = None
    # Read to the end also after an error, so that the connection can be used again.
    for event in events:
        if "error" in event:
            failure = str(event["error"])
        else:
            layers.take(event)
    task.finish()
    return failure
