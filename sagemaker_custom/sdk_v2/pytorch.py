"""``CustomPyTorch``, its model and its predictor: the SDK's PyTorch classes with images that are extended on demand."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker.deprecations import renamed_kwargs
from sagemaker.pytorch import PyTorch, PyTorchModel, PyTorchPredictor
from sagemaker.vpc_utils import VPC_CONFIG_DEFAULT

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk_v2.code import Workspace
from sagemaker_custom.sdk_v2.estimator import NO_STOCK_CHECK, ExtendedEstimator, use_local_session
from sagemaker_custom.sdk_v2.images import ImageArguments, Images
from sagemaker_custom.sdk_v2.model import ExtendedModel
from sagemaker_custom.settings import Settings

logger = logging.getLogger(__name__)

_FRAMEWORK = "pytorch"


def _feature_with_an_image(distribution: Any, kwargs: Mapping[str, Any]) -> str | None:
    """Name the feature, if one is asked for, whose training images AWS publishes apart from those of the catalog."""
    distribution = distribution or {}
    if kwargs.get("training_recipe") is not None:
        return "training recipes"
    if kwargs.get("compiler_config"):
        return "SageMaker Training Compiler"
    parallel = (distribution.get("smdistributed") or {}).get("modelparallel")
    if "torch_distributed" in distribution and parallel is not None and parallel.get("enabled", True):
        return "SageMaker's model parallelism library"
    return None


class CustomPyTorchPredictor(PyTorchPredictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``PyTorchPredictor``, for endpoints of :class:`CustomPyTorch`."""


