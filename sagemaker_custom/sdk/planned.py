"""What estimators and models of either SDK say of their images: the plan, and the image built now."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from sagemaker_custom.errors import UsageError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.sdk.locks import OneLock, read_locks
from sagemaker_custom.sdk.provided import ProvidedImages


class PlannedEstimator:
    """The part of the estimators that is about the images of a pair."""

    _images: ProvidedImages
    image_uri: Any
    sagemaker_session: Any

    @property
    def _starts_script(self) -> bool:
        """Whether the SDK v3 will start a script in the training image."""
        return False

    @abstractmethod
    def _instance_type_for(self, image_scope: str, instance_type: str | None) -> Any:
        """Return what an image is wanted for."""

    def _unplanned_image(self, image_scope: str) -> Any:
        """Return the image that is used without being planned here, if it is one."""
        del image_scope
        return self.image_uri

    def plan_image(self, image_scope: str = "training", instance_type: str | None = None) -> BuildPlan:
        """Say which image would be used or built, and why, without any side effect.

        Args:
            image_scope: ``training`` or ``inference``.
            instance_type: Default: the estimator's; for inference the one last deployed to, else the estimator's.

        Raises:
            ImageNotInCatalogError: The catalog has no such image.
            UsageError: It is a given ``image_uri``, or one that the SDK chooses: nothing is planned here.
        """
        unplanned = self._unplanned_image(image_scope)
        if unplanned is not None:
            raise UsageError(
                f"there is nothing to plan: {unplanned} is used as it is",
                hint="leave out image_uri, and what needs an image of its own (SageMaker's model parallelism, Training "
                "Compiler, training recipes)",
            )
        instance_type = self._instance_type_for(image_scope, instance_type)
        return self._images.plan(image_scope, instance_type, self.sagemaker_session)

    def build_image(
        self, image_scope: str = "training", instance_type: str | None = None, lock: OneLock | None = None
    ) -> str:
        """Build the image now, unless it is there, whatever ``build=`` says about jobs.

        Args:
            image_scope: ``training`` or ``inference``.
            instance_type: As for :meth:`plan_image`.
            lock: What to install, decided beforehand; default: what the estimator was given.

        Returns:
            The image's URI.

        Raises:
            BuildError: It could not be built.
            RegistryError: It could not be pushed.
        """
        unplanned = self._unplanned_image(image_scope)
        if unplanned is not None:
            return str(unplanned)
        return self._images.provide(
            image_scope,
            self._instance_type_for(image_scope, instance_type),
            self.sagemaker_session,
            policy="always" if self._images.policy == "always" else "if-missing",
            lock=read_locks(lock, image_scope).get(image_scope),
            starts_script=image_scope == "training" and self._starts_script,
        )


class PlannedModel:
    """The part of the models that is about their image."""

    _images: ProvidedImages
    image_uri: Any
    sagemaker_session: Any

    def plan_image(self, instance_type: str | None = None) -> BuildPlan:
        """Say which image would be used or built, and why, without any side effect.

        Args:
            instance_type: Says CPU or GPU, and whether it is local mode; default: CPU, on AWS.

        Raises:
            ImageNotInCatalogError: The catalog has no such image.
            UsageError: It is a given ``image_uri``: nothing is planned here.
        """
        if self.image_uri is not None:
            raise UsageError(
                f"there is nothing to plan: {self.image_uri} is used as it is", hint="leave image_uri out to extend one"
            )
        return self._images.plan("inference", instance_type, self.sagemaker_session)

    def build_image(self, instance_type: str | None = None, lock: OneLock | None = None) -> str:
        """Build the image now, unless it is there, whatever ``build=`` says about endpoints, and return its URI.

        Args:
            instance_type: As for :meth:`plan_image`.
            lock: What to install, decided beforehand; default: what the model was given.

        Raises:
            BuildError: It could not be built.
            RegistryError: It could not be pushed.
        """
        if self.image_uri is not None:
            return str(self.image_uri)
        return self._images.provide(
            "inference",
            instance_type,
            self.sagemaker_session,
            policy="always" if self._images.policy == "always" else "if-missing",
            lock=read_locks(lock, "inference").get("inference"),
        )
