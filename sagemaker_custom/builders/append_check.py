"""An image that is in the registry, but not under its name → its verify commands run in it, where an engine can."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from posixpath import dirname

from packaging.utils import canonicalize_name

from sagemaker_custom.builders import script_start
from sagemaker_custom.builders.append_interface import AppendableBase, Verification
from sagemaker_custom.builders.endpoints import Endpoints
from sagemaker_custom.builders.engine import Engine
from sagemaker_custom.builders.lock import listing_command, read_listing
from sagemaker_custom.errors import EngineUnavailableError, SageMakerCustomError, VerificationError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import Digest, ImageReference
from sagemaker_custom.wheels.lock import Lock

CHECKS = ("auto", "run", "static")
"""What the setting ``verify`` may be."""

_TIMEOUT_S = 900.0
_LINES = 15
_IN_IMAGE = 'PATH="${1:+$1:}$PATH"; export PATH; exec /bin/sh -c "$2"'
"""The command is an argument, so that no quoting of ours stands between the recipe and the shell."""


class EngineCheck:
    """Runs images in a Docker Engine that has their base already.

    Args:
        engine: Asked only when it may be used.
        endpoints: How it reaches registries.
        wanted: ``auto``: where the engine has the base; ``run``: always; ``static``: never.
        progress: Told what happens.
    """

    def __init__(self, engine: Callable[[], Engine], *, endpoints: Endpoints, wanted: str, progress: Progress) -> None:
        self._engine = engine
        self._endpoints = endpoints
        self._wanted = wanted
        self._progress = progress

    def kind(self, base: AppendableBase) -> Verification:
        """Say how an image on ``base`` will be checked; see :meth:`ImageCheck.kind`."""
        if self._wanted == "static":
            return "static"
        if self._wanted == "run":
            return "run"
        with suppress(EngineUnavailableError):
            # Pulling a base of gigabytes would cost more than everything else that is done here.
            if any(self._engine().find_digest(Digest(digest)) for digest in _digests(base)):
                return "run"
        return "static"

    def run(self, image: ImageReference, plan: BuildPlan, lock: Lock) -> tuple[str, ...]:
        """Run the plan's commands; see :meth:`ImageCheck.run`."""
        engine, reached = self._engine(), self._endpoints.reached(image)
        platform = str(plan.document["platform"])
        pulled = engine.pull(
            reached, platform=platform, credentials=self._endpoints.login(reached), progress=self._progress
        )
        try:
            for command in plan.verify:
                self._progress.step(f"verifying: {command}")
                self._run(engine, pulled.id, dirname(plan.base.python), command)
            self._compare(engine, pulled.id, plan, lock)
            return self._lacking(engine, pulled.id, plan)
        finally:
            with suppress(SageMakerCustomError):
                # A pulled digest is a name to the engine, which would keep the image.
                engine.untag(reached)
                engine.discard(pulled.id)

    def _lacking(self, engine: Engine, image: str, plan: BuildPlan) -> tuple[str, ...]:
        lacks = script_start.lacking(engine, image) if script_start.is_asked(plan) else ()
        # Wheels bring files and take none but those of the packages that they replace: what is missing, the base lacks.
        script_start.check(plan, lacks, lacks)
        if lacks:
            self._progress.log(script_start.told(lacks))
        return lacks

    def _run(self, engine: Engine, image: str, folder: str, command: str) -> None:
        lines: list[str] = []

        def on_line(line: str) -> None:
            lines.append(line)
            self._progress.log(line)

        try:
            code = engine.run(
                image, ("/bin/sh", "-c", _IN_IMAGE, "sh", folder, command), on_line=on_line, timeout_s=_TIMEOUT_S
            )
            problem = f"exit code {code}" if code else ""
        except TimeoutError as error:
            problem = str(error)
        if problem:
            raise VerificationError(
                f"the built image does not pass '{command}' ({problem}):\n" + "\n".join(lines[-_LINES:]),
                hint="it got no tag; choose other versions of the extras, or report it against the recipe",
            )

    def _compare(self, engine: Engine, image: str, plan: BuildPlan, lock: Lock) -> None:
        """Ask the Python of the image whether it sees what was installed."""
        lines: list[str] = []
        with suppress(TimeoutError):
            engine.run(image, listing_command(plan.base.python), on_line=lines.append, timeout_s=_TIMEOUT_S)
        name = f"{plan.base.repository}:{plan.base.tag}"
        seen = {canonicalize_name(package): version for package, version in read_listing(lines, image=name).items()}
        for wheel in lock.wheels:
            found = seen.get(canonicalize_name(wheel.name))
            if found != wheel.version:
                raise VerificationError(
                    f"the Python of the built image sees {wheel.name} {found or 'not at all'} "
                    f"instead of {wheel.version}",
                    hint="it got no tag; build it with builder='docker', and report this",
                )


def _digests(base: AppendableBase) -> tuple[str, ...]:
    return tuple(dict.fromkeys(digest for digest in (base.reference.digest, base.published) if digest))
