"""BuildPlan → an image made by AWS CodeBuild, for machines without Docker: built, verified, and only then named."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from sagemaker_custom.aws.codebuild import (
    BuildStart,
    EnvironmentVariable,
    Project,
    RemoteBuild,
)
from sagemaker_custom.aws.services import StoredObject
from sagemaker_custom.builders import codebuild_context as contexts
from sagemaker_custom.builders import codebuild_project, failures
from sagemaker_custom.builders.codebuild_context import ContextOptions, RemoteBase
from sagemaker_custom.builders.codebuild_job import NETRC_VARIABLE
from sagemaker_custom.builders.codebuild_watch import RemoteBuilds, Watch, console_link
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.builders.log import BuildLog
from sagemaker_custom.builders.promotion import promote
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.errors import (
    BuildError,
    RegistryAccessDeniedError,
    RegistryError,
    SageMakerCustomError,
    TagConflictError,
)
from sagemaker_custom.plan import FINGERPRINT_LABEL, BuildPlan
from sagemaker_custom.progress import NoProgress, Progress, Task
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.registry import RegistryClient
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import canonical_json

logger = logging.getLogger(__name__)

CONTEXT_PREFIX = "sagemaker-custom/contexts/"
# Each is a build that ended within five minutes and that its token stands for still.
_MOST_TOKENS = 20


class ContextStore(Protocol):
    """Where contexts go; see :class:`sagemaker_custom.aws.Aws`."""

    def account_id(self) -> str:
        """Return the caller's account."""

    def caller_arn(self) -> str:
        """Return the caller."""

    def exists(self, bucket: str, key: str, *, expected_owner: str | None) -> StoredObject | None:
        """Look whether an object is there."""

    def put_file(
        self,
        bucket: str,
        key: str,
        path: Path,
        *,
        kms_key: str | None,
        encrypt: bool,
        expected_owner: str | None,
        task: Task,
    ) -> None:
        """Upload a file."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where one build runs."""

    region: str
    builds: RemoteBuilds
    project: Project
    role: str | None
    """ARN of the role that the settings name."""