class CustomPyTorch(ExtendedEstimator, PyTorch):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``PyTorch`` estimator with a few packages more in its images.

    Args:
        entry_point: Script that trains; with a ``source_dir``, a path inside it.
        framework_version: ``2.3`` or ``2.3.0``; default: the newest that both training and inference have.
        py_version: ``py311`` or ``3.11``; default: what the version has.
        source_dir: Folder of the code, or its ``s3://…/sourcedir.tar.gz``.
        hyperparameters: For the script.
        image_uri: Your own image, used untouched; excludes ``extras``.
        distribution: As the SDK takes it; also for versions that the SDK does not list.
        extras: What to add to AWS's images: recipes of the catalog (``faiss``, ``faiss==1.8.0``), ``pip:PKG``,
            ``conda:CHANNEL::PKG``, ``apt:PKG``, or the path of a requirements file. None means AWS's images.
        image: Name of a named image of the catalog: version, Python and extras that a team has agreed on. ``extras``
            come on top of its own.
        cuda_version: ``cu121`` or ``12.1``; default: what the catalog says for the version.
        serving_version: Which inference image ``deploy()`` takes: of the ``same`` version, the ``nearest`` that is not
            newer where AWS has none of the same, or of a version that you name; default: the settings', ``same``.
        build: What ``fit()`` and ``deploy()`` do about a missing image: build it (``if-missing``), build it
            afresh even if it is there (``always``), or raise (``never``).
        builder: ``docker``, or ``auto`` to have it chosen.
        catalog: Folders or ``s3://`` prefixes of team catalogs, besides those of the settings.
        settings: Default: the environment's and the configuration file's.
        **kwargs: Every other argument of ``sagemaker.pytorch.PyTorch``.

    Raises:
        UsageError: Arguments contradict each other or cannot be read; also a ``ValueError``.
        ImageNotInCatalogError: The catalog has no such version, Python or CUDA; names the nearest.
    """

    def __init__(
        self,
        entry_point: Any = None,
        framework_version: str | None = None,
        py_version: str | None = None,
        source_dir: Any = None,
        hyperparameters: dict[str, Any] | None = None,
        image_uri: Any = None,
        distribution: dict[str, Any] | None = None,
        extras: Sequence[str | os.PathLike[str]] | str = (),
        image: str | None = None,
        cuda_version: str | None = None,
        serving_version: str | None = None,
        build: str = "if-missing",
        builder: str = "auto",
        catalog: Locations = (),
        settings: Settings | None = None,
        **kwargs: Any,
    ) -> None:
        # The SDK still takes these names of its version 1.
        image_uri = renamed_kwargs("image_name", "image_uri", image_uri, kwargs)
        kwargs = {name: value for name, value in kwargs.items() if name not in ("image_name", "image_uri")}
        renamed_kwargs("train_instance_type", "instance_type", None, kwargs)
        self._images = Images(
            ImageArguments(
                framework=_FRAMEWORK,
                framework_version=framework_version,
                py_version=py_version,
                image_uri=image_uri,
                extras=extras,
                image=image,
                cuda_version=cuda_version,
                build=build,
                builder=builder,
                catalog=catalog,
                session=kwargs.get("sagemaker_session"),
                settings=settings,
                serving_version=serving_version,
            ),
            "training",
        )
        feature = _feature_with_an_image(distribution, kwargs) if image_uri is None else None
        if feature and self._images.extends:
            raise UsageError(
                f"extras={extras!r} cannot be put into the image that AWS publishes for {feature}",
                hint="leave extras out and install them by a requirements.txt in source_dir, or give image_uri=",
            )
        self._sdk_chooses_image = feature is not None
        if image_uri is None and not feature:
            filled_version, py_version = self._images.fill_in(kwargs.get("instance_type"))
            framework_version = framework_version or filled_version
        use_local_session(kwargs)
        if self._images.extends:
            kwargs.setdefault("base_job_name", self._images.base_job_name)
        super().__init__(
            entry_point,
            framework_version,
            py_version,
            source_dir,
            hyperparameters,
            image_uri=NO_STOCK_CHECK if image_uri is None and not feature else image_uri,
            distribution=distribution,
            **kwargs,
        )
        # A training recipe brings its image, or an empty text for none.
        self.image_uri = (self.image_uri or None) if feature else image_uri
        self._workspace: Workspace | None = None

    def create_model(
        self,
        model_server_workers: Any = None,
        role: str | None = None,
        vpc_config_override: Any = VPC_CONFIG_DEFAULT,
        entry_point: str | None = None,
        source_dir: str | None = None,
        dependencies: list[str] | None = None,
        **kwargs: Any,
    ) -> CustomPyTorchModel:
        """Make the model that ``deploy()`` serves: with the inference image of the pair, not the training image.

        Takes the arguments of ``sagemaker.pytorch.PyTorch.create_model``. An ``image_uri`` that the estimator was
        given serves too, as it does in the SDK; give another one as ``image_uri=``.
        """
        if self.image_uri is not None and "image_uri" not in kwargs:
            logger.warning("deploying %s, which was given for training; image_uri= names another", self.image_uri)
        kwargs.setdefault("image_uri", self.image_uri)
        kwargs["name"] = self._get_or_create_name(kwargs.get("name"))
        return CustomPyTorchModel(
            self.model_data,
            role or self.role,
            entry_point or self._model_entry_point(),
            framework_version=self.framework_version,
            py_version=self.py_version,
            source_dir=source_dir or self._model_source_dir(),
            container_log_level=self.container_log_level,
            code_location=self.code_location,
            model_server_workers=model_server_workers,
            sagemaker_session=self.sagemaker_session,
            vpc_config=self.get_vpc_config(vpc_config_override),
            dependencies=dependencies or (self._clone or {}).get("dependencies") or self.dependencies,
            images=self._images,
            **kwargs,
        )


class CustomPyTorchModel(ExtendedModel, PyTorchModel):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``PyTorchModel`` with a few packages more in its image.

    Args:
        model_data: ``s3://…/model.tar.gz``; in local mode ``file://…`` too.
        role: That the endpoint assumes; in local mode none is needed.
        entry_point: Script with ``model_fn`` and the like.
        framework_version: As :class:`CustomPyTorch` takes it.
        py_version: As :class:`CustomPyTorch` takes it.
        image_uri: Your own image, used untouched; excludes ``extras``.
        predictor_cls: What ``deploy()`` returns.
        model_server_workers: Default: one a CPU.
        extras: As :class:`CustomPyTorch` takes them.
        image: As :class:`CustomPyTorch` takes it.
        cuda_version: As :class:`CustomPyTorch` takes it.
        build: As :class:`CustomPyTorch` takes it.
        builder: As :class:`CustomPyTorch` takes it.
        catalog: As :class:`CustomPyTorch` takes it.
        settings: As :class:`CustomPyTorch` takes them.
        images: The estimator's, when it makes the model; the arguments about images do not count then.
        **kwargs: Every other argument of ``sagemaker.pytorch.PyTorchModel``.

    Raises:
        UsageError: Arguments contradict each other or cannot be read; also a ``ValueError``.
        ImageNotInCatalogError: The catalog has no such version, Python or CUDA; names the nearest.
    """

    def __init__(
        self,
        model_data: Any,
        role: str | None = None,
        entry_point: Any = None,
        framework_version: str | None = None,
        py_version: str | None = None,
        image_uri: Any = None,
        predictor_cls: Any = CustomPyTorchPredictor,
        model_server_workers: Any = None,
        extras: Sequence[str | os.PathLike[str]] | str = (),
        image: str | None = None,
        cuda_version: str | None = None,
        build: str = "if-missing",
        builder: str = "auto",
        catalog: Locations = (),
        settings: Settings | None = None,
        images: Images | None = None,
        **kwargs: Any,
    ) -> None:
        self._images = images or Images(
            ImageArguments(
                framework=_FRAMEWORK,
                framework_version=framework_version,
                py_version=py_version,
                image_uri=image_uri,
                extras=extras,
                image=image,
                cuda_version=cuda_version,
                build=build,
                builder=builder,
                catalog=catalog,
                session=kwargs.get("sagemaker_session"),
                settings=settings,
            ),
            "inference",
        )
        if image_uri is None and images is None:
            filled_version, py_version = self._images.fill_in(None)
            framework_version = framework_version or filled_version
        super().__init__(
            model_data,
            role,
            entry_point,
            framework_version,
            py_version,
            image_uri,
            predictor_cls,
            model_server_workers,
            **kwargs,
        )
        self._workspace: Workspace | None = None

    def _is_mms_version(self) -> bool:
        # Every image with an unknown version here is one of the user's, and none is that old.
        return self.framework_version is None or bool(super()._is_mms_version())
