"""What every estimator class here adds to the SDK's own: images that are planned and built, and code that is packed."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from sagemaker import git_utils
from sagemaker.estimator import Framework
from sagemaker.fw_utils import UploadedCode
from sagemaker.workflow import is_pipeline_variable

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import UsageError
from sagemaker_custom.image_uris import parse
from sagemaker_custom.sdk.attached import JobImage, extras_of, is_still_made
from sagemaker_custom.sdk.calls import Call, refuse_misspelt, shown_signature
from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk.images import Extras, ImageArguments, Images
from sagemaker_custom.sdk.locks import Locks
from sagemaker_custom.sdk.planned import PlannedEstimator
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk_v2.attached import ATTACHED_IMAGE, completed, described
from sagemaker_custom.sdk_v2.calls import read_call
from sagemaker_custom.sdk_v2.code import Workspace, bundle_of, check_code, staged, upload_code
from sagemaker_custom.sdk_v2.local import CustomLocalSession
from sagemaker_custom.sdk_v2.model import ExtendedModel
from sagemaker_custom.sdk_v2.rules import SdkV2Rules
from sagemaker_custom.settings import Settings

logger = logging.getLogger(__name__)

NO_STOCK_CHECK = "resolved-by-sagemaker-custom"
"""Image URI for the SDK's constructors, which would check their own, older list of versions; replaced at once."""


