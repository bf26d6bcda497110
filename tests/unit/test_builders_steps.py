"""The bar of a build's steps, by both builders' output."""

from __future__ import annotations

import pytest

from sagemaker_custom.builders.steps import BuildSteps


class CountingTask:
    """A bar that remembers."""

    def __init__(self):
        self.total = None
        self.finished = False
        self.done = 0

    def set_total(self, total):
        self.total = total

    def advance(self, amount):
        self.done += amount

    def finish(self):
        self.finished = True


@pytest.mark.parametrize(
    "lines",
    [
        [
            "#1 [internal] load build definition",
            "#4 [1/3] FROM base",
            "#5 [2/3] RUN apt-get",
            "#5 1.2 [3/9] not a step",
        ],
        ["#4 [stage-0 1/3] FROM base", "#5 [stage-0 2/3] RUN apt-get"],
        ["Step 1/3 : FROM base", " ---> Running in 0a1b", "Step 2/3 : RUN apt-get"],
    ],
)
def test_running_step_is_not_done_yet(lines):
    task = CountingTask()
    steps = BuildSteps(task)
    for line in lines:
        steps.line(line)
    assert (task.done, task.total) == (1, 3)
    steps.finish()
    assert task.done == 3
    assert task.finished


def test_lines_of_steps_that_run_side_by_side_never_go_back():
    task = CountingTask()
    steps = BuildSteps(task)
    for line in ("#5 [3/3] RUN pip", "#4 [2/3] RUN apt-get", "#5 [3/3] RUN pip"):
        steps.line(line)
    assert task.done == 2
