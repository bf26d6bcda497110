"""BuildPlan → an image made by a Docker Engine: built, verified, labelled, and only then put under its name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from posixpath import dirname
from typing import TypeVar

from sagemaker_custom.builders import failures, index_logins, script_start
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.builders.engine import BuildContext, Engine, EngineImage, OnLine
from sagemaker_custom.builders.lock import listing_command, lock_text, read_listing
from sagemaker_custom.builders.log import BuildLog
from sagemaker_custom.builders.promotion import promote
from sagemaker_custom.builders.route import BuildRequest, BuildRoute, FolderContext, RouteChoice
from sagemaker_custom.builders.steps import BuildSteps
from sagemaker_custom.dockerfile import BuildEnvironment, render, step_files
from sagemaker_custom.dockerfile_folder import DockerContext, copy_context
from sagemaker_custom.errors import (
    BaseImageError,
    BuildError,
    CredentialsError,
    DigestMismatchError,
    RegistryAccessDeniedError,
    SageMakerCustomError,
    VerificationError,
)
from sagemaker_custom.partial_files import TemporaryFolder
from sagemaker_custom.plan import LABEL_PREFIX, LOCK_LABEL, STAND_IN_LABEL, VERIFIED_LABEL, BuildPlan
from sagemaker_custom.progress import NoProgress, Progress
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.registry import RegistryClient
from sagemaker_custom.toolkits import toolkit_files

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

_VERIFY_TIMEOUT_S = 900.0
_LISTING_TIMEOUT_S = 300.0
_VERIFY_LINES = 15
# The command is an argument, so that no quoting of ours stands between the recipe and the shell.
_IN_IMAGE = 'PATH="${1:+$1:}$PATH"; export PATH; exec /bin/sh -c "$2"'


@dataclass(frozen=True, kw_only=True, slots=True)
class _Base:
    """The base image in the engine."""

    image: EngineImage
    digest: str
    """Of its manifest; of the image itself where no registry has it."""
    name: ImageReference
    """What the engine knows it by, and what stands in the Dockerfile."""


class DockerBuilder:
    """Builds with a Docker Engine.

    Args:
        engine: Where images are built.
        registry: Where extended images go, and where bases are looked up.
        endpoints: How the engine reaches registries.
        choose_route: Asked once for each build.
        ensure_repository: Creates the repository of a reference unless it is there.
        remove_tag: Removes a staging tag where the registry can.
        ca_bundle: PEM file that the build trusts.
        accept_stand_ins: Whether local mode takes a base of the engine that stands in for AWS's.
        log_dir: Where build logs are kept, the newest of them.
        version: Of this package, for the image's label.
        token: Gives eight random hexadecimal digits, which no other process gives.
        clock: Gives the time for the name of the log.
        progress: Told what happens.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        registry: RegistryClient,
        endpoints: Endpoints,
        choose_route: RouteChoice,
        ensure_repository: Callable[[ImageReference], None],
        remove_tag: Callable[[ImageReference], object],
        log_dir: Path,
        version: str,
        token: Callable[[], str],
        clock: Callable[[], datetime],
        ca_bundle: str | None = None,
        accept_stand_ins: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._engine = engine
        self._registry = registry
        self._endpoints = endpoints
        self._choose_route = choose_route
        self._ensure_repository = ensure_repository
        self._remove_tag = remove_tag
        self._log_dir = log_dir
        self._version = version
        self._token = token
        self._clock = clock
        self._ca_bundle = ca_bundle
        self._accept_stand_ins = accept_stand_ins
        self._progress = progress or NoProgress()
        self._listings: dict[str, Mapping[str, str]] = {}

    @failures.full_disk_told()
    def build(self, plan: BuildPlan, *, fresh: bool = False) -> ImageReference:
        """Build, verify and publish; see :meth:`ImageBuilder.build`."""
        entries = index_logins.logins(plan.pip_indexes.urls) if plan.context or plan.needs_index else ()
        with ExitStack() as cleanup:
            base = None if plan.context else self._base(plan, cleanup, fresh=fresh)
            log = cleanup.enter_context(self._log(plan, index_logins.secrets(entries)))
            with _explained(log):
                image = self._labelled_image(plan, base, index_logins.netrc(entries), log, cleanup, fresh=fresh)
            if plan.is_local:
                self._engine.tag(image, plan.reference)
            else:
                self._publish(plan, image, cleanup)
        return plan.reference

    def _log(self, plan: BuildPlan, secrets: Sequence[str]) -> BuildLog:
        stamp = self._clock().strftime("%Y%m%dT%H%M%S")
        # The name has to differ from that of another process which builds the same image in the same second.
        path = self._log_dir / f"{plan.reference.tag}-{stamp}-{self._token()}.log"
        return BuildLog(path, show=self._progress.log, secrets=secrets)

    def _base(self, plan: BuildPlan, cleanup: ExitStack, *, fresh: bool) -> _Base:
        reference = plan.base_reference
        if reference.registry is None:
            return self._aliased(self._bare_image(plan, fresh=fresh), plan, cleanup)
        name = reference.with_tag(plan.base.tag)
        if plan.is_local:
            known = self._engine.find_digest(reference.digest) if reference.digest else None
            known = known or (None if reference.digest else self._engine.find_image(str(name)))
            if known and (self._accept_stand_ins or STAND_IN_LABEL not in known.labels):
                return self._named(known, name, _digest_of(known))
        digest = self._base_digest(reference)
        image = self._engine.find_digest(digest) or self._pulled(reference.with_digest(digest), plan)
        return self._named(image, name, digest)

    def _named(self, image: EngineImage, name: ImageReference, digest: str) -> _Base:
        """Give the base its true name, which stands in the Dockerfile, wherever it was pulled from."""
        if str(name) not in image.tags:
            self._engine.tag(image.id, name)
        return _Base(image=image, digest=digest, name=name)

    def _bare_image(self, plan: BuildPlan, *, fresh: bool) -> EngineImage:
        """Return an image that is named without a host: the engine's own, else what it finds under that name."""
        reference, known = plan.base_reference, None
        if reference.digest:
            known = self._engine.find_digest(reference.digest)
        elif plan.base.digest:
            known = self._engine.find_image(plan.base.digest)
            if known is None:
                raise failures.own_base_gone(reference, plan.base.digest)
        elif plan.is_local or not fresh:
            known = self._engine.find_image(str(reference))
        if known:
            return known
        self._progress.step(f"pulling the base image {reference}")
        return self._engine.pull(reference, platform=_platform(plan), credentials=None, progress=self._progress)

    def _aliased(self, image: EngineImage, plan: BuildPlan, cleanup: ExitStack) -> _Base:
        """Name an image for the time of the build: an id cannot stand in a Dockerfile, and other names may move."""
        alias = ImageReference(repository=plan.reference.repository, tag=f"base-{self._token()}")
        self._engine.tag(image.id, alias)
        cleanup.callback(_quietly, self._engine.untag, alias)
        return _Base(image=image, digest=_digest_of(image), name=alias)

    def _folder_base(
        self, plan: BuildPlan, context: DockerContext, route: BuildRoute, request: BuildRequest, on_line: OnLine
    ) -> Digest:
        """Build the user's folder as it is, from a copy that has the digest which the plan names."""
        with TemporaryFolder() as name:
            copy_context(context, Path(name))
            folder = FolderContext(
                path=Path(name),
                dockerfile=context.folder.dockerfile,
                has_dockerfile=context.has_dockerfile,
                build_args=context.build_args,
                target=context.target,
            )
            self._progress.step(f"building the folder {context.folder.path} for {plan.reference}")
            own = replace(request, dockerfile=lambda _: context.dockerfile, files={}, folder=folder)
            return route.build(own, on_line=on_line)

    def _base_digest(self, reference: ImageReference) -> Digest:
        try:
            digest = self._registry.find(reference)
        except RegistryAccessDeniedError as error:
            raise failures.base_denied(reference, error.message) from error
        except CredentialsError as error:
            raise BaseImageError(
                f"the base image {reference} is AWS's and has to be pulled: {error.message}",
                hint="give AWS credentials for this once (aws configure, aws sso login or AWS_PROFILE); local mode "
                "then uses the engine's copy without asking AWS",
            ) from error
        if digest is None:
            raise failures.base_absent(reference)
        return digest

    def _pulled(self, reference: ImageReference, plan: BuildPlan) -> EngineImage:
        self._progress.step(f"pulling the base image {reference.with_tag(plan.base.tag)}")
        # By digest: exactly what was found, and the engine then knows it by that digest the next time.
        reached = replace(self._endpoints.reached(reference), tag=None)
        return self._engine.pull(
            reached,
            platform=_platform(plan),
            credentials=self._endpoints.login(reached),
            progress=self._progress,
        )

    def _labelled_image(
        self, plan: BuildPlan, base: _Base | None, netrc: str, log: BuildLog, cleanup: ExitStack, *, fresh: bool
    ) -> Digest:
        route = self._choose_route()
        self._progress.step(f"building {plan.reference} ({route.name})")
        steps = BuildSteps(self._progress.task("building", unit="steps"))

        def on_line(line: str) -> None:
            steps.line(line)
            log.line(line)

        if plan.context:
            request = self._request(plan, None, netrc, fresh=fresh)
            folder_image = self._folder_base(plan, plan.context, route, request, on_line)
            # Runs after the named image exists, and then removes nothing.
            cleanup.callback(_quietly, self._engine.discard, folder_image)
            base = self._aliased(self._known(folder_image), plan, cleanup)
        if base is None:
            raise AssertionError(plan)
        built = base.image.id
        if plan.steps:
            built = route.build(self._request(plan, base, netrc, fresh=fresh), on_line=on_line)
            cleanup.callback(_quietly, self._engine.discard, built)
            failures.check_built_on(base.image, self._known(built), base.name)
        steps.finish()
        self._verify(plan, built, log)
        labels = {
            **plan.labels,
            f"{LABEL_PREFIX}base-digest": base.digest,
            LOCK_LABEL: self._lock(plan, base, built),
            f"{LABEL_PREFIX}builder": route.name,
            f"{LABEL_PREFIX}version": self._version,
            VERIFIED_LABEL: "run",
            **script_start.labels(plan, self._engine, built=built, base=base.image.id, on_line=log.line),
        }
        # By the API, since a Dockerfile would expand '$' in values and ends lines at 64 KiB.
        context = BuildContext(
            files={"Dockerfile": f"FROM {built}\n".encode()},
            platform=_platform(plan),
            labels=tuple(sorted(labels.items())),
        )
        labelled = self._engine.build(context, on_line=logger.debug)
        cleanup.callback(_quietly, self._engine.discard, labelled)
        return labelled

    def _known(self, image_id: Digest) -> EngineImage:
        image = self._engine.find_image(image_id)
        if image is None:
            raise BuildError(f"the Docker Engine does not have {image_id}, which it just built", hint="build it again")
        return image

    def _request(self, plan: BuildPlan, base: _Base | None, netrc: str, *, fresh: bool) -> BuildRequest:
        ca_bundle = Path(self._ca_bundle).read_bytes() if self._ca_bundle else None

        def dockerfile(secret_mounts: bool) -> str:
            environment = BuildEnvironment(
                secret_mounts=secret_mounts,
                ca_bundle=ca_bundle is not None,
                netrc=bool(netrc),
                user=base.image.user if base and plan.own else "",
            )
            return render(plan, str(base.name if base else plan.base_reference), environment)

        return BuildRequest(
            dockerfile=dockerfile,
            platform=_platform(plan),
            ca_bundle=ca_bundle,
            netrc=netrc,
            no_cache=fresh,
            files={name: toolkit_files()[name] for name in step_files(plan)},
        )

    def _verify(self, plan: BuildPlan, image: Digest, log: BuildLog) -> None:
        folder = dirname(plan.base.python)
        for command in plan.verify:
            self._progress.step(f"verifying: {command}")
            lines: list[str] = []

            def both(line: str, lines: list[str] = lines) -> None:
                lines.append(log.clean(line))
                log.line(line)

            try:
                exit_code = self._engine.run(
                    image,
                    ("/bin/sh", "-c", _IN_IMAGE, "sh", folder, command),
                    on_line=both,
                    timeout_s=_VERIFY_TIMEOUT_S,
                )
                problem = f"exit code {exit_code}" if exit_code else ""
            except TimeoutError as error:
                problem = str(error)
            if problem:
                raise VerificationError(
                    f"the built image does not pass '{command}' ({problem}):\n" + "\n".join(lines[-_VERIFY_LINES:]),
                    hint="nothing was pushed; choose other versions of the extras, or report it against the recipe",
                    log_path=str(log.path),
                )

    def _lock(self, plan: BuildPlan, base: _Base, built: Digest) -> str:
        listing = self._own_listing if plan.own else self._listing
        if base.image.id not in self._listings:
            self._listings[base.image.id] = listing(plan, base.image.id)
        return lock_text(self._listings[base.image.id], listing(plan, built))

    def _listing(self, plan: BuildPlan, image: Digest) -> Mapping[str, str]:
        lines: list[str] = []
        with suppress(TimeoutError):
            self._engine.run(
                image, listing_command(plan.base.python), on_line=lines.append, timeout_s=_LISTING_TIMEOUT_S
            )
        return read_listing(lines, image=f"{plan.base.repository}:{plan.base.tag}")

    def _own_listing(self, plan: BuildPlan, image: Digest) -> Mapping[str, str]:
        """An image of the user's own may have no Python, and then has nothing to record."""
        with suppress(BuildError):
            return self._listing(plan, image)
        return {}

    def _publish(self, plan: BuildPlan, image: Digest, cleanup: ExitStack) -> None:
        self._ensure_repository(plan.reference)
        staging = plan.reference.with_tag(f"staging-{plan.fingerprint[:12]}-{self._token()}")
        reached = self._endpoints.reached(staging)
        cleanup.callback(_quietly, self._engine.untag, reached)
        self._engine.tag(image, reached)
        self._progress.step(f"pushing {plan.reference}")
        cleanup.callback(_quietly, self._remove_tag, staging)
        self._engine.push(reached, credentials=self._endpoints.login(reached), progress=self._progress)
        digest = promote(
            self._registry,
            staging=staging,
            final=plan.reference,
            fingerprint=plan.fingerprint,
            architecture=_platform(plan).rpartition("/")[2],
        )
        self._progress.step(f"{plan.reference} is {digest}")


