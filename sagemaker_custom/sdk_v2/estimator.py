"""What every estimator class here adds to the SDK's own: images that are planned and built, and code that is packed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sagemaker import git_utils
from sagemaker.estimator import Framework
from sagemaker.fw_utils import UploadedCode
from sagemaker.workflow import is_pipeline_variable

from sagemaker_custom.errors import UsageError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.sdk_v2.code import Workspace, bundle_of, staged, upload_code
from sagemaker_custom.sdk_v2.images import Images
from sagemaker_custom.sdk_v2.local import LOCAL_INSTANCE_TYPES, LOCAL_ROLE, CustomLocalSession

NO_STOCK_CHECK = "resolved-by-sagemaker-custom"
"""Image URI for the SDK's constructors, which would check their own, older list of versions; replaced at once."""


class ExtendedEstimator(Framework):  # type: ignore[misc]  # the SDK has no types
    """Stands before a class of the SDK among the bases; the constructor sets ``_images`` and ``_workspace``."""

    _images: Images
    _workspace: Workspace | None
    _clone: dict[str, Any] | None = None
    _sdk_chooses_image = False
    """Whether the training image is one that AWS publishes for a feature of its own, outside the catalog."""
    deploy_instance_type: str | None
    git_config: Any
    image_uri: Any
    sagemaker_session: Any
    _get_instance_type: Any
    _script_mode_hyperparam_update: Any

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
        return self._images.plan(
            image_scope, self._instance_type_for(image_scope, instance_type), self.sagemaker_session
        )

    def build_image(self, image_scope: str = "training", instance_type: str | None = None) -> str:
        """Build the image now, unless it is there, whatever ``build=`` says about jobs.

        Args:
            image_scope: ``training`` or ``inference``.
            instance_type: As for :meth:`plan_image`.

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
        )

    def _instance_type_for(self, image_scope: str, instance_type: str | None) -> Any:
        if instance_type is None and image_scope == "inference":
            instance_type = self.deploy_instance_type
        return instance_type or self._get_instance_type()

    def _unplanned_image(self, image_scope: str) -> Any:
        """Return the image that is used without being planned here, if it is one."""
        if self._sdk_chooses_image and image_scope == "training":
            return self.training_image_uri()
        return self.image_uri

    def training_image_uri(self, region: str | None = None) -> Any:
        """Return the URI of the training image; builds nothing."""
        if self.image_uri is not None:
            return self.image_uri
        if self._sdk_chooses_image:
            return super().training_image_uri(region)
        return self._images.uri("training", self._get_instance_type(), self.sagemaker_session, region)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as the SDK's ``fit`` does, after making sure that the image exists.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
        """
        if not self.git_config:
            bundle_of(self)
        if self.image_uri is None and not self._sdk_chooses_image:
            self._images.provide("training", self._get_instance_type(), self.sagemaker_session)
        try:
            return super().fit(*args, **kwargs)
        finally:
            # Local training is over when the call is.
            if self._workspace is not None:
                self._workspace.remove()

    def _prepare_for_training(self, job_name: str | None = None) -> None:
        session = self.sagemaker_session
        if not (isinstance(session, CustomLocalSession) and session.uses_local_code):
            super()._prepare_for_training(job_name)
            return
        with _cloned(self):
            code = bundle_of(self)
            if code is None:
                super()._prepare_for_training(job_name)
                return
            with self._images.parts(session).progress() as progress:
                progress.step(f"source ({code.files} files) is mounted into the container, nothing to upload")
            self._workspace = Workspace(session)
            with staged(self, code, self._workspace) as folder:
                super()._prepare_for_training(job_name)
                # The SDK keeps the file's name only, and loses the folder of a script that lies in one.
                self._script_mode_hyperparam_update(f"file://{folder}", code.script_name)

    def _model_source_dir(self) -> Any:
        if self._clone and self.sagemaker_session.local_mode:
            return self._clone["source_dir"]
        return super()._model_source_dir()

    def _model_entry_point(self) -> Any:
        if self._clone and self.sagemaker_session.local_mode:
            return self._clone["entry_point"]
        return super()._model_entry_point()

    def _stage_user_code_in_s3(self) -> UploadedCode:
        code = bundle_of(self)
        return super()._stage_user_code_in_s3() if code is None else upload_code(self, code, self._images)


def use_local_session(kwargs: dict[str, Any]) -> None:
    """Give local mode a session, and a role, that need no AWS account."""
    instance_type = kwargs.get("instance_type")
    if is_pipeline_variable(instance_type) or instance_type not in LOCAL_INSTANCE_TYPES:
        return
    given = kwargs.get("sagemaker_session")
    if given is None:
        kwargs["sagemaker_session"] = CustomLocalSession()
    elif getattr(given, "local_mode", False):
        kwargs["sagemaker_session"] = CustomLocalSession.adopt(given)
    kwargs["role"] = kwargs.get("role") or LOCAL_ROLE


@contextmanager
def _cloned(estimator: Any) -> Iterator[None]:
    """For a while, let an estimator with a ``git_config`` have the clone as its code."""
    before = estimator.git_config, estimator.entry_point, estimator.source_dir, estimator.dependencies
    if estimator.git_config:
        paths = git_utils.git_clone_repo(*before)
        estimator._clone = paths  # noqa: SLF001 - the model that is made later has its code there
        estimator.git_config, estimator.entry_point = None, paths["entry_point"]
        estimator.source_dir, estimator.dependencies = paths["source_dir"], paths["dependencies"]
    try:
        yield
    finally:
        estimator.git_config, estimator.entry_point, estimator.source_dir, estimator.dependencies = before
