"""The image flow with all that is ours in it: the flow, the builder and the registry client, on an engine in memory."""

from __future__ import annotations

import itertools
from datetime import datetime, timezone

from fakes.builders import RecordingProgress
from fakes.example_plan import BASE
from fakes.fake_engine import FakeEngine, FakeRoute
from fakes.fake_registry import FakeRegistry

from sagemaker_custom.builders.docker import DockerBuilder
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.leases import MachineLock
from sagemaker_custom.provision import ensure_image

REPOSITORY = "sagemaker-custom-pytorch"


class WholeFlow:
    """One machine and one registry."""

    def __init__(self, folder, **registry):
        self.folder = folder
        self.registry = FakeRegistry(**registry)
        self.registry.put_image(BASE.repository, BASE.tag)
        self.engine = FakeEngine(self.registry)
        self.route = FakeRoute(self.engine)
        self.progress = RecordingProgress()
        self.client = self.registry.client()
        self._tokens = itertools.count()

    def ensure(self, plan, policy="if-missing"):
        return ensure_image(
            plan,
            policy=policy,
            store=RegistryStore(self.client),
            builder=self._builder,
            mirror=lambda plan: None,
            revision=lambda: "20261121T101500Z",
            progress=self.progress,
            turns=(MachineLock(self.folder / "locks"),),
        )

    def _builder(self):
        return DockerBuilder(
            self.engine,
            registry=self.client,
            endpoints=Endpoints(endpoint_for=lambda host: f"https://{host}", credentials=lambda host: None),
            choose_route=lambda: self.route,
            ensure_repository=lambda reference: None,
            remove_tag=self.client.remove_tag,
            log_dir=self.folder / "logs",
            version="1.2.3",
            token=lambda: f"{next(self._tokens):08x}",
            clock=lambda: datetime(2026, 11, 21, 10, 15, tzinfo=timezone.utc),
        )

    @property
    def builds(self):
        return self.engine.effects.count("build")

    @property
    def tags(self):
        return sorted(self.registry.tags(REPOSITORY))
