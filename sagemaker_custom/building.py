"""Settings and the clients of one caller → the builders of images, and what gives them their turn, put together."""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from sagemaker_custom._version import __version__
from sagemaker_custom.builders import ImageBuilder, ImageStore
from sagemaker_custom.builders.auto import AutoBuilder
from sagemaker_custom.builders.choice import builder_choice, check_builder, has_codebuild, wanted_builder
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.builders.index_access import IndexAccess, KeyringCommand, NoKeyring, WithIndexAccess, opened
from sagemaker_custom.builders.lock_fit import WithLock
from sagemaker_custom.errors import ScanError
from sagemaker_custom.leases import BuildLock, LockKey, MachineLock, SharedLease
from sagemaker_custom.plan import BASE_DIGEST_LABEL, BuildPlan, PipIndexes
from sagemaker_custom.progress import Progress, confirm
from sagemaker_custom.reference import Digest, ImageReference, RegistryCredentials
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.settings import Settings

if TYPE_CHECKING:
    from sagemaker_custom.aws import Aws
    from sagemaker_custom.builders.append import AppendBuilder, AppendParts
    from sagemaker_custom.builders.codebuild import CodeBuildBuilder
    from sagemaker_custom.builders.codebuild_watch import RemoteBuilds
    from sagemaker_custom.builders.docker_engine import DockerEngine
    from sagemaker_custom.evidence import Evidence
    from sagemaker_custom.inventories import Inventories
    from sagemaker_custom.inventories.layer_scan import LayerFacts
    from sagemaker_custom.leases.shared import VersionedStore
    from sagemaker_custom.mirror import Mirrored, Watch
    from sagemaker_custom.registry import RegistryClient
    from sagemaker_custom.repositories import Repositories
    from sagemaker_custom.scanning import ScanGate
    from sagemaker_custom.wheels.lock import Lock


class Copy(Protocol):
    """Brings images from one registry to another."""

    def __call__(
        self,
        source: ImageReference,
        target: ImageReference,
        *,
        platform: str,
        progress: Progress,
        watch: Watch | None = None,
    ) -> Mirrored:
        """Bring one, and return what was done."""