def _platform(plan: BuildPlan) -> str:
    return str(plan.document["platform"])


def _digest_of(image: EngineImage) -> str:
    return min(image.manifest_digests, default=image.id)


@contextmanager
def _explained(log: BuildLog) -> Iterator[None]:
    """Add the last lines of the log, and where all of it is, to an error of the build."""
    try:
        yield
    except VerificationError as error:
        error.hint = _with_log(error.hint, log)
        raise
    except BuildError as error:
        message, hint = log.clean(error.message), failures.wrong_hash(log.tail)
        if hint:
            raise DigestMismatchError(
                f"a file of the package index has another hash: {message}; the last lines of the log:\n{log.tail}",
                hint=_with_log(hint, log),
            ) from error
        shown = f"{message}; the last lines of the log:\n{log.tail}" if log.tail else message
        raise type(error)(shown, hint=_with_log(error.hint, log), log_path=str(log.path)) from error


def _with_log(hint: str | None, log: BuildLog) -> str:
    return f"{f'{hint}; ' if hint else ''}the whole log is in {log.path}"


def _quietly(effect: Callable[[_T], object], of: _T) -> None:
    """Clean up; a failure of that must not hide the error that led here."""
    try:
        effect(of)
    except SageMakerCustomError as error:
        logger.warning("%s could not be cleaned up: %s", of, error.message)
