"""What every model class here is: the SDK v2's arguments and results, over the SDK v3's ``ModelBuilder``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from sagemaker.core.common_utils import base_from_name, name_from_base
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import SourceCode
from typing_extensions import Self

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import UsageError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.sdk.calls import Call
from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk.images import Extras, ImageArguments, Images
from sagemaker_custom.sdk.locks import Locks, OneLock, read_locks
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk.rules import LOCAL_INSTANCE_TYPES
from sagemaker_custom.sdk.workspace import Workspace
from sagemaker_custom.sdk_v3.builder import builder_of
from sagemaker_custom.sdk_v3.call import named_call, refuse_others, tags_as_api
from sagemaker_custom.sdk_v3.jobs import base_name_of
from sagemaker_custom.sdk_v3.local_model import LocalModel
from sagemaker_custom.sdk_v3.model_arguments import (
    HANDED_ON,
    INSTEAD,
    INSTEAD_OF_DEPLOY,
    OF_DEPLOY,
    ModelArguments,
    inference_config_of,
)
from sagemaker_custom.sdk_v3.predictor import CustomPredictor
from sagemaker_custom.sdk_v3.rules import SdkV3Rules
from sagemaker_custom.settings import Settings
from sagemaker_custom.source import bundle, stage


class ExtendedModel:
    """Takes what the SDK v2's models take, and these arguments besides; runs on the SDK v3.

    Args:
        *args: Of the SDK v2's class, in its order.
        extras: As the estimators take them.
        replace: As the estimators take it.
        lock: As the estimators take it; a single one is of the inference image.
        image: As the estimators take it.
        cuda_version: As the estimators take it.
        build: As the estimators take it.
        builder: As the estimators take it.
        catalog: As the estimators take it.
        settings: As the estimators take them.
        **kwargs: Of the SDK v2's class, by its names. An ``image_uri`` is your own image, used untouched.

    Raises:
        UsageError: Arguments contradict each other or cannot be read, or the SDK v3 has nothing that does what one asks
            for; also a ``ValueError``.
        ImageNotInCatalogError: The catalog has no such version, Python or CUDA; names the nearest.
    """

    _dialect: ClassVar[Dialect]
    _predictor_class: ClassVar[type[CustomPredictor]] = CustomPredictor
    _order: ClassVar[tuple[str, ...]] = ("model_data", "role", "entry_point")
    _named: ClassVar[tuple[str, ...]] = ()
    _images: ProvidedImages
    _trained_in: Workspace | None
    _workspace: Workspace | None

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
        call = named_call(type(self).__name__, self._order, args, kwargs, self._named)
        self._read(call, settings)
        asked = self._dialect.asked(call)
        images = Images(
            ImageArguments(
                framework=asked.framework,
                framework_version=asked.version,
                py_version=asked.py_version,
                base_framework_version=asked.base_framework_version,
                image_uri=self.image_uri,
                extras=extras,
                replace=replace,
                lock=lock,
                image=image,
                cuda_version=cuda_version,
                build=build,
                builder=builder,
                catalog=catalog,
                session=self.sagemaker_session,
                settings=settings,
                rules=SdkV3Rules(),
            ),
            "inference",
        )
        self._images = images
        if self.image_uri is None:
            for name, value in self._dialect.filled(call, images.fill_in(None)).items():
                setattr(self, name, value)

    @classmethod
    def of_estimator(
        cls,
        images: ProvidedImages,
        image_uri: str | None,
        given: Mapping[str, Any],
        *,
        workspace: Workspace | None,
    ) -> Self:
        """Make the model of an estimator, with its images.

        Args:
            images: The estimator's.
            image_uri: One to use untouched, if one is given.
            given: Arguments by name.
            workspace: Folder where a job of this machine left its model, which has to outlive the estimator.
        """
        model = cls.__new__(cls)
        call = Call(given={**given, "image_uri": image_uri}, defaults={}, takes=frozenset())
        model._take_over(images, call, workspace)  # noqa: SLF001 - its own
        return model

    def _take_over(self, images: ProvidedImages, call: Call, workspace: Workspace | None) -> None:
        self._read(call, None)
        self._images, self._trained_in = images, workspace

    @classmethod
    def deploy_takes(cls) -> frozenset[str]:
        """Return the names of the arguments of :meth:`deploy`, all others being the model's own."""
        return OF_DEPLOY

    def _read(self, call: Call, settings: Settings | None) -> None:
        of_the_framework = {*self._named, "image_uri"}
        rest = {name: value for name, value in call.given.items() if name not in of_the_framework}
        names = {field.name for field in fields(ModelArguments)}
        refuse_others(rest, names, INSTEAD, of_the_framework)
        self._arguments = ModelArguments(**{name: value for name, value in rest.items() if name in names})
        self._settings = settings or Settings.load()
        self.image_uri = call.get("image_uri")
        for name in self._named:
            setattr(self, name, call.get(name))
        self.model_data, self.role = self._arguments.model_data, self._arguments.role
        self.sagemaker_session = self._arguments.sagemaker_session
        self._trained_in = None
        self._workspace = None

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
        policy = "always" if self._images.policy == "always" else "if-missing"
        chosen = read_locks(lock, "inference").get("inference")
        return self._images.provide("inference", instance_type, self.sagemaker_session, policy=policy, lock=chosen)

    def model_builder(self, instance_type: str | None = None) -> Any:
        """Make the SDK v3's ``ModelBuilder`` that ``deploy()`` runs: image made sure of, code laid out.

        Args:
            instance_type: Says CPU or GPU.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
        """
        code = self._source_code()
        if self.sagemaker_session is None:
            self.sagemaker_session = Session()
        return builder_of(
            self._arguments,
            image=self._provided(instance_type),
            code=code,
            role=self.role,
            session=self.sagemaker_session,
            workspace=self._space,
            instance_type=instance_type,
        )

    def _provided(self, instance_type: str | None) -> str:
        if self.image_uri is not None:
            return str(self.image_uri)
        return self._images.provide("inference", instance_type, self.sagemaker_session)

    @property
    def _space(self) -> Workspace:
        if self._workspace is None:
            self._workspace = Workspace()
        return self._workspace

    def _source_code(self) -> SourceCode | None:
        arguments = self._arguments
        if arguments.entry_point is None:
            return None
        if (arguments.source_dir or "").startswith("s3://"):
            return SourceCode(source_dir=arguments.source_dir, entry_script=arguments.entry_point)
        cache = Path(self._settings.cache_dir)
        packed = bundle(arguments.entry_point, arguments.source_dir, arguments.dependencies or (), cache_dir=cache)
        return SourceCode(source_dir=str(stage(packed, self._space.path)), entry_script=packed.script_name)

    def deploy(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        serializer: Any = None,
        deserializer: Any = None,
        endpoint_name: str | None = None,
        tags: Any = None,
        wait: bool = True,
        **more: Any,
    ) -> Any:
        """Serve, after making sure that the image exists.

        Args:
            initial_instance_count: How many machines.
            instance_type: Of what type; ``local`` for a container on this machine.
            serializer: Of the SDK v3; default: as the SDK v2 has it for the framework.
            deserializer: Likewise.
            endpoint_name: Default: one that is made up.
            tags: Of model and endpoint.
            wait: Whether to return when the endpoint is in service.
            **more: Every other argument that ``deploy()`` has in the SDK v2.

        Returns:
            The predictor, which is of ``predictor_cls`` where one was given.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
            UsageError: The SDK v3 has nothing that does what is asked for.
        """
        refuse_others(more, HANDED_ON, INSTEAD_OF_DEPLOY)
        if instance_type in LOCAL_INSTANCE_TYPES:
            server = self._local_model(instance_type).served(self.sagemaker_session)
            name = endpoint_name or self._new_name(self._provided(instance_type))
            return self._predictor(name, serializer, deserializer, server=server)
        builder = self.model_builder(instance_type)
        builder.build(model_name=self._arguments.name or self._new_name(builder.image_uri), tags=tags_as_api(tags))
        name = endpoint_name or self._new_name(builder.image_uri)
        inference = inference_config_of(more.pop("serverless_inference_config", None))
        builder.deploy(
            endpoint_name=name,
            initial_instance_count=initial_instance_count,
            instance_type=instance_type,
            wait=wait,
            inference_config=inference or more.pop("async_inference_config", None),
            **{key: value for key, value in {**more, "tags": tags_as_api(tags)}.items() if value is not None},
        )
        return self._predictor(name, serializer, deserializer)

    def _new_name(self, image: str) -> str:
        given = self._arguments.name
        return str(name_from_base(base_from_name(given) if given else base_name_of(image)))

    def _predictor(self, name: str, serializer: Any, deserializer: Any, **more: Any) -> Any:
        chosen = {"serializer": serializer, "deserializer": deserializer}
        given = {key: value for key, value in chosen.items() if value is not None}
        return (self._arguments.predictor_cls or self._predictor_class)(name, self.sagemaker_session, **given, **more)

    def _local_model(self, instance_type: str) -> LocalModel:
        code, arguments = self._source_code(), self._arguments
        return LocalModel(
            image=self._provided(instance_type),
            model_data=arguments.model_data,
            code=code,
            environment=arguments.environment(),
            log_level=arguments.container_log_level,
            workspace=self._space,
        )