@dataclass(frozen=True, kw_only=True)
class Workbench:
    """Makes the builder for a piece of work; each of its parts is made when it is first needed."""

    settings: Settings
    progress: Progress
    engine: Callable[[], DockerEngine]
    aws: Callable[[], Aws]
    lease_objects: Callable[[], VersionedStore]
    """Where leases are kept."""
    registry: Callable[[], RegistryClient]
    credentials: Callable[[str], RegistryCredentials | None]
    repositories: Repositories
    copy: Copy
    """Brings an image from one registry to another."""
    sleep: Callable[[float], None] = time.sleep
    """Waits for seconds."""
    confirm: Callable[[str], bool | None] = confirm
    """Asks a person a question on a terminal; ``None`` where nobody can be asked."""
    builds: Callable[[str], RemoteBuilds] | None = None
    """CodeBuild in a region, where it is not asked for each build by itself."""
    passed: dict[Digest, LayerFacts] = field(default_factory=dict)
    """Layers of bases that were brought; shared where several images are made at a time."""

    def builder(self, plan: BuildPlan, builder: str, lock: Lock | None = None) -> ImageBuilder:
        """Return the builder for ``plan``, which stores what is in the image beside it; see :meth:`_engine_for`."""
        from sagemaker_custom.evidence import RecordingBuilder

        made = self._engine_for(plan, builder, lock)
        if plan.is_local:
            return made
        return RecordingBuilder(made, self.evidence, clock=_now, progress=self.progress)

    @cached_property
    def evidence(self) -> Evidence:
        """What is known of images."""
        from sagemaker_custom.evidence import Evidence

        return Evidence(self.registry(), lambda: self.inventories)

    def _engine_for(self, plan: BuildPlan, builder: str, lock: Lock | None = None) -> ImageBuilder:
        """Return what builds ``plan``.

        Args:
            plan: What it shall build.
            builder: As the user asked.
            lock: What to install.

        Raises:
            UsageError: There is no such builder.
        """
        if lock is not None:
            return self._locked(plan, builder, lock)
        choice = builder_choice(plan, builder, self.settings)
        self.progress.log(f"builder {choice.name}: {choice.reason}")
        wanted = wanted_builder(builder, self.settings, plan)
        if wanted == "append":
            return self._append(plan)
        if wanted == "docker":
            return self._docker()
        if wanted == "codebuild":
            return self._codebuild()
        return AutoBuilder(
            lambda: self._append(plan),
            self._docker,
            self._codebuild if has_codebuild(plan, self.settings) else None,
            engine_version=lambda: self.engine().version(),
            progress=self.progress,
        )

    def _locked(self, plan: BuildPlan, builder: str, lock: Lock) -> ImageBuilder:
        if check_builder(builder) == "docker":
            return WithLock(self._docker(), lock)
        if builder == "codebuild":
            return WithLock(self._codebuild(), lock)
        self.progress.log("builder append: a lock names every wheel")
        return self._append(plan, lock)

    def turns(self, *, is_local: bool) -> tuple[BuildLock, ...]:
        """Return what lets one caller at a time make an image, for local mode or for a registry."""
        settings = self.settings
        machine = self._machine_lock
        if is_local or settings.lease_bucket is None:
            return (machine,)
        bucket, _, prefix = settings.lease_bucket.removeprefix("s3://").strip("/").partition("/")
        prefix = f"{prefix}/" if prefix else ""
        lease = SharedLease(
            self.lease_objects(), bucket=bucket, prefix=prefix, lease_s=settings.lease_s, sleep=self.sleep
        )
        return (machine, lease)

    def check_scan(self, plan: BuildPlan, used: ImageReference, store: ImageStore) -> None:
        """Let the image of a plan be used, or not, as the setting ``scan`` says; local mode knows no scans.

        Raises:
            ScanError: It may not be used.
        """
        if plan.is_local or self.settings.scan == "off":
            return
        if not (plan.needs_build or plan.mirror_of or plan.own):
            self.scan_gate().check_image_of_aws(used)
            return
        found = store.find(used)
        if found is None:
            raise ScanError(f"the image {used} was deleted meanwhile", hint="run it again")
        base = found.labels.get(BASE_DIGEST_LABEL)
        self.scan_gate().check(used.with_digest(found.digest), base=Digest(base) if base else None)

    def scan_gate(self) -> ScanGate:
        """Return what asks for scans; where the setting is ``off``, it reports."""
        from sagemaker_custom.aws import Scans
        from sagemaker_custom.scanning import ScanGate, read_policy

        settings = self.settings
        return ScanGate(
            read_policy(settings.scan, ignored=settings.scan_ignore, timeout_s=settings.scan_timeout_s),
            source=lambda account, region: Scans(self.aws().connection, region=region, account=account),
            sleep=self.sleep,
            clock=time.monotonic,
            progress=self.progress,
        )

    def preview(self, plan: BuildPlan) -> Lock | None:
        """Say which wheels would be added; see :meth:`AppendBuilder.preview`."""
        return self._append_builder(plan).preview(opened(plan, self._index_access))

    @cached_property
    def inventories(self) -> Inventories:
        """What is known of bases."""
        from sagemaker_custom.inventories import Inventories

        return Inventories(
            self.registry(), Path(self.settings.cache_dir), self.progress, passed=self.passed, turn=self._reading
        )

    @property
    def _machine_lock(self) -> MachineLock:
        return MachineLock(Path(self.settings.cache_dir, "locks"), sleep=self.sleep)

    def _reading(self, base: ImageReference, is_known: Callable[[], bool]) -> AbstractContextManager[object]:
        # Images that are built at the same time read the layers of the base that they share once.
        key = LockKey(reference=base, fingerprint="inventory")
        return self._machine_lock.hold(key, is_there=is_known, progress=self.progress)

    @property
    def _endpoints(self) -> Endpoints:
        return Endpoints(endpoint_for=self.settings.endpoint_for, credentials=self.credentials)

    @property
    def _log_dir(self) -> Path:
        return Path(self.settings.cache_dir, "logs")

    @cached_property
    def _index_access(self) -> IndexAccess:
        from sagemaker_custom.aws import CodeArtifact

        has_keyring = self.settings.pip_keyring_provider == "subprocess"
        return IndexAccess(
            codeartifact=lambda repository: CodeArtifact(self.aws().connection).open(repository),
            keyring=KeyringCommand(os.environ) if has_keyring else NoKeyring(),
        )

    def _docker(self) -> ImageBuilder:
        from sagemaker_custom.builders.buildkit import choose_route, docker_commands
        from sagemaker_custom.builders.commands import SubprocessRunner
        from sagemaker_custom.builders.docker import DockerBuilder

        environment = dict(os.environ)
        builder = DockerBuilder(
            self.engine(),
            registry=self.registry(),
            endpoints=self._endpoints,
            choose_route=lambda: choose_route(
                self.engine(),
                programs=docker_commands(environment.get("PATH", "")),
                runner=SubprocessRunner(),
                environment=environment,
            ),
            ensure_repository=self.repositories.ensure,
            remove_tag=self.repositories.remove_tag,
            ca_bundle=self.settings.ca_bundle,
            accept_stand_ins=self.settings.accept_stand_ins,
            log_dir=self._log_dir,
            version=__version__,
            token=_token,
            clock=_now,
            progress=self.progress,
        )
        return WithIndexAccess(builder, self._index_access)

    def _codebuild(self) -> CodeBuildBuilder:
        from sagemaker_custom.aws import CodeBuild
        from sagemaker_custom.builders.codebuild import CodeBuildBuilder

        aws = self.aws()
        return CodeBuildBuilder(
            self.settings,
            builds=self.builds or (lambda region: CodeBuild(aws.connection, region=region)),
            contexts=aws,
            registry=self.registry(),
            endpoints=self._endpoints,
            ensure_repository=self.repositories.ensure,
            remove_tag=self.repositories.remove_tag,
            log_dir=self._log_dir,
            version=__version__,
            token=_token,
            clock=_now,
            sleep=self.sleep,
            confirm=self.confirm,
            progress=self.progress,
        )

    def _append(self, plan: BuildPlan, lock: Lock | None = None) -> ImageBuilder:
        return WithIndexAccess(self._append_builder(plan, lock), self._index_access)

    def _append_builder(self, plan: BuildPlan, lock: Lock | None = None) -> AppendBuilder:
        from sagemaker_custom.builders.append import AppendBuilder

        # Logins belong to hosts, whatever step asks them for what.
        parts = self._append_parts(opened(plan, self._index_access).pip_indexes)
        return AppendBuilder(parts, version=__version__, lock=lock, progress=self.progress)

    def _append_parts(self, indexes: PipIndexes) -> AppendParts:
        from sagemaker_custom.builders.append import AppendParts
        from sagemaker_custom.builders.append_bases import BaseLibrary
        from sagemaker_custom.builders.append_check import EngineCheck
        from sagemaker_custom.builders.blob_places import BlobPlaces
        from sagemaker_custom.wheels.download import HttpDownload
        from sagemaker_custom.wheels.layers import LayerStore
        from sagemaker_custom.wheels.pip_configuration import configuration_files, read_pip_configuration
        from sagemaker_custom.wheels.resolver import DeltaResolver
        from sagemaker_custom.wheels.sources import Sources
        from sagemaker_custom.wheels.static_check import check_statically
        from sagemaker_custom.wheels.store import WheelStore
        from sagemaker_custom.wheels.uv import SubprocessUv

        cache, ca_bundle, environment = Path(self.settings.cache_dir), self.settings.ca_bundle, dict(os.environ)
        pip = read_pip_configuration(environment, configuration_files(environment))
        sources = Sources.of(PipStep(packages=()), indexes, pip)
        return AppendParts(
            registry=self.registry(),
            bases=BaseLibrary(self.registry(), ensure_repository=self.repositories.ensure, mirror=self._mirror),
            inventories=self.inventories,
            resolver=DeltaResolver(
                SubprocessUv(), folder=cache / "bases", environment=environment, pip=pip, ca_bundle=ca_bundle
            ),
            wheels=WheelStore(cache / "wheels", download=HttpDownload(sources, ca_bundle=ca_bundle or pip.cert)),
            layers=LayerStore(cache / "layers"),
            places=BlobPlaces(cache / "places"),
            check=EngineCheck(
                self.engine, endpoints=self._endpoints, wanted=self.settings.verify, progress=self.progress
            ),
            check_statically=check_statically,
        )

    def _mirror(self, source: ImageReference, target: ImageReference, platform: str) -> ImageReference:
        def is_there() -> bool:
            return self.registry().find(target) is not None

        with ExitStack() as held:
            # Images that differ may want the same base, gigabytes of it; who waited copies nothing.
            for turn in self.turns(is_local=False):
                held.enter_context(turn.hold(LockKey(reference=target), is_there=is_there, progress=self.progress))
            return self.copy(
                source, target, platform=platform, progress=self.progress, watch=self.inventories.watch
            ).reference


def _token() -> str:
    return secrets.token_hex(4)


def _now() -> datetime:
    return datetime.now(timezone.utc)
