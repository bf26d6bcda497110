"""What every model does: its image, code and arguments → endpoints, batch transforms, packages of the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

from sagemaker.core.common_utils import base_from_name, name_from_base
from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.pipeline_context import PipelineSession

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.planned import PlannedModel
from sagemaker_custom.sdk.rules import LOCAL_INSTANCE_TYPES
from sagemaker_custom.sdk_v3.absent import OF_MODELS, absent
from sagemaker_custom.sdk_v3.builder import say_framework
from sagemaker_custom.sdk_v3.call import refuse_others, shown_signature, tags_as_api
from sagemaker_custom.sdk_v3.jobs import base_name_of
from sagemaker_custom.sdk_v3.local import CustomLocalSession, LocalTransformer
from sagemaker_custom.sdk_v3.model_arguments import (
    HANDED_ON,
    INSTEAD_OF_DEPLOY,
    OF_TRANSFORMER,
    ModelArguments,
    inference_config_of,
)
from sagemaker_custom.sdk_v3.packages import ORDER_OF_MODELS, PackagedModel, of_register
from sagemaker_custom.sdk_v3.predictor import CustomPredictor


class HostedModel(PlannedModel, ABC):
    """The part of the models that is about where they run."""

    _predictor_class: ClassVar[type[CustomPredictor]] = CustomPredictor
    _order: ClassVar[tuple[str, ...]] = ("model_data", "role", "entry_point")
    """Names of the arguments that may be given by place."""
    _named: ClassVar[tuple[str, ...]] = ()
    """Names of the arguments about the framework."""
    _arguments: ModelArguments
    name: str | None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        named = {field.name for field in fields(ModelArguments)}
        cls.__signature__ = shown_signature(cls.__init__, cls._order, {*named, *cls._named, "image_uri"})  # type: ignore[attr-defined]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise absent(self, name, OF_MODELS)

    @abstractmethod
    def model_builder(self, instance_type: Any = None, image_uri: Any = None) -> Any:
        """Make the SDK v3's ``ModelBuilder``."""

    @abstractmethod
    def _served_here(self, endpoint_name: str | None, instance_type: str) -> tuple[str, CustomLocalSession]:
        """Start an endpoint on this machine, and return its name and the session that knows it."""

    @abstractmethod
    def _created_here(self, instance_type: str) -> tuple[str, str, CustomLocalSession]:
        """Make a model of this machine, and return its name, ``local`` or ``local_gpu``, and the session with it."""

    @abstractmethod
    def _in_the_registry(self, instance_type: Any) -> tuple[str | None, str | None]:
        """Return framework and version, as packages of the model registry name them."""

    def enable_network_isolation(self) -> bool:
        """Whether its containers have no network."""
        return bool(self._arguments.enable_network_isolation)

    def delete_model(self) -> None:
        """Delete what :meth:`create` or :meth:`transformer` has made of it on AWS.

        Raises:
            UsageError: It was not created.
        """
        if self.name is None:
            raise UsageError(f"this {type(self).__name__} was not created on AWS", hint="call create() first")
        self.sagemaker_session.sagemaker_client.delete_model(ModelName=self.name)

    def create(self, instance_type: Any = None, *, tags: Any = None, serverless_inference_config: Any = None) -> Any:
        """Create the model on AWS, after making sure that the image exists; in a pipeline builds none.

        Args:
            instance_type: Says CPU or GPU; default: CPU.
            tags: Of the model.
            serverless_inference_config: Says that it is for a serverless endpoint, which has no GPU.

        Returns:
            ``None``; with a ``PipelineSession`` what ``ModelStep(step_args=…)`` takes.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
        """
        builder = self.model_builder(None if serverless_inference_config else instance_type)
        self.name = self.name or self._new_name(builder.image_uri)
        step = builder.build(model_name=self.name, tags=tags_as_api(tags))
        return step if isinstance(self.sagemaker_session, PipelineSession) else None

    def transformer(self, instance_count: Any, instance_type: Any, **arguments: Any) -> Transformer:
        """Create the model, and return what transforms batches by it.

        Args:
            instance_count: How many machines.
            instance_type: Of what type.
            **arguments: Every other argument that ``transformer()`` has in the SDK v2.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
            UsageError: It is one of a pipeline, or there is no such argument.
        """
        refuse_others(arguments, OF_TRANSFORMER, {})
        if instance_type in LOCAL_INSTANCE_TYPES:
            name, chosen, session = self._created_here(instance_type)
            given = {"base_transform_job_name": name, **arguments, "tags": tags_as_api(arguments.get("tags"))}
            return LocalTransformer(name, instance_count, chosen, sagemaker_session=session, **given)
        if isinstance(self.sagemaker_session, PipelineSession):
            raise UsageError(
                "a model has no name yet while a pipeline is written down",
                hint="use sagemaker.core.transformer.Transformer(model_name=step.properties.ModelName, …) with the "
                "step=ModelStep(step_args=model.create(…))",
            )
        self.create(instance_type, tags=arguments.get("tags"))
        if self._arguments.enable_network_isolation:
            # AWS takes no environment then, and the model has its own.
            arguments.pop("env", None)
        given = {"base_transform_job_name": self.name, **arguments, "tags": tags_as_api(arguments.get("tags"))}
        return Transformer(self.name, instance_count, instance_type, sagemaker_session=self.sagemaker_session, **given)

    def register(self, *args: Any, **arguments: Any) -> Any:
        """Put the model into the model registry, after making sure that its image exists; in a pipeline builds none.

        Args:
            *args: Of the SDK v2's ``register()``, in its order.
            **arguments: Of the SDK v2's ``register()``.

        Returns:
            The package, with its ``model_package_arn``; with a ``PipelineSession`` what ``ModelStep(step_args=…)``
            takes.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
            UsageError: The SDK v3 has nothing that does what is asked for.
        """
        given, others = of_register(ORDER_OF_MODELS, args, arguments)
        refuse_others(others, ORDER_OF_MODELS, {})
        instances = given.get("inference_instances")
        builder = self.model_builder(instances[0] if instances else None, given.pop("image_uri", None))
        # CreateModelPackage has no such member, and would be refused.
        builder.image_config = None
        framework, version = given.pop("framework", None), given.pop("framework_version", None)
        known = self._in_the_registry(instances[0] if instances else None)
        say_framework(builder, framework or known[0], version or known[1])
        arn = builder.register(**given)
        if isinstance(self.sagemaker_session, PipelineSession):
            return arn
        return PackagedModel(model_package_arn=arn, sagemaker_session=self.sagemaker_session)

    def deploy(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        serializer: Any = None,
        deserializer: Any = None,
        *,
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
            name, session = self._served_here(endpoint_name, instance_type)
            return self._predictor(name, serializer, deserializer, session)
        builder = self.model_builder(instance_type)
        builder.build(model_name=self.name or self._new_name(builder.image_uri), tags=tags_as_api(tags))
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
        return self._predictor(name, serializer, deserializer, self.sagemaker_session)

    def _new_name(self, image: Any) -> str:
        return str(name_from_base(base_from_name(self.name) if self.name else base_name_of(image)))

    def _predictor(self, name: str, serializer: Any, deserializer: Any, session: Any) -> Any:
        chosen = {"serializer": serializer, "deserializer": deserializer}
        given = {key: value for key, value in chosen.items() if value is not None}
        return (self._arguments.predictor_cls or self._predictor_class)(name, session, **given)
