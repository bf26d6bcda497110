"""Images that are made in no time, or when a test says so; and a board that remembers what it was told."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from threading import Event, Lock

from fakes.example_plan import example_plan

from sagemaker_custom.prebuild import Wanted
from sagemaker_custom.reference import ImageReference

PLAN = example_plan()
HOST = "123456789012.dkr.ecr.us-east-1.amazonaws.com"


def wanted(name):
    return Wanted(name=name, spec=PLAN.spec, region="us-east-1")


def reference(name):
    return ImageReference.parse(f"{HOST}/images:{name}")


class FakeMaker:
    """Makes images by name; implements :class:`sagemaker_custom.prebuild.ImageMaker`.

    Args:
        bases: Name of an image → that of the one it is built on; default: one of AWS.
        present: Are there.
        errors: Name → what making it, or for ``plan:NAME`` planning it, ends with.
    """

    def __init__(self, *, bases=None, present=(), errors=None):
        self.bases = bases or {}
        self.present = present
        self.errors = errors or {}
        self.made = []
        self.running = 0
        self.most = 0
        self.lock = Lock()
        self.making = lambda name, attendant: None
        self.warnings = ()

    def plan(self, wanted):
        self.fail(f"plan:{wanted.name}")
        base = self.bases.get(wanted.name)
        return replace(
            PLAN,
            reference=reference(wanted.name),
            base_reference=reference(base) if base else PLAN.base_reference,
            warnings=self.warnings,
        )

    def find(self, plan, attendant):
        attendant.step(f"image {plan.reference.tag} is looked for")
        return plan.reference if plan.reference.tag in self.present else None

    def make(self, plan, attendant):
        name = plan.reference.tag
        with self.lock:
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            attendant.step(f"making {name}")
            self.making(name, attendant)
            self.fail(name)
            self.made.append(name)
        finally:
            with self.lock:
                self.running -= 1
        return plan.reference

    def fail(self, what):
        if what in self.errors:
            raise self.errors[what]


class Meeting:
    """Lets nobody go on before so many are there."""

    def __init__(self, many):
        self.many = many
        self.there = 0
        self.lock = Lock()
        self.full = Event()

    def __call__(self, name, attendant):
        with self.lock:
            self.there += 1
            if self.there == self.many:
                self.full.set()
        assert self.full.wait(30), f"{self.there} of {self.many} are here"


class FakeBoard:
    """Remembers what it is told."""

    def __init__(self):
        self.states = []
        self.lines = []
        self.said = []
        self.rows = ()
        self.pauses = 0

    @contextmanager
    def open(self, rows):
        self.rows = rows
        yield

    def changed(self, row):
        self.states.append((row.name.split()[0], row.state))

    def step(self, row, text):
        self.lines.append(text)

    def log(self, row, line):
        self.lines.append(line)

    def say(self, text):
        self.said.append(text)

    @contextmanager
    def paused(self):
        self.pauses += 1
        yield
