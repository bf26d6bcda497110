"""Images of the user's own, behind the same estimator, model and predictor, over the SDK v3."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.sdk.images import Extras
from sagemaker_custom.sdk.own import BuildArguments, FilePath, OwnImages, given_own_image
from sagemaker_custom.sdk_v3.attached import trained_with
from sagemaker_custom.sdk_v3.call import named_call
from sagemaker_custom.sdk_v3.estimator import ExtendedEstimator
from sagemaker_custom.sdk_v3.model import ExtendedModel
from sagemaker_custom.sdk_v3.rules import SdkV3Rules
from sagemaker_custom.settings import Settings


class OwnModel(ExtendedModel):
    """A model in an image of your own.

    Args:
        *args: Of the SDK v2's class, in its order.
        base_image: Image that serves, or that becomes one: it has to answer ``serve`` with ``/ping`` and
            ``/invocations`` on port 8080. Without a host it is one of the local Docker Engine.
        dockerfile: Folder with a Dockerfile of such an image, which is built when it is missing or the folder changes.
        build_args: Values of ``ARG`` in it.
        target: Stage of it.
        repository_name: Last word of the repository; default: that of the base image or folder.
        toolkit: ``add`` to install SageMaker's inference toolkit where the image has no ``serve``.
        python: Interpreter in the image that extras are installed for.
        extras: What to install besides, as the estimators take it.
        replace: As the estimators take it.
        build: As the estimators take it.
        builder: As the estimators take it.
        catalog: As the estimators take it.
        settings: As the estimators take them.
        **kwargs: Of the SDK v2's class, by its names; an ``image_uri`` is used untouched.

    Raises:
        UsageError: Arguments contradict each other or cannot be read; also a ``ValueError``.
    """

    def __init__(
        self,
        *args: Any,
        base_image: str | None = None,
        dockerfile: FilePath | None = None,
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        repository_name: str | None = None,
        toolkit: str = "none",
        python: str = "python3",
        extras: Extras = (),
        replace: Sequence[str] | str = (),
        build: str = "if-missing",
        builder: str = "auto",
        catalog: Locations = (),
        settings: Settings | None = None,
        **kwargs: Any,
    ) -> None:
        self._read(named_call(type(self).__name__, self._order, args, kwargs, ()), settings)
        serving = given_own_image(
            self.image_uri,
            base_image=base_image,
            dockerfile=dockerfile,
            build_args=build_args,
            target=target,
            name=repository_name,
            toolkit=toolkit,
            python=python,
            extras=extras,
        )
        arguments = BuildArguments(
            extras=extras,
            replace=replace,
            build=build,
            builder=builder,
            catalog=catalog,
            settings=settings,
            rules=SdkV3Rules(),
        )
        self._images = OwnImages(None, serving, arguments, self.sagemaker_session)

    def _in_the_registry(self, instance_type: Any) -> tuple[str | None, str | None]:
        del instance_type
        return None, None


class CustomModel(OwnModel):
    """A model in any image that serves, of your own or built for it; ``model_data`` may be left out."""

    _order = (
        *("image_uri", "model_data", "role", "predictor_cls", "env", "name", "vpc_config", "sagemaker_session"),
        *("enable_network_isolation", "model_kms_key", "image_config", "source_dir", "code_location", "entry_point"),
        *("container_log_level", "dependencies", "git_config", "resources", "additional_model_data_sources"),
        "model_reference_arn",
    )


class CustomFrameworkModel(OwnModel):
    """A model of a framework that the SDK has no class for, in an image of your own."""

    _order = (
        *("model_data", "image_uri", "role", "entry_point", "source_dir", "predictor_cls", "env", "name"),
        *("container_log_level", "code_location", "sagemaker_session", "dependencies", "git_config"),
    )


class CustomFramework(ExtendedEstimator):
    """An estimator for a framework that the SDK has no class for, in an image of your own.

    With an ``entry_point`` the image needs ``bash``, ``tar``, Python and pip, and no training toolkit: the SDK v3
    brings what starts the script. Without one its own program answers ``train``.

    Args:
        *args: Of the SDK v2's class, in its order.
        base_image: Image that trains, or that becomes one by ``extras`` and ``toolkit``. Without a host it is one of
            the local Docker Engine; for AWS it is pushed to your registry.
        dockerfile: Folder with a Dockerfile of such an image, which is built when it is missing or the folder changes.
        build_args: Values of ``ARG`` in it.
        target: Stage of it.
        repository_name: Last word of the repository; default: that of the base image or folder.
        toolkit: ``add`` to install SageMaker's toolkits where the image has no ``train`` or ``serve``.
        python: Interpreter in the image that extras are installed for.
        serving_base_image: Image that serves, where it is another.
        serving_dockerfile: Folder of such an image.
        extras: What to install besides.
        replace: As the other estimators take it.
        build: As the other estimators take it.
        builder: As the other estimators take it.
        catalog: As the other estimators take it.
        settings: As the other estimators take them.
        **kwargs: Of the SDK v2's class, by its names; an ``image_uri`` is used untouched.

    Raises:
        UsageError: Arguments contradict each other or cannot be read; also a ``ValueError``.
    """

    _model_class = CustomFrameworkModel
    _order = ("entry_point", "source_dir", "hyperparameters", "image_uri")

    def __init__(
        self,
        *args: Any,
        base_image: str | None = None,
        dockerfile: FilePath | None = None,
        build_args: Mapping[str, str] | None = None,
        target: str | None = None,
        repository_name: str | None = None,
        toolkit: str = "none",
        python: str = "python3",
        serving_base_image: str | None = None,
        serving_dockerfile: FilePath | None = None,
        extras: Extras = (),
        replace: Sequence[str] | str = (),
        build: str = "if-missing",
        builder: str = "auto",
        catalog: Locations = (),
        settings: Settings | None = None,
        **kwargs: Any,
    ) -> None:
        self._read(named_call(type(self).__name__, self._order, args, kwargs, ()), settings)
        shared: dict[str, Any] = {
            "build_args": build_args,
            "target": target,
            "name": repository_name,
            "toolkit": toolkit,
            "python": python,
            "extras": extras,
        }
        training = given_own_image(self.image_uri, base_image=base_image, dockerfile=dockerfile, **shared)
        serving = training
        if serving_base_image is not None or serving_dockerfile is not None:
            serving = given_own_image(None, base_image=serving_base_image, dockerfile=serving_dockerfile, **shared)
        arguments = BuildArguments(
            extras=extras,
            replace=replace,
            build=build,
            builder=builder,
            catalog=catalog,
            settings=settings,
            rules=SdkV3Rules(),
        )
        self._images = OwnImages(training, serving, arguments, self.sagemaker_session)
        if training is not None and self._job.base_job_name is None:
            self._job = dataclasses.replace(self._job, base_job_name=self._images.base_job_name)

    @classmethod
    def _asking_for_the_image(cls, details: Mapping[str, Any], session: Any) -> dict[str, Any]:
        del session
        return {"image_uri": trained_with(details)}
