"""What every estimator class here is: the SDK v2's arguments and results, over the SDK v3's ``ModelTrainer``."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from sagemaker.core.common_utils import name_from_base
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import SourceCode
from sagemaker.core.workflow import is_pipeline_variable
from sagemaker.core.workflow.pipeline_context import PipelineSession
from sagemaker.train.model_trainer import Mode
from typing_extensions import Self

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.attached import is_still_made
from sagemaker_custom.sdk.calls import Call
from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk.images import Extras, ImageArguments, Images
from sagemaker_custom.sdk.local_folders import remove_folder
from sagemaker_custom.sdk.locks import Locks
from sagemaker_custom.sdk.workspace import Workspace
from sagemaker_custom.sdk_v3.attached import SubmittedCode, image_arguments, job_arguments, submitted_code
from sagemaker_custom.sdk_v3.call import named_call, tags_of
from sagemaker_custom.sdk_v3.channels import channels_of, model_channel
from sagemaker_custom.sdk_v3.job import JobArguments, distributed_of
from sagemaker_custom.sdk_v3.jobs import AwsJob, NamedTrainer, train_here
from sagemaker_custom.sdk_v3.local import CustomLocalSession
from sagemaker_custom.sdk_v3.rules import SdkV3Rules
from sagemaker_custom.sdk_v3.script import check_script_values
from sagemaker_custom.sdk_v3.source import code_place, requirements_of, upload_bundle
from sagemaker_custom.sdk_v3.trained import TrainedEstimator
from sagemaker_custom.settings import Settings
from sagemaker_custom.source import SourceBundle, bundle, stage

logger = logging.getLogger(__name__)


class ExtendedEstimator(TrainedEstimator):
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
        if not is_pipeline_variable(rest.get("instance_type")):
            CustomLocalSession.use_in(rest)
        self._job = JobArguments.read(rest, frozenset(of_the_framework))
        self._settings = settings or Settings.load()
        self.image_uri = call.get("image_uri")
        for name in self._named:
            setattr(self, name, call.get(name))
        self.instance_type, self.instance_count = self._job.instance_type, self._job.instance_count
        self.sagemaker_session = self._job.sagemaker_session
        self.role = self._job.role
        self._hyperparameters = dict(self._job.hyperparameters or {})
        self._workspace: Workspace | None = None
        self._submitted: SubmittedCode | None = None
        self.latest_training_job = None
        if self.sagemaker_session is None:
            self.sagemaker_session = Session()

    @property
    def _is_local(self) -> bool:
        return isinstance(self.sagemaker_session, CustomLocalSession)

    @property
    def _starts_script(self) -> bool:
        """Whether the SDK starts a script; else the image's own program answers ``train``."""
        return self._job.entry_point is not None

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

    def _instance_type_for(self, image_scope: str, instance_type: str | None) -> Any:
        if instance_type is None and image_scope == "inference":
            instance_type = self.deploy_instance_type
        return instance_type or self.instance_type

    def training_image_uri(self, region: str | None = None) -> Any:
        """Return the URI of the training image, which may be a parameter of a pipeline; builds nothing."""
        if self.image_uri is not None:
            return self.image_uri
        region = region or self._job.image_uri_region
        return self._images.uri("training", self.instance_type, self.sagemaker_session, region)

    def provide_image(self) -> Any:
        """Make sure that the training image exists, as ``build=`` says, and return its URI."""
        if self.image_uri is not None:
            return self.image_uri
        region = self._job.image_uri_region
        return self._images.provide(
            "training", self.instance_type, self.sagemaker_session, region, starts_script=self._starts_script
        )

    def model_trainer(self) -> NamedTrainer:
        """Make the SDK v3's ``ModelTrainer`` that ``fit()`` runs: image made sure of, code uploaded.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
        """
        if self._is_local:
            self._job.check_local()
        packed = self._packed()
        image = self.provide_image()
        job = self._job
        optional = {
            "networking": job.networking(),
            "checkpoint_config": job.checkpoint(),
            "training_image_config": job.image_config(),
            "distributed": self._submitted.distributed if self._submitted else distributed_of(job.distribution),
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
            environment=job.container_environment(),
            hyperparameters=self.hyperparameters(),
            role=self.role,
            sagemaker_session=self.sagemaker_session,
            **{name: value for name, value in optional.items() if value is not None},
        )
        job.add_to(trainer)
        return trainer

    def _place(self) -> dict[str, Any]:
        if self._is_local:
            # Containers of another user than ours leave caches of Python there; it goes with a container's help.
            self._workspace = self.sagemaker_session.working_folder()
            here = {"training_mode": Mode.LOCAL_CONTAINER, "local_container_root": str(self._workspace.path)}
            return {**here, "output_data_config": self._job.output("")}
        session = self.sagemaker_session
        where = "/".join(filter(None, (f"s3://{session.default_bucket()}", session.default_bucket_prefix)))
        return {"output_data_config": self._job.output(f"{where}/")}

    def _packed(self) -> SourceBundle | None:
        source_dir = self._job.source_dir
        if self._job.entry_point is None or (source_dir or "").startswith("s3://"):
            return None
        cache = Path(self._settings.cache_dir)
        return bundle(self._job.entry_point, source_dir, self._job.dependencies or (), cache_dir=cache)

    def _source_code(self, packed: SourceBundle | None) -> SourceCode | None:
        if self._submitted is not None:
            return self._submitted.source
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
        channels = channels_of(inputs)
        if self._job.model_uri is not None:
            channels.append(model_channel(self._job.model_channel_name, self._job.model_uri))
        if self._job.entry_point is not None:
            check_script_values(self._hyperparameters, channels)
        trainer = self.model_trainer()
        if self._is_local:
            self._fit_here(trainer, channels, job_name)
            return None
        trainer.name_next_job(job_name)
        step = trainer.train(input_data_config=channels or None, wait=wait, logs=bool(logs) and wait)
        if not isinstance(self.sagemaker_session, PipelineSession):
            job = trainer._latest_training_job  # noqa: SLF001 - the SDK says to read it there
            self.latest_training_job = AwsJob(job=job, sagemaker_session=self.sagemaker_session)
        return step

    def _fit_here(self, trainer: NamedTrainer, channels: Sequence[Any], job_name: str | None) -> None:
        # All sessions of the process know the jobs of this machine by their names.
        trainer.name_next_job(job_name or f"{name_from_base(trainer.base_job_name)}-{secrets.token_hex(3)}")
        try:
            self.latest_training_job = train_here(trainer, channels, self.sagemaker_session)
        finally:
            # Local training is over when the call is.
            remove_folder(Path(trainer.local_container_root), str(trainer.training_image))
            trainer.forget_drivers()

    @classmethod
    def attach(
        cls, training_job_name: str, sagemaker_session: Any = None, model_channel_name: str | None = "model"
    ) -> Self:
        """Make the estimator of a job again, which either line of the SDK has started, and wait for the job's end.

        Args:
            training_job_name: Of the job.
            sagemaker_session: The SDK's; default: a new one.
            model_channel_name: Of the channel with a model that was trained before, if there is one.

        Raises:
            UsageError: The image is one of another framework, or does not say what it was extended by.
            ImageMissingError: It is not there any more, and with it what it was extended by.
        """
        session = sagemaker_session or Session()
        client = session.sagemaker_client
        details = client.describe_training_job(TrainingJobName=training_job_name)
        arguments = {
            **job_arguments(details, model_channel_name),
            **cls._asking_for_the_image(details, session),
            "tags": client.list_tags(ResourceArn=details["TrainingJobArn"])["Tags"],
        }
        code = submitted_code(details, session)
        if code is not None:
            arguments |= {"entry_point": code.source.entry_script, "source_dir": code.source.source_dir}
        estimator = cls(**arguments, sagemaker_session=session)
        estimator._take_up(AwsJob.named(training_job_name, session), code)
        return estimator

    @classmethod
    def _asking_for_the_image(cls, details: Mapping[str, Any], session: Any) -> dict[str, Any]:
        return image_arguments(details, cls._dialect, session)

    def _take_up(self, job: AwsJob, code: SubmittedCode | None) -> None:
        self._submitted, self.latest_training_job = code, job
        then, now = job.image_uri, self.training_image_uri()
        if self._images.extends and not is_still_made(then, now):
            logger.warning("the job trained with %s; fit() would use %s now", then, now)
        job.wait(logs=None)
