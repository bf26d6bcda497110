"""What every model class here adds to the SDK's own: the inference image, and code that is packed."""

from __future__ import annotations

import inspect
from typing import Any

from sagemaker.model import FrameworkModel
from sagemaker.workflow.pipeline_context import PipelineSession

from sagemaker_custom.sdk_v2.code import Workspace, bundle_of, is_local_folder, staged
from sagemaker_custom.sdk_v2.images import Images
from sagemaker_custom.sdk_v2.local import LOCAL_INSTANCE_TYPES, LOCAL_ROLE, CustomLocalSession


class ExtendedModel(FrameworkModel):  # type: ignore[misc]  # the SDK has no types
    """Stands before a class of the SDK among the bases; the constructor sets ``_images`` and ``_workspace``."""

    _images: Images
    _workspace: Workspace | None
    bucket: str | None
    image_uri: Any
    model_data: Any
    role: Any
    sagemaker_session: Any
    source_dir: Any

    def serving_image_uri(
        self,
        region_name: str,
        instance_type: Any,
        accelerator_type: str | None = None,
        serverless_inference_config: Any = None,
    ) -> str:
        """Return the URI of the inference image; builds nothing."""
        del accelerator_type, serverless_inference_config
        return self._images.uri("inference", instance_type, self.sagemaker_session, region_name)

    def deploy(
        self, initial_instance_count: int | None = None, instance_type: Any = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Serve, as the SDK's ``deploy`` does, after making sure that the image exists.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
        """
        self._init_sagemaker_session_if_does_not_exist(instance_type)
        if is_local_folder(self.source_dir) and not getattr(self, "git_config", None):
            bundle_of(self)
        if self.image_uri is None:
            self._images.provide("inference", instance_type, self.sagemaker_session)
        given = inspect.signature(super().deploy).bind(initial_instance_count, instance_type, *args, **kwargs)
        if self.sagemaker_session.local_mode:
            # Creating a local endpoint has waited for its ping; the SDK would sleep 30 s before it looks again.
            given.arguments["wait"] = False
        predictor = super().deploy(*given.args, **given.kwargs)
        if isinstance(self.sagemaker_session, CustomLocalSession):
            # The endpoint's container has the folder mounted, and outlives a model that nobody keeps.
            self.sagemaker_session.hold(self._workspace)
        return predictor

    def register(self, *args: Any, **kwargs: Any) -> Any:
        """Register the model as the SDK does; builds no image."""
        package = super().register(*args, **kwargs)
        # The SDK keeps the image that it resolved as if the user had given it, for any later instance type. In a
        # pipeline it still needs it there.
        if self._images.chose(self.image_uri) and not isinstance(self.sagemaker_session, PipelineSession):
            self.image_uri = None
        return package

    def prepare_container_def(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the container definition for ``CreateModel``; packs and uploads the code, builds no image."""
        code = bundle_of(self) if not getattr(self, "git_config", None) else None
        if code is None:
            return dict(super().prepare_container_def(*args, **kwargs))
        self._workspace = Workspace(self.sagemaker_session)
        bucket = self.bucket
        if self._serves_local_files():
            # Any name will do: nothing is uploaded, and the SDK would ask AWS for the default bucket's.
            self.bucket = bucket or "local"
        try:
            with staged(self, code, self._workspace):
                return dict(super().prepare_container_def(*args, **kwargs))
        finally:
            self.bucket = bucket

    def _serves_local_files(self) -> bool:
        session, data = self.sagemaker_session, self.model_data
        return isinstance(session, CustomLocalSession) and isinstance(data, str) and data.startswith("file://")

    def _init_sagemaker_session_if_does_not_exist(self, instance_type: Any = None) -> None:
        if instance_type in LOCAL_INSTANCE_TYPES:
            session = self.sagemaker_session
            self.sagemaker_session = CustomLocalSession.adopt(session) if session else CustomLocalSession()
            self.role = self.role or LOCAL_ROLE
        super()._init_sagemaker_session_if_does_not_exist(instance_type)
