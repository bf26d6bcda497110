"""What every estimator class here is: the SDK v2's arguments and results, over the SDK v3's ``ModelTrainer``."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sagemaker.core.common_utils import name_from_base
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import SourceCode
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.train.model_trainer import Mode

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import UsageError
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.sdk.calls import Call
from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk.images import Extras, ImageArguments, Images
from sagemaker_custom.sdk.locks import Locks, OneLock, read_locks
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk.rules import LOCAL_INSTANCE_TYPES, LOCAL_ROLE
from sagemaker_custom.sdk.workspace import Workspace
from sagemaker_custom.sdk_v3.call import named_call, tags_of
from sagemaker_custom.sdk_v3.channels import channels_of, model_channel
from sagemaker_custom.sdk_v3.job import JobArguments, distributed_of
from sagemaker_custom.sdk_v3.jobs import AwsJob, LocalJob, NamedTrainer, base_name_of
from sagemaker_custom.sdk_v3.local import clean_up
from sagemaker_custom.sdk_v3.model import ExtendedModel
from sagemaker_custom.sdk_v3.rules import SdkV3Rules
from sagemaker_custom.sdk_v3.source import code_place, requirements_of, upload_bundle
from sagemaker_custom.settings import Settings
from sagemaker_custom.source import SourceBundle, bundle, stage

logger = logging.getLogger(__name__)


class ExtendedEstimator:
    """Takes what the SDK v2's estimators take, and these arguments besides; runs on the SDK v3.

    Args:
        *args: Of the SDK v2's class, in its order.
        extras: What to add to AWS's images: recipes of the catalog (``faiss``, ``faiss==1.8.0``), ``pip:PKG``,
            ``conda:CHANNEL::PKG``, ``apt:PKG``, or the path of a requirements file. None means AWS's images.
        replace: Packages of AWS's image that the extras may replace, for example ``["numpy"]``.
        lock: What to install, decided beforehand: the path of a file that ``sagemaker-custom lock`` wrote, of the
            training image, or ``{"training": …, "inference": …}``.
        image: Name of a named image of the catalog.
        cuda_version: ``cu121`` or ``12.1``; default: what the catalog says for the version.
        serving_version: Which inference image ``deploy()`` takes; default: the settings', ``same``.
        build: What ``fit()`` and ``deploy()`` do about a missing image: build it (``if-missing``), build it afresh
            (``always``), or raise (``never``).
        builder: ``append``, ``docker``, ``codebuild``, or ``auto`` to have it chosen.
        catalog: Folders or ``s3://`` prefixes of team catalogs, besides those of the settings.
        settings: Default: the environment's and the configuration file's.
        **kwargs: Of the SDK v2's class, by its names. An ``image_uri`` is your own image, used untouched; it excludes
            ``extras``.

    Raises:
        UsageError: Arguments contradict each other or cannot be read, or the SDK v3 has nothing that does what one asks
            for; also a ``ValueError``.
        ImageNotInCatalogError: The catalog has no such version, Python or CUDA; names the nearest.
    """

    _dialect: ClassVar[Dialect]
    _model_class: ClassVar[type[ExtendedModel]]
    _order: ClassVar[tuple[str, ...]] = ("entry_point", "source_dir", "hyperparameters")
    """Names of the arguments that may be given by place."""
    _named: ClassVar[tuple[str, ...]] = ()
    """Names of the arguments about the framework."""
    _isolates_models: ClassVar[bool] = False
    """Whether the SDK v2 lets an isolated job's model reach no network either."""
    _images: ProvidedImages

    def __init__(
        self,
        *args: Any,
        extras: Extras = (),
        replace: Sequence[str] | str = (),
        lock: Locks = None,
        image: str | None = None,
        cuda_version: str | None = None,
        serving_version: str | None = None,
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
                serves_any_python=self._dialect.serves_any_python,
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
                serving_version=serving_version,
                rules=SdkV3Rules(),
            ),
            "training",
        )
        self._images = images
        if self.image_uri is None:
            for name, value in self._dialect.filled(call, images.fill_in(self.instance_type)).items():
                setattr(self, name, value)

    def _read(self, call: Call, settings: Settings | None) -> None:
        """Keep all that is not about the choice of the image."""
        of_the_framework = {*self._named, "image_uri"}
        rest = {name: value for name, value in call.given.items() if name not in of_the_framework}
        self._job = JobArguments.read(rest, frozenset(of_the_framework))
        self._settings = settings or Settings.load()
        self.image_uri = call.get("image_uri")
        for name in self._named:
            setattr(self, name, call.get(name))
        self.instance_type, self.instance_count = self._job.instance_type, self._job.instance_count
        self.sagemaker_session = self._job.sagemaker_session
        self.role = self._job.role or (LOCAL_ROLE if self._is_local else None)
        self._hyperparameters = dict(self._job.hyperparameters or {})
        self._workspace: Workspace | None = None
        self.latest_training_job: AwsJob | LocalJob | None = None
        if self.sagemaker_session is None and not self._is_local:
            self.sagemaker_session = Session()

    @property
    def _is_local(self) -> bool:
        return self.instance_type in LOCAL_INSTANCE_TYPES

    @property
    def entry_point(self) -> str | None:
        """The script."""
        return self._job.entry_point

    @property
    def source_dir(self) -> str | None:
        """The folder of the code."""
        return self._job.source_dir

    def hyperparameters(self) -> Mapping[str, Any]:
        """Return those that the script gets."""
        return dict(self._hyperparameters)

    def set_hyperparameters(self, **hyperparameters: Any) -> None:
        """Add to them."""
        self._hyperparameters |= hyperparameters

    def plan_image(self, image_scope: str = "training", instance_type: str | None = None) -> BuildPlan:
        """Say which image would be used or built, and why, without any side effect.

        Args:
            image_scope: ``training`` or ``inference``.
            instance_type: Default: the estimator's.

        Raises:
            ImageNotInCatalogError: The catalog has no such image.
            UsageError: It is a given ``image_uri``: nothing is planned here.
        """
        if self.image_uri is not None:
            raise UsageError(
                f"there is nothing to plan: {self.image_uri} is used as it is", hint="leave image_uri out to extend one"
            )
        return self._images.plan(image_scope, instance_type or self.instance_type, self.sagemaker_session)

    def build_image(
        self, image_scope: str = "training", instance_type: str | None = None, lock: OneLock | None = None
    ) -> str:
        """Build the image now, unless it is there, whatever ``build=`` says about jobs, and return its URI.

        Args:
            image_scope: ``training`` or ``inference``.
            instance_type: As for :meth:`plan_image`.
            lock: What to install, decided beforehand; default: what the estimator was given.

        Raises:
            BuildError: It could not be built.
            RegistryError: It could not be pushed.
        """
        if self.image_uri is not None:
            return str(self.image_uri)
        return self._images.provide(
            image_scope,
            instance_type or self.instance_type,
            self.sagemaker_session,
            policy="always" if self._images.policy == "always" else "if-missing",
            lock=read_locks(lock, image_scope).get(image_scope),
        )

    def training_image_uri(self, region: str | None = None) -> str:
        """Return the URI of the training image; builds nothing."""
        if self.image_uri is not None:
            return str(self.image_uri)
        region = region or self._job.image_uri_region
        return self._images.uri("training", self.instance_type, self.sagemaker_session, region)

    def provide_image(self) -> str:
        """Make sure that the training image exists, as ``build=`` says, and return its URI."""
        if self.image_uri is not None:
            return str(self.image_uri)
        region = self._job.image_uri_region
        return self._images.provide("training", self.instance_type, self.sagemaker_session, region)

    def model_trainer(self) -> NamedTrainer:
        """Make the SDK v3's ``ModelTrainer`` that ``fit()`` runs: image made sure of, code uploaded.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
        """
        packed = self._packed()
        image = self.provide_image()
        job = self._job
        optional = {
            "networking": job.networking(),
            "checkpoint_config": job.checkpoint(),
            "training_image_config": job.image_config(),
            "distributed": distributed_of(job.distribution),
            "tags": tags_of(job.tags),
            "base_job_name": self._base_job_name,
            **self._place(),
        }
        trainer = NamedTrainer(
            training_image=image,
            source_code=self._source_code(packed),
            compute=job.compute(),
            stopping_condition=job.stopping(),
            training_input_mode=job.input_mode,
            environment=self._environment(),
            hyperparameters=self.hyperparameters(),
            role=self.role,
            sagemaker_session=self.sagemaker_session,
            **{name: value for name, value in optional.items() if value is not None},
        )
        job.add_to(trainer)
        return trainer

    @property
    def _base_job_name(self) -> str:
        chosen = self._images.base_job_name if self._images.extends else None
        return self._job.base_job_name or chosen or base_name_of(self.training_image_uri())

    def _place(self) -> dict[str, Any]:
        if self._is_local:
            # The SDK would leave its folders where the program runs; Compose calls containers after the folder.
            self._workspace = Workspace()
            root = self._workspace.path / self._workspace.path.name
            root.mkdir()
            return {"training_mode": Mode.LOCAL_CONTAINER, "local_container_root": str(root)}
        session = self.sagemaker_session
        where = "/".join(filter(None, (f"s3://{session.default_bucket()}", session.default_bucket_prefix)))
        return {"output_data_config": self._job.output(f"{where}/")}

    def _environment(self) -> dict[str, Any]:
        level = {} if self._job.container_log_level == 20 else {"SM_LOG_LEVEL": str(self._job.container_log_level)}
        return {**level, **(self._job.environment or {})}

    def _packed(self) -> SourceBundle | None:
        source_dir = self._job.source_dir
        if self._job.entry_point is None or (source_dir or "").startswith("s3://"):
            return None
        cache = Path(self._settings.cache_dir)
        return bundle(self._job.entry_point, source_dir, self._job.dependencies or (), cache_dir=cache)

    def _source_code(self, packed: SourceBundle | None) -> SourceCode | None:
        if packed is None:
            given = self._job.source_dir
            return SourceCode(source_dir=given, entry_script=self._job.entry_point) if given else None
        if self._workspace is not None:
            place = str(stage(packed, self._workspace.path))
        else:
            session, settings, job = self.sagemaker_session, self._settings, self._job
            location, kms_key = code_place(
                code_location=job.code_location,
                output_path=job.output_path,
                kms_key=job.output_kms_key,
                session=session,
            )
            place = upload_bundle(packed, session, code_location=location, kms_key=kms_key, settings=settings).uri
        # The training toolkit, which scripts run by on the SDK v2, installs from it unasked.
        return SourceCode(source_dir=place, entry_script=packed.script_name, requirements=requirements_of(packed))

    def fit(
        self,
        inputs: Any = None,
        wait: bool = True,
        logs: Any = "All",
        job_name: str | None = None,
        experiment_config: Mapping[str, str] | None = None,
    ) -> Any:
        """Train, after making sure that the image exists.

        Args:
            inputs: As the SDK v2's estimators take them.
            wait: Whether to return when the job has ended.
            logs: Whether to print its log.
            job_name: Default: one that is made up.
            experiment_config: Not for the SDK v3.

        Returns:
            ``None``; with a ``PipelineSession`` what ``TrainingStep(step_args=…)`` takes.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
            UsageError: The SDK v3 has nothing that does what is asked for.
        """
        if experiment_config:
            raise UsageError(
                f"experiment_config={experiment_config!r} cannot be done with the SDK v3",
                hint="use MLflow, as the SDK v3 does: sagemaker.core.mlflow",
            )
        trainer = self.model_trainer()
        channels = channels_of(inputs)
        if self._job.model_uri is not None:
            channels.append(model_channel(self._job.model_channel_name, self._job.model_uri))
        trainer.name_next_job(job_name)
        try:
            step = trainer.train(input_data_config=channels or None, wait=wait, logs=bool(logs) and wait)
        finally:
            if self._is_local:
                clean_up(Path(trainer.local_container_root))
        if not isinstance(self.sagemaker_session, PipelineSession):
            self.latest_training_job = self._job_of(trainer, job_name)
        return step

    def _job_of(self, trainer: NamedTrainer, job_name: str | None) -> AwsJob | LocalJob:
        if self._is_local:
            return LocalJob(name=job_name or trainer.base_job_name, folder=Path(trainer.local_container_root))
        return AwsJob(job=trainer._latest_training_job)  # noqa: SLF001 - the SDK says to read it there

    @property
    def model_data(self) -> str:
        """Where the trained model is.

        Raises:
            UsageError: Nothing was trained.
        """
        if self.latest_training_job is None:
            raise UsageError(f"{type(self).__name__} has not trained a model", hint="call fit() first")
        return self.latest_training_job.model_data

    def create_model(self, **arguments: Any) -> ExtendedModel:
        """Make the model that ``deploy()`` serves: with the inference image of the pair, not the training image.

        Args:
            **arguments: Of the model's class, by the SDK v2's names; ``image_uri`` names another image.
        """
        job = self._job
        network = {"Subnets": job.subnets, "SecurityGroupIds": job.security_group_ids}
        image = arguments.pop("image_uri", None) or self.image_uri
        given = {
            "model_data": self.model_data,
            "role": self.role,
            "entry_point": job.entry_point,
            "source_dir": job.source_dir,
            "dependencies": job.dependencies,
            "code_location": job.code_location,
            "vpc_config": network if job.subnets and job.security_group_ids else None,
            "enable_network_isolation": job.enable_network_isolation if self._isolates_models else None,
            "container_log_level": job.container_log_level,
            "sagemaker_session": self.sagemaker_session,
            **arguments,
        }
        return self._model_class.of_estimator(self._images, image, given, workspace=self._workspace)

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
        of_deploy = {name: arguments.pop(name) for name in tuple(arguments) if name in self._model_class.deploy_takes()}
        name = name_from_base(self._base_job_name)
        model = self.create_model(**{"name": arguments.pop("model_name", None) or name, **arguments})
        of_deploy |= {
            "endpoint_name": of_deploy.get("endpoint_name") or name,
            "tags": of_deploy.get("tags") or self._job.tags,
        }
        return model.deploy(initial_instance_count, instance_type, **of_deploy)
