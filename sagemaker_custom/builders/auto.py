"""A plan that may turn out not to be appendable → an image, appended or else built by Docker or CodeBuild, and why."""

from __future__ import annotations

from collections.abc import Callable

from sagemaker_custom.builders.choice import why_not_appended
from sagemaker_custom.builders.interface import ImageBuilder
from sagemaker_custom.errors import EngineUnavailableError, NotAppendableError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import ImageReference


class AutoBuilder:
    """Appends where that works; else builds, here where an engine answers.

    Args:
        append: Makes the one that is tried first.
        docker: Makes the one that runs steps here, when it is needed.
        codebuild: Makes the one that runs them elsewhere; ``None`` where CodeBuild is not set up.
        engine_version: Asks the Docker Engine for its version, and raises where none answers.
        progress: Told which one builds, and why.
    """

    def __init__(
        self,
        append: Callable[[], ImageBuilder],
        docker: Callable[[], ImageBuilder],
        codebuild: Callable[[], ImageBuilder] | None = None,
        *,
        engine_version: Callable[[], object],
        progress: Progress,
    ) -> None:
        self._append = append
        self._docker = docker
        self._codebuild = codebuild
        self._engine_version = engine_version
        self._progress = progress

    def build(self, plan: BuildPlan, *, fresh: bool = False) -> ImageReference:
        """Build; see :meth:`ImageBuilder.build`.

        Raises:
            EngineUnavailableError: It cannot be appended, no Docker Engine answers, and CodeBuild is not set up.
        """
        obstacle = why_not_appended(plan)
        if obstacle is not None:
            return self._running(plan, NotAppendableError(obstacle), is_told=True).build(plan, fresh=fresh)
        try:
            return self._append().build(plan, fresh=fresh)
        except NotAppendableError as error:
            other = self._running(plan, error, is_told=False)
        return other.build(plan, fresh=fresh)

    def _running(self, plan: BuildPlan, refusal: NotAppendableError, *, is_told: bool) -> ImageBuilder:
        """Return the builder that runs the steps, here or elsewhere."""
        if plan.is_local:
            # Who builds for this machine has an engine in mind, and its own error says what is wrong with it.
            return self._docker()
        try:
            self._engine_version()
        except EngineUnavailableError as error:
            if self._codebuild is None:
                raise _nothing_builds(refusal, error) from error
            self._progress.step(f"builder codebuild: append cannot build this: {refusal.message}; and {error.message}")
            return self._codebuild()
        if not is_told:
            self._progress.step(f"builder docker: append cannot build this: {refusal.message}")
        return self._docker()


def _nothing_builds(refusal: NotAppendableError, error: EngineUnavailableError) -> EngineUnavailableError:
    ways = (refusal.hint, error.hint, "set codebuild_service_role or codebuild_project, and AWS CodeBuild builds")
    return EngineUnavailableError(
        f"the image cannot be made without Docker: {refusal.message}; and {error.message}",
        hint="; or: ".join(filter(None, ways)),
    )