class CodeBuildBuilder:
    """Builds with AWS CodeBuild.

    Args:
        settings: All that begin with ``codebuild_``.
        builds: CodeBuild in a region.
        contexts: Where contexts go.
        registry: Where extended images go, and where bases are looked up.
        endpoints: How the build reaches registries.
        ensure_repository: Creates the repository of a reference unless it is there.
        remove_tag: Removes a staging tag where the registry can.
        log_dir: Where build logs are kept, the newest of them.
        version: Of this package, for the image's label.
        token: Gives eight random hexadecimal digits, for the name of the log.
        clock: Gives the time for the name of the log.
        sleep: Waits for seconds.
        confirm: Asks a person a question on a terminal; ``None`` where nobody can be asked.
        progress: Told what happens.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        builds: Callable[[str], RemoteBuilds],
        contexts: ContextStore,
        registry: RegistryClient,
        endpoints: Endpoints,
        ensure_repository: Callable[[ImageReference], None],
        remove_tag: Callable[[ImageReference], object],
        log_dir: Path,
        version: str,
        token: Callable[[], str],
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
        confirm: Callable[[str], bool | None] = lambda _: None,
        progress: Progress | None = None,
    ) -> None:
        self._settings = settings
        self._builds = builds
        self._contexts = contexts
        self._registry = registry
        self._endpoints = endpoints
        self._ensure_repository = ensure_repository
        self._remove_tag = remove_tag
        self._log_dir = log_dir
        self._version = version
        self._token = token
        self._clock = clock
        self._sleep = sleep
        self._confirm = confirm
        self._progress = progress or NoProgress()

    def build(self, plan: BuildPlan, *, fresh: bool = False) -> ImageReference:
        """Build, verify and publish; see :meth:`ImageBuilder.build`."""
        region = _region_of(plan)
        _check(plan)
        builds = self._builds(region)
        role = self._role_arn()
        project = codebuild_project.ensure(
            self._settings, plan, builds=builds, region=region, role=role, progress=self._progress
        )
        place = _Place(region=region, builds=builds, project=project, role=role)
        known = builds.recent_builds(project.name)
        # Another build may follow another lock.
        build = None if fresh or plan.locked else self._under_way(plan, known)
        if build is None:
            self._ensure_repository(plan.reference)
            build = self._started(plan, place, known, fresh=fresh)
        self._follow(plan, place, build)
        return self._published(plan, build)

    def _under_way(self, plan: BuildPlan, known: tuple[RemoteBuild, ...]) -> RemoteBuild | None:
        """Return a build of the same image that runs, or that was left before anybody gave its image the final tag."""
        asked = {(contexts.FINGERPRINT_VARIABLE, plan.fingerprint), (contexts.IMAGE_VARIABLE, str(plan.reference))}
        same = [build for build in known if asked <= set(build.variables)]
        for build in same:
            if not build.is_over:
                self._progress.step(f"joining the build {build.id}, which makes this image already")
                return build
        for build in same[:1]:
            staging = plan.reference.with_tag(contexts.staging_tag(plan, build.id))
            if build.status == "SUCCEEDED" and self._registry.find(staging) is not None:
                self._progress.step(f"the build {build.id} has made this image already")
                return build
        return None

    def _role_arn(self) -> str | None:
        role = self._settings.codebuild_service_role
        if role is None or role.startswith("arn:"):
            return role
        partition = self._contexts.caller_arn().split(":")[1]
        return f"arn:{partition}:iam::{self._contexts.account_id()}:role/{role}"

    def _started(self, plan: BuildPlan, place: _Place, known: tuple[RemoteBuild, ...], *, fresh: bool) -> RemoteBuild:
        start = self._start(plan, place, fresh=fresh)
        ended = {build.id for build in known if build.is_over}
        for _ in range(_MOST_TOKENS):
            build = place.builds.start(start)
            if build is not None and build.id not in ended:
                self._progress.step(f"building {plan.reference} in CodeBuild: {console_link(build)}")
                return build
            # The same for all who meet the same, so that a retry is started once, too.
            salt = build.id if build else canonical_json(replace(start, token="").document)
            start = replace(start, token=hashlib.sha256(f"{start.token} {salt}".encode()).hexdigest())
        raise BuildError(
            f"CodeBuild starts no new build of {plan.reference}: {_MOST_TOKENS} have ended in the last minutes",
            hint="wait five minutes, and read the log of the last one",
        )

    def _start(self, plan: BuildPlan, place: _Place, *, fresh: bool) -> BuildStart:
        settings, target = self._settings, self._endpoints.reached(plan.reference)
        base = None if plan.context else self._base(plan)
        netrc = bool(settings.codebuild_index_secret) and plan.needs_index
        bundle = settings.codebuild_ca_bundle
        options = ContextOptions(
            base=base,
            repository=target.name,
            version=self._version,
            ca_bundle=Path(bundle).read_bytes() if bundle else None,
            netrc=netrc,
            fresh=fresh,
        )
        uri, digest = self._uploaded(plan, options, place.region)
        base_ecr = plan.base_reference.ecr if base else None
        values = {
            contexts.CONTEXT_VARIABLE: uri,
            contexts.DIGEST_VARIABLE: digest,
            contexts.FINGERPRINT_VARIABLE: plan.fingerprint,
            contexts.IMAGE_VARIABLE: str(plan.reference),
            contexts.REGISTRY_VARIABLE: target.registry or "",
            contexts.REGION_VARIABLE: place.region,
            contexts.BASE_REGISTRY_VARIABLE: base.reached.partition("/")[0] if base and base_ecr else "",
            contexts.BASE_REGION_VARIABLE: base_ecr.region if base_ecr else "",
        }
        variables = [EnvironmentVariable(name=name, value=value) for name, value in values.items() if value]
        if netrc:
            secret = settings.codebuild_index_secret or ""
            variables.append(EnvironmentVariable(name=NETRC_VARIABLE, value=secret, is_secret=True))
        machine = codebuild_project.overrides(settings, plan, place.project)
        # A fresh build of the same fingerprint is another build, and gets another tag.
        token = hashlib.sha256(f"{plan.fingerprint} {plan.reference}".encode()).hexdigest()
        return BuildStart(
            project=place.project.name,
            token=token if fresh else plan.fingerprint,
            buildspec=contexts.BUILDSPEC,
            variables=tuple(variables),
            timeout_in_minutes=settings.codebuild_timeout_minutes,
            environment_type=machine.type,
            image=machine.image,
            compute_type=machine.compute_type,
            # Whoever hands on a role needs a right for that, which the project's own does not ask for.
            service_role=place.role if place.role != place.project.service_role else None,
        )

    def _base(self, plan: BuildPlan) -> RemoteBase:
        reference = plan.base_reference
        if reference.registry is None:
            return RemoteBase(reached=str(reference), digest=str(reference.digest or ""), name=str(reference))
        try:
            digest = self._registry.find(reference)
        except RegistryAccessDeniedError as error:
            raise failures.base_denied(reference, error.message) from error
        if digest is None:
            raise failures.base_absent(reference)
        reached = self._endpoints.reached(reference.with_digest(digest))
        # By digest: exactly what was found.
        return RemoteBase(
            reached=str(replace(reached, tag=None)), digest=digest, name=str(reference.with_tag(plan.base.tag))
        )

    def _uploaded(self, plan: BuildPlan, options: ContextOptions, region: str) -> tuple[str, str]:
        account = self._contexts.account_id()
        bucket = self._settings.codebuild_bucket or f"sagemaker-{region}-{account}"
        # The name of the default bucket can be guessed, so it has to be one's own.
        owner = None if self._settings.codebuild_bucket else account
        with contexts.packed_context(plan, options) as packed:
            key = f"{CONTEXT_PREFIX}{packed.digest}.tar.gz"
            if self._contexts.exists(bucket, key, expected_owner=owner) is None:
                task = self._progress.task("uploading the build context", total=packed.path.stat().st_size)
                try:
                    self._contexts.put_file(
                        bucket, key, packed.path, kms_key=None, encrypt=False, expected_owner=owner, task=task
                    )
                finally:
                    task.finish()
            return f"s3://{bucket}/{key}", packed.digest

    def _follow(self, plan: BuildPlan, place: _Place, build: RemoteBuild) -> None:
        stamp = self._clock().strftime("%Y%m%dT%H%M%S")
        path = self._log_dir / f"{plan.reference.tag}-{stamp}-{self._token()}.log"
        with ExitStack() as stack:
            log = stack.enter_context(BuildLog(path, show=self._progress.log))
            watch = Watch(builds=place.builds, progress=self._progress, log=log, sleep=self._sleep)
            try:
                watch.follow(build)
            except KeyboardInterrupt:
                self._interrupted(place, build)
                raise

    def _interrupted(self, place: _Place, build: RemoteBuild) -> None:
        wants_stop = False
        try:
            wants_stop = bool(self._confirm(f"Stop the build {build.id}? Otherwise it goes on without you"))
        except KeyboardInterrupt:
            logger.debug("the question was answered by Ctrl-C")
        if wants_stop:
            try:
                place.builds.stop(build.id)
            except SageMakerCustomError as error:
                self._progress.step(
                    f"the build {build.id} could not be stopped: {error.message}; {console_link(build)}"
                )
                return
            self._progress.step(f"stopped the build {build.id}")
        else:
            self._progress.step(f"the build {build.id} goes on, and the next call joins it: {console_link(build)}")

    def _published(self, plan: BuildPlan, build: RemoteBuild) -> ImageReference:
        staging = plan.reference.with_tag(contexts.staging_tag(plan, build.id))
        architecture = str(plan.document["platform"]).rpartition("/")[2]
        try:
            digest = promote(
                self._registry,
                staging=staging,
                final=plan.reference,
                fingerprint=plan.fingerprint,
                architecture=architecture,
            )
        except TagConflictError:
            raise
        except RegistryError:
            # Another caller who followed the same build has named the image and removed the staging tag.
            found = RegistryStore(self._registry).find(plan.reference)
            if found is None or found.labels.get(FINGERPRINT_LABEL) != plan.fingerprint:
                raise
            return plan.reference
        try:
            self._remove_tag(staging)
        except SageMakerCustomError as error:
            logger.warning("%s could not be cleaned up: %s", staging, error.message)
        self._progress.step(f"{plan.reference} is {digest}")
        return plan.reference


def _region_of(plan: BuildPlan) -> str:
    ecr = plan.reference.ecr
    if plan.is_local or ecr is None:
        raise BuildError(
            f"CodeBuild builds for Amazon ECR, and {plan.reference} is not there",
            hint='take builder="docker"; local mode needs a Docker Engine in any case',
        )
    return ecr.region


def _check(plan: BuildPlan) -> None:
    for url in plan.pip_indexes.urls if plan.needs_index else ():
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise BuildError(
                f"the URL of the package index on {parts.hostname} holds credentials, which CodeBuild would show",
                hint="write the URL without them, put a netrc line ('machine HOST login USER password PASSWORD') into "
                "a secret of AWS Secrets Manager, and name that in codebuild_index_secret",
            )
    if plan.base_reference.registry is None and plan.base.digest and not plan.context:
        raise BuildError(
            f"{plan.base_reference} is an image of this machine's Docker Engine, which CodeBuild does not reach",
            hint='push it to a registry and name it there, or take builder="docker"',
        )
