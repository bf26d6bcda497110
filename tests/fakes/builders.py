"""In-memory stand-ins for a builder, a place of images, and a display."""

from __future__ import annotations

from sagemaker_custom.builders import FoundImage
from sagemaker_custom.plan import FINGERPRINT_LABEL
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import digest_of


class FakeStore:
    """An ImageStore that remembers who was asked for; ``failure`` is raised instead of an answer."""

    def __init__(self):
        self.images = {}
        self.asked = []
        self.failure = None

    def put(self, plan, fingerprint=...):
        labels = dict(plan.labels)
        if fingerprint is not ...:
            labels[FINGERPRINT_LABEL] = fingerprint
        labels = {name: value for name, value in labels.items() if value is not None}
        self.images[plan.reference] = FoundImage(digest=digest_of(repr(labels).encode()), labels=labels)

    def find(self, reference):
        self.asked.append(reference)
        if self.failure:
            raise self.failure
        return self.images.get(reference)


class RecordingBuilder:
    """An ImageBuilder that puts the image in its place without making one."""

    def __init__(self, store):
        self.built = []
        self._store = store

    def build(self, plan, *, fresh=False):
        self.built.append((plan, fresh))
        self._store.put(plan)
        return plan.reference


class RecordingProgress(NoProgress):
    """Remembers steps and log lines."""

    def __init__(self):
        self.steps = []
        self.lines = []

    def step(self, text):
        self.steps.append(text)

    def log(self, line):
        self.lines.append(line)
