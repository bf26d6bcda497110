"""What every model class here adds to the SDK's own: the inference image, and code that is packed."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

from sagemaker.model import Model
from sagemaker.workflow.pipeline_context import PipelineSession
from typing_extensions import Self

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.sdk.calls import shown_signature
from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk.images import Extras, ImageArguments, Images
from sagemaker_custom.sdk.locks import Locks
from sagemaker_custom.sdk.planned import PlannedModel
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk.rules import LOCAL_INSTANCE_TYPES, LOCAL_ROLE
from sagemaker_custom.sdk_v2.calls import read_call
from sagemaker_custom.sdk_v2.code import Workspace, bundle_of, is_local_folder, staged
from sagemaker_custom.sdk_v2.local import CustomLocalSession
from sagemaker_custom.sdk_v2.rules import SdkV2Rules
from sagemaker_custom.settings import Settings
from sagemaker_custom.source import SourceBundle


class ExtendedModel(PlannedModel, Model):  # type: ignore[misc]  # the SDK has no types
    """Stands before a class of the SDK among the bases, which then takes these arguments besides its own.

    Args:
        *args: Of the SDK's class.
        extras: As the estimators take them.
        replace: As the estimators take it.
        lock: As the estimators take it; a single one is of the inference image.
        image: As the estimators take it.
        cuda_version: As the estimators take it.
        build: As the estimators take it.
        builder: As the estimators take it.
        catalog: As the estimators take it.
        settings: As the estimators take them.
        **kwargs: Of the SDK's class. Versions and Python may be left out. An ``image_uri`` is your own image, used
            untouched; it excludes ``extras``.

    Raises:
        UsageError: Arguments contradict each other or cannot be read; also a ``ValueError``.
        ImageNotInCatalogError: The catalog has no such version, Python or CUDA; names the nearest.
    """

    _dialect: ClassVar[Dialect]
    _predictor_class: ClassVar[Any]
    _images: ProvidedImages
    _workspaces: tuple[Workspace, ...]
    bucket: str | None
    dependencies: Any
    entry_point: Any
    image_config: Any
    image_uri: Any
    model_data: Any
    predictor_cls: Any
    role: Any
    sagemaker_session: Any
    source_dir: Any

    def __init__(
        self,
        *args: Any,
        extras: Extras = (),
        replace: Sequence[str] | str = (),
        lock: Locks = None,
        image: str | None = None,
        cuda_version: str | None = None,
        build: str = "if-missing",
        builder: str = "auto",
        catalog: Locations = (),
        settings: Settings | None = None,
        **kwargs: Any,
    ) -> None:
        call = read_call(super().__init__, args, kwargs)
        given = call.given
        image_uri = given.get("image_uri")
        asked = self._dialect.asked(call)
        self._images = Images(
            ImageArguments(
                framework=asked.framework,
                framework_version=asked.version,
                py_version=asked.py_version,
                base_framework_version=asked.base_framework_version,
                image_uri=image_uri,
                extras=extras,
                replace=replace,
                lock=lock,
                image=image,
                cuda_version=cuda_version,
                build=build,
                builder=builder,
                catalog=catalog,
                session=given.get("sagemaker_session"),
                settings=settings,
                rules=SdkV2Rules(),
            ),
            "inference",
        )
        if image_uri is None or (self._dialect.always_versioned and asked.version is None):
            given |= self._dialect.filled(call, self._images.fill_in(None))
        if given.get("predictor_cls") is None:
            given["predictor_cls"] = self._predictor_class
        super().__init__(**given)
        self._workspaces = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the arguments of the SDK's class and those added here as one signature."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__signature__ = inspect.signature(cls.__init__.__get__(object()))
        elif ExtendedModel in cls.__bases__:
            cls.__signature__ = shown_signature(ExtendedModel.__init__, super().__init__)

    @classmethod
    def taken_over(cls, model: Any, images: ProvidedImages) -> Self:
        """Return a model of the SDK, which an estimator of the SDK has made by its own rules, as one of this class.

        Args:
            model: Of the class that this one stands before; it is given up.
            images: The estimator's.
        """
        taken = cls.__new__(cls)
        taken.__dict__.update(vars(model), _images=images, _workspaces=())
        if model.predictor_cls is cls._predictor_class.__bases__[0]:
            taken.predictor_cls = cls._predictor_class
        return taken

    def serving_image_uri(
        self,
        region_name: str | None,
        instance_type: Any = None,
        accelerator_type: str | None = None,
        serverless_inference_config: Any = None,
        inference_tool: str | None = None,
    ) -> str:
        """Return the URI of the inference image; builds nothing."""
        del accelerator_type, serverless_inference_config, inference_tool
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
        given = inspect.signature(super().deploy).bind(initial_instance_count, instance_type, *args, **kwargs)
        if self.sagemaker_session.local_mode:
            # Creating a local endpoint has waited for its ping; the SDK would sleep 30 s before it looks again.
            given.arguments["wait"] = False
        try:
            return super().deploy(*given.args, **given.kwargs)
        finally:
            self._forget_chosen_image()

    def register(self, *args: Any, **kwargs: Any) -> Any:
        """Register the model as the SDK does, after making sure that its image exists; in a pipeline builds none."""
        # CreateModelPackage has no such member, and would be refused.
        image_config, self.image_config = self.image_config, None
        try:
            return super().register(*args, **kwargs)
        finally:
            self.image_config = image_config
            self._forget_chosen_image()

    def _forget_chosen_image(self) -> None:
        # The SDK keeps an image that it resolved as if the user had given it, for any later instance type. In a
        # pipeline it still needs it there.
        if self._images.chose(self.image_uri) and not isinstance(self.sagemaker_session, PipelineSession):
            self.image_uri = None

    def prepare_container_def(self, instance_type: Any = None, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """Return the container definition for ``CreateModel``, after making sure that the image exists.

        Endpoints, batch transforms, packages of the model registry and containers of many models come by here. In a
        pipeline no image is built.
        """
        code = self._code()
        if self.image_uri is None:
            self._images.provide("inference", instance_type, self.sagemaker_session)
        else:
            self._images.provide_chosen(self.image_uri, self.sagemaker_session)
        definition = self._container_def(code, instance_type, *args, **kwargs)
        # Most classes of the SDK forget it.
        if self.image_config is not None:
            definition.setdefault("ImageConfig", self.image_config)
        return definition

    def _code(self) -> SourceBundle | None:
        local = is_local_folder(self.source_dir) and not getattr(self, "git_config", None)
        return bundle_of(self, cache_dir=self._images.cache_dir) if local else None

    def _container_def(self, code: SourceBundle | None, *args: Any, **kwargs: Any) -> dict[str, Any]:
        if code is None:
            return dict(super().prepare_container_def(*args, **kwargs))
        session, workspace = self.sagemaker_session, Workspace(self.sagemaker_session)
        in_pipeline = isinstance(session, PipelineSession)
        # Steps that were made before still have their code in the others.
        self._workspaces = (*self._workspaces, workspace) if in_pipeline else (workspace,)
        if isinstance(session, CustomLocalSession):
            # The container has the folder mounted, and outlives a model that nobody keeps.
            session.hold(workspace)
        bucket = self.bucket
        if self._serves_local_files():
            # Any name will do: nothing is uploaded, and the SDK would ask AWS for the default bucket's.
            self.bucket = bucket or "local"
        try:
            with staged(self, code, workspace) as folder:
                definition = dict(super().prepare_container_def(*args, **kwargs))
        finally:
            self.bucket = bucket
        if in_pipeline and id(self) in session.context.need_runtime_repack:
            # The step that packs the model puts scripts of the SDK beside this code, and must not find the user's.
            self.entry_point, self.source_dir, self.dependencies = code.script_name, str(folder), []
        return definition

    def _serves_local_files(self) -> bool:
        session, data = self.sagemaker_session, self.model_data
        return isinstance(session, CustomLocalSession) and isinstance(data, str) and data.startswith("file://")

    def _init_sagemaker_session_if_does_not_exist(self, instance_type: Any = None) -> None:
        if instance_type in LOCAL_INSTANCE_TYPES:
            session = self.sagemaker_session
            self.sagemaker_session = CustomLocalSession.adopt(session) if session else CustomLocalSession()
            self.role = self.role or LOCAL_ROLE
        super()._init_sagemaker_session_if_does_not_exist(instance_type)


class ServesByUri(Model):  # type: ignore[misc]  # the SDK has no types
    """Classes of the SDK that want to be told their image; it is told them while they describe the container."""

    image_uri: Any
    serving_image_uri: Any

    def prepare_container_def(self, instance_type: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Return the container definition for ``CreateModel``."""
        given = self.image_uri
        self.image_uri = given or self.serving_image_uri(None, instance_type)
        try:
            return super().prepare_container_def(instance_type, *args, **kwargs)
        finally:
            self.image_uri = given
