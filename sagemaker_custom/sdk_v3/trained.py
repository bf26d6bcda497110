"""What an estimator does once it has trained: its model → an endpoint, batch transforms, a package of the registry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

from sagemaker.core.analytics import TrainingJobAnalytics
from sagemaker.core.common_utils import name_from_base
from sagemaker.core.transformer import Transformer
from sagemaker.core.workflow.pipeline_context import PipelineSession

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.planned import PlannedEstimator
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk_v3.absent import OF_ESTIMATORS, absent
from sagemaker_custom.sdk_v3.call import shown_signature, tags_as_api
from sagemaker_custom.sdk_v3.job import JobArguments
from sagemaker_custom.sdk_v3.jobs import AwsJob, LocalJob, base_name_of
from sagemaker_custom.sdk_v3.model import ExtendedModel
from sagemaker_custom.sdk_v3.model_arguments import OF_TRANSFORMER
from sagemaker_custom.sdk_v3.packages import ORDER_OF_ESTIMATORS, PackagedModel, of_register

_LIKE_THE_JOB = "VPC_CONFIG_DEFAULT"
"""What the SDK v2 has as a default for ``vpc_config_override``."""


class TrainedEstimator(PlannedEstimator, ABC):
    """The part of the estimators that is about a job they have started, or were attached to."""

    _model_class: ClassVar[type[ExtendedModel]]
    _order: ClassVar[tuple[str, ...]] = ("entry_point", "source_dir", "hyperparameters")
    """Names of the arguments that may be given by place."""
    _named: ClassVar[tuple[str, ...]] = ()
    """Names of the arguments about the framework."""
    _isolates_models: ClassVar[bool] = False
    """Whether the SDK v2 lets an isolated job's model reach no network either."""
    _job: JobArguments
    deploy_instance_type: str | None = None
    """The one last deployed to."""
    latest_training_job: AwsJob | LocalJob | None
    role: str | None

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        named = {field.name for field in fields(JobArguments)}
        cls.__signature__ = shown_signature(cls.__init__, cls._order, {*named, *cls._named, "image_uri"})  # type: ignore[attr-defined]

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise absent(self, name, OF_ESTIMATORS)

    @property
    def model_data(self) -> str:
        """Where the trained model is.

        Raises:
            UsageError: Nothing was trained.
        """
        return self._trained.model_data

    @property
    def _trained(self) -> AwsJob | LocalJob:
        if isinstance(self.sagemaker_session, PipelineSession):
            raise UsageError(
                "there is no trained model while a pipeline is written down",
                hint="make a model with model_data=step.properties.ModelArtifacts.S3ModelArtifacts, and use its "
                "create() or register() in a ModelStep",
            )
        if self.latest_training_job is None:
            raise UsageError(f"{type(self).__name__} has not trained a model", hint="call fit() first")
        return self.latest_training_job

    @property
    def training_job_analytics(self) -> TrainingJobAnalytics:
        """The SDK's view on the metrics of the job.

        Raises:
            UsageError: Nothing was trained.
        """
        return TrainingJobAnalytics(self._trained.name, sagemaker_session=self.sagemaker_session)

    def enable_network_isolation(self) -> bool:
        """Whether the job has no network."""
        return bool(self._job.enable_network_isolation)

    def logs(self) -> None:
        """Print the job's log, until the job has ended.

        Raises:
            UsageError: Nothing was trained.
        """
        self._trained.wait()

    def create_model(self, *, vpc_config_override: Any = _LIKE_THE_JOB, **arguments: Any) -> ExtendedModel:
        """Make the model that ``deploy()`` serves: with the inference image of the pair, not the training image.

        Args:
            vpc_config_override: ``{"Subnets": …, "SecurityGroupIds": …}``, ``None`` for no network of one's own;
                default: the network of the job.
            **arguments: Of the model's class, by the SDK v2's names; ``image_uri`` names another image.
        """
        job = self._job
        image = arguments.pop("image_uri", None) or self.image_uri
        given = {
            "model_data": self.model_data,
            "role": self.role,
            "entry_point": job.entry_point,
            "source_dir": job.source_dir,
            "dependencies": job.dependencies,
            "code_location": job.code_location,
            "model_kms_key": job.output_kms_key,
            "vpc_config": self._network() if vpc_config_override == _LIKE_THE_JOB else vpc_config_override,
            "enable_network_isolation": job.enable_network_isolation if self._isolates_models else None,
            "container_log_level": job.container_log_level,
            "sagemaker_session": self.sagemaker_session,
            **{name: value for name, value in arguments.items() if value is not None},
        }
        model_class, images = self._served_by()
        return model_class.of_estimator(images, image, given)

    def _served_by(self) -> tuple[type[ExtendedModel], ProvidedImages]:
        """Return the class of the model, and its images."""
        return self._model_class, self._images

    def _network(self) -> Mapping[str, Any] | None:
        subnets, groups = self._job.subnets, self._job.security_group_ids
        return {"Subnets": subnets, "SecurityGroupIds": groups} if subnets and groups else None

    def deploy(
        self, initial_instance_count: int | None = None, instance_type: str | None = None, **arguments: Any
    ) -> Any:
        """Serve the trained model, after making sure that the inference image exists.

        Args:
            initial_instance_count: How many machines.
            instance_type: Of what type; ``local`` for a container on this machine.
            **arguments: Of the model's ``deploy()``; what it does not take goes to :meth:`create_model`.

        Raises:
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
            UsageError: Nothing was trained, or the SDK v3 has nothing that does what is asked for.
        """
        self.deploy_instance_type = instance_type
        of_deploy = _taken(arguments, self._model_class.deploy_takes())
        name = name_from_base(self._base_job_name)
        model = self.create_model(**{"name": name, **_named(arguments)})
        # As the SDK v2 has it: the endpoint is called as the model, and has the tags of the job.
        defaults = {"endpoint_name": name, "tags": self._job.tags}
        chosen = {key: of_deploy.get(key) or value for key, value in defaults.items()}
        return model.deploy(initial_instance_count, instance_type, **of_deploy | chosen)

    @property
    def _base_job_name(self) -> str:
        chosen = self._images.base_job_name if self._images.extends else None
        return self._job.base_job_name or chosen or base_name_of(self.training_image_uri())

    @abstractmethod
    def training_image_uri(self, region: str | None = None) -> Any:
        """Return the URI of the training image; builds nothing.

        Args:
            region: Default: the session's.
        """

    def transformer(self, instance_count: Any, instance_type: Any, **arguments: Any) -> Transformer:
        """Return what transforms batches by the trained model, which is created with the inference image.

        Args:
            instance_count: How many machines.
            instance_type: Of what type.
            **arguments: Of the model's ``transformer()``; what it does not take goes to :meth:`create_model`.

        Raises:
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
            UsageError: Nothing was trained, or the SDK v3 has nothing that does what is asked for.
        """
        of_transformer = _taken(arguments, OF_TRANSFORMER)
        of_transformer.setdefault("tags", tags_as_api(self._job.tags))
        model = self.create_model(**_named(arguments))
        return model.transformer(instance_count, instance_type, **of_transformer)

    def register(self, *args: Any, **arguments: Any) -> PackagedModel:
        """Put the trained model into the model registry, with the inference image, after making sure that it exists.

        Args:
            *args: Of the SDK v2's ``register()``, in its order.
            **arguments: Of the SDK v2's ``register()``; what it does not take goes to :meth:`create_model`.

        Raises:
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
            UsageError: Nothing was trained, or the SDK v3 has nothing that does what is asked for.
        """
        given, of_model = of_register(ORDER_OF_ESTIMATORS, args, arguments)
        model: PackagedModel = self.create_model(**_named(of_model)).register(**given)
        return model


def _taken(arguments: dict[str, Any], names: frozenset[str]) -> dict[str, Any]:
    """Take these out of the arguments."""
    return {name: arguments.pop(name) for name in tuple(arguments) if name in names}


def _named(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments for a model, whose own ``name`` is called otherwise where there is an estimator."""
    name = arguments.pop("model_name", None)
    return {**arguments, "name": name} if name else arguments