class ExtendedEstimator(PlannedEstimator, Framework):  # type: ignore[misc]  # the SDK has no types
    """Stands before a class of the SDK among the bases, which then takes these arguments besides its own.

    Args:
        *args: Of the SDK's class.
        extras: What to add to AWS's images: recipes of the catalog (``faiss``, ``faiss==1.8.0``), ``pip:PKG``,
            ``conda:CHANNEL::PKG``, ``apt:PKG``, or the path of a requirements file. None means AWS's images.
        replace: Packages of AWS's image that the extras may replace, for example ``["numpy"]``.
        lock: What to install, decided beforehand: the path of a file that ``sagemaker-custom lock`` wrote, of the
            training image, or ``{"training": …, "inference": …}``.
        image: Name of a named image of the catalog: version, Python and extras that a team has agreed on. ``extras``
            come on top of its own.
        cuda_version: ``cu121`` or ``12.1``; default: what the catalog says for the version.
        serving_version: Which inference image ``deploy()`` takes: of the ``same`` version, the ``nearest`` that is not
            newer where AWS has none of the same, or of a version that you name; default: the settings', ``same``.
        build: What ``fit()`` and ``deploy()`` do about a missing image: build it (``if-missing``), build it
            afresh even if it is there (``always``), or raise (``never``).
        builder: ``append`` (no Docker needed, for what is installed by pip), ``docker``, or ``auto`` to have it chosen.
        catalog: Folders or ``s3://`` prefixes of team catalogs, besides those of the settings.
        settings: Default: the environment's and the configuration file's.
        **kwargs: Of the SDK's class. Versions and Python may be left out: the newest that both training and inference
            have, and what that has. An ``image_uri`` is your own image, used untouched; it excludes ``extras``.

    Raises:
        UsageError: Arguments contradict each other or cannot be read; also a ``ValueError``.
        ImageNotInCatalogError: The catalog has no such version, Python or CUDA; names the nearest.
    """

    _dialect: ClassVar[Dialect]
    _model_class: ClassVar[type[ExtendedModel]]
    _placeholder: ClassVar[str | None] = NO_STOCK_CHECK
    _images: ProvidedImages
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
        attached_image = kwargs.pop(ATTACHED_IMAGE, None)
        call = read_call(super().__init__, args, kwargs)
        given = call.given
        refuse_misspelt(type(self), ExtendedEstimator, given)
        asked = self._dialect.asked(call)
        image_uri = given.pop("image_uri", None)
        if attached_image:
            extras, replace = extras_of(attached_image, given.get("sagemaker_session"), settings)
            cuda_version = parse(attached_image).cuda_version
        self._images = Images(
            ImageArguments(
                framework=asked.framework,
                framework_version=asked.version,
                py_version=asked.py_version,
                base_framework_version=asked.base_framework_version,
                serves_any_python=self._dialect.serves_any_python,
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
                serving_version=serving_version,
            ),
            "training",
        )
        feature = self._feature_with_an_image(call, extras) if image_uri is None else None
        use_local_session(given)
        self._sdk_chooses_image = feature is not None
        is_ours = image_uri is None and feature is None
        if is_ours or (self._dialect.always_versioned and asked.version is None):
            given |= self._dialect.filled(call, self._images.fill_in(given.get("instance_type")))
        if self._images.extends:
            given.setdefault("base_job_name", self._images.base_job_name)
        super().__init__(**given, image_uri=self._placeholder if is_ours else image_uri)
        # A training recipe brings its image, or an empty text for none.
        self.image_uri = (self.image_uri or None) if feature else image_uri
        self._image_uri_region = given.get("image_uri_region")
        self._workspace = None
        if attached_image and not is_still_made(attached_image, str(self.training_image_uri())):
            logger.warning("the job trained with %s; fit() would use %s now", attached_image, self.training_image_uri())

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Show the arguments of the SDK's class and those added here as one signature."""
        super().__init_subclass__(**kwargs)
        if "__init__" in vars(cls):
            cls.__signature__ = inspect.signature(cls.__init__.__get__(object()))
        elif ExtendedEstimator in cls.__bases__:
            cls.__signature__ = shown_signature(ExtendedEstimator.__init__, super().__init__)

    def _feature_with_an_image(self, call: Call, extras: Extras) -> str | None:
        feature = feature_with_an_image(call)
        if feature and self._images.extends:
            raise UsageError(
                f"extras={extras!r} cannot be put into the image that AWS publishes for {feature}",
                hint="leave extras out and install them by a requirements.txt in source_dir, or give image_uri=",
            )
        return feature

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
        return self._images.uri(
            "training", self._get_instance_type(), self.sagemaker_session, region or self._image_uri_region
        )

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Train, as the SDK's ``fit`` does, after making sure that the image exists.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
        """
        try:
            return super().fit(*args, **kwargs)
        finally:
            # Local training is over when the call is.
            if self._workspace is not None:
                self._workspace.remove()

    def provide_image(self) -> None:
        """Make sure that the training image exists, as ``build=`` says; nothing for an image of your own."""
        if self.image_uri is None and not self._sdk_chooses_image:
            self._images.provide("training", self._get_instance_type(), self.sagemaker_session, self._image_uri_region)

    def _prepare_for_training(self, job_name: str | None = None) -> None:
        # Tuners and processors come by here too.
        if not self.git_config:
            check_code(self)
        self.provide_image()
        session = self.sagemaker_session
        if not (isinstance(session, CustomLocalSession) and session.uses_local_code):
            super()._prepare_for_training(job_name)
            return
        with _cloned(self):
            code = bundle_of(self, cache_dir=self._images.cache_dir)
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

    def create_model(self, *args: Any, **kwargs: Any) -> Any:
        """Make the model that ``deploy()`` serves: with the inference image of the pair, not the training image.

        Takes the arguments of the SDK's ``create_model``. An ``image_uri`` that the estimator was given serves too, as
        it does in the SDK; give another one as ``image_uri=``.
        """
        if self.image_uri is not None and kwargs.get("image_uri") is None:
            logger.warning("deploying %s, which was given for training; image_uri= names another", self.image_uri)
        if self._clone and not kwargs.get("dependencies"):
            kwargs["dependencies"] = self._clone["dependencies"]
        return self._extended_model(super().create_model(*args, **kwargs))

    def _extended_model(self, model: Any) -> Any:
        return self._model_class.taken_over(model, self._images)

    @classmethod
    def _prepare_init_params_from_job_description(
        cls, job_details: dict[str, Any], model_channel_name: str | None = None
    ) -> dict[str, Any]:
        job_details = with_resource_config(job_details)
        image = JobImage.of(job_details, cls._dialect)
        prepare = super()._prepare_init_params_from_job_description
        if image is None:
            return dict(prepare(job_details, model_channel_name))
        arguments = prepare(described(image, job_details, cls._dialect), model_channel_name)
        return completed(image, arguments, cls._dialect)

    def _model_source_dir(self) -> Any:
        if self._clone and self.sagemaker_session.local_mode:
            return self._clone["source_dir"]
        return super()._model_source_dir()

    def _model_entry_point(self) -> Any:
        if self._clone and self.sagemaker_session.local_mode:
            return self._clone["entry_point"]
        return super()._model_entry_point()

    def _stage_user_code_in_s3(self) -> UploadedCode:
        code = bundle_of(self, cache_dir=self._images.cache_dir)
        return super()._stage_user_code_in_s3() if code is None else upload_code(self, code, self._images)


def feature_with_an_image(call: Call) -> str | None:
    """Name the feature, if one is asked for, whose training images AWS publishes apart from those of the catalog."""
    distribution: Mapping[str, Any] = call.get("distribution") or {}
    if call.get("training_recipe") is not None:
        return "training recipes"
    if call.get("compiler_config"):
        return "SageMaker Training Compiler"
    parallel = (distribution.get("smdistributed") or {}).get("modelparallel")
    if "torch_distributed" in distribution and parallel is not None and parallel.get("enabled", True):
        return "SageMaker's model parallelism library"
    return None


def with_resource_config(job_details: dict[str, Any]) -> dict[str, Any]:
    """Return a job's description with its machines under the one name that the SDK reads: a tuner writes another."""
    if "HyperParameterTuningResourceConfig" not in job_details:
        return job_details
    return {"ResourceConfig": job_details["HyperParameterTuningResourceConfig"], **job_details}


def use_local_session(kwargs: dict[str, Any]) -> None:
    """Give local mode a session, and a role, that need no AWS account."""
    if not is_pipeline_variable(kwargs.get("instance_type")):
        CustomLocalSession.use_in(kwargs)


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
