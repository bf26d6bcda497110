"""Lines of a build's output → a bar that shows which of its steps is running."""

from __future__ import annotations

import re

from sagemaker_custom.progress import Task

# BuildKit: "#5 [2/3] RUN …" or "#5 [stage-0 2/3] RUN …"; the engine's own builder: "Step 2/3 : RUN …".
_STEP = re.compile(r"(?:#\d+ \[(?:[^\]]*\s)?|Step )(\d+)/(\d+)(?:\] | : )")


class BuildSteps:
    """Watches the output of one build.

    Args:
        task: Bar of steps.
    """

    def __init__(self, task: Task) -> None:
        self._task = task
        self._done = 0
        self._total = 0

    def line(self, text: str) -> None:
        """Take one line as the tool wrote it."""
        match = _STEP.match(text)
        if not match:
            return
        number, total = int(match[1]), int(match[2])
        if total != self._total:
            self._total = total
            self._task.set_total(total)
        self._advance_to(number - 1)

    def finish(self) -> None:
        """Say that the build has succeeded, steps from the cache included."""
        self._advance_to(self._total)
        self._task.finish()

    def _advance_to(self, done: int) -> None:
        if done > self._done:
            self._task.advance(done - self._done)
            self._done = done
