"""A plan that may turn out not to be appendable → an image by the append builder, else by Docker, and why."""

from __future__ import annotations

from collections.abc import Callable

from sagemaker_custom.builders.choice import why_not_appended
from sagemaker_custom.builders.interface import ImageBuilder
from sagemaker_custom.errors import EngineUnavailableError, NotAppendableError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import ImageReference


class AutoBuilder:
    """Appends where that works.

    Args:
        append: Makes the one that is tried first.
        docker: Makes the other one, when it is needed.
        engine_version: Asks the Docker Engine for its version, and raises where none answers.
        progress: Told which one builds, and why.
    """

    def __init__(
        self,
        append: Callable[[], ImageBuilder],
        docker: Callable[[], ImageBuilder],
        *,
        engine_version: Callable[[], object],
        progress: Progress,
    ) -> None:
        self._append = append
        self._docker = docker
        self._engine_version = engine_version
        self._progress = progress

    def build(self, plan: BuildPlan, *, fresh: bool = False) -> ImageReference:
        """Build; see :meth:`ImageBuilder.build`.

        Raises:
            EngineUnavailableError: It cannot be appended, and no Docker Engine answers.
        """
        obstacle = why_not_appended(plan)
        if obstacle is None:
            try:
                return self._append().build(plan, fresh=fresh)
            except NotAppendableError as error:
                self._check_engine(error)
                self._progress.step(f"builder docker: append cannot build this: {error.message}")
        elif not plan.is_local:
            # Who builds for this machine has an engine in mind, and its own error says what is wrong with it.
            self._check_engine(NotAppendableError(obstacle))
        return self._docker().build(plan, fresh=fresh)

    def _check_engine(self, refusal: NotAppendableError) -> None:
        try:
            self._engine_version()
        except EngineUnavailableError as error:
            raise EngineUnavailableError(
                f"the image cannot be made without Docker: {refusal.message}; and {error.message}",
                hint=f"{refusal.hint}; or: {error.hint}" if refusal.hint else error.hint,
            ) from error
