"""Images of the user's own, behind the same estimator, model and predictor: ``CustomFramework`` and ``CustomModel``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Framework
from sagemaker.model import FrameworkModel
from sagemaker.predictor import Predictor
from sagemaker.serializers import JSONSerializer
from sagemaker.vpc_utils import VPC_CONFIG_DEFAULT

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.sdk.images import Extras
from sagemaker_custom.sdk.own import BuildArguments, FilePath, OwnImages, given_own_image
from sagemaker_custom.sdk_v2.calls import read_call
from sagemaker_custom.sdk_v2.estimator import ExtendedEstimator, use_local_session, with_resource_config
from sagemaker_custom.sdk_v2.model import ExtendedModel, ServesByUri
from sagemaker_custom.sdk_v2.rules import SdkV2Rules
from sagemaker_custom.settings import Settings


class CustomPredictor(Predictor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``Predictor``, with JSON unless something else is asked for.

    Args:
        endpoint_name: Of the endpoint.
        sagemaker_session: The SDK's.
        serializer: Default: JSON.
        deserializer: Default: JSON.
        **kwargs: Every other argument of ``sagemaker.predictor.Predictor``.
    """

    def __init__(
        self,
        endpoint_name: str,
        sagemaker_session: Any = None,
        serializer: Any = None,
        deserializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            endpoint_name,
            sagemaker_session,
            serializer=serializer or JSONSerializer(),
            deserializer=deserializer or JSONDeserializer(),
            **kwargs,
        )


class OwnModel(ExtendedModel, ServesByUri):
    """Stands before a class of the SDK among the bases, which then takes these arguments besides its own.

    Args:
        *args: Of the SDK's class.
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
        **kwargs: Of the SDK's class; an ``image_uri`` is used untouched.

    Raises:
        UsageError: Arguments contradict each other or cannot be read; also a ``ValueError``.
    """

    _predictor_class = CustomPredictor

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
        given = read_call(super(ExtendedModel, self).__init__, args, kwargs).given
        serving = given_own_image(
            given.get("image_uri"),
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
            rules=SdkV2Rules(),
        )
        self._images = OwnImages(None, serving, arguments, given.get("sagemaker_session"))
        given.setdefault("predictor_cls", self._predictor_class)
        given.setdefault("image_uri", None)
        super(ExtendedModel, self).__init__(**given)
        self._workspaces = ()

    def is_repack(self) -> bool:
        """Whether the code is put into the model's archive, which is where the inference toolkit looks for it."""
        return self.entry_point is not None


class CustomModel(OwnModel):
    """A model in any image that serves, of your own or built for it; ``model_data`` may be left out."""


class CustomFrameworkModel(OwnModel, FrameworkModel):  # type: ignore[misc]  # the SDK has no types
    """A model of a framework that the SDK has no class for, in an image of your own."""


class CustomFramework(ExtendedEstimator):
    """An estimator for a framework that the SDK has no class for, in an image of your own.

    The image has to answer ``train``: by SageMaker's training toolkit, which runs ``entry_point``, or by a program of
    its own that reads ``/opt/ml``; then there need be no ``entry_point``.

    Args:
        entry_point: Script that the training toolkit runs.
        source_dir: Folder of the code, or its ``s3://…/sourcedir.tar.gz``.
        hyperparameters: For the script, or the program.
        image_uri: Image that is used untouched, for training and serving.
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
        extras: What to install besides: ``pip:PKG``, ``conda:CHANNEL::PKG``, ``apt:PKG``, the path of a requirements
            file, or a recipe that fits any image.
        replace: As the other estimators take it.
        build: As the other estimators take it.
        builder: As the other estimators take it.
        catalog: As the other estimators take it.
        settings: As the other estimators take them.
        **kwargs: Every other argument of ``sagemaker.estimator.Framework``.

    Raises:
        UsageError: Arguments contradict each other or cannot be read; also a ``ValueError``.
    """

    _framework_name = "custom"

    def __init__(
        self,
        entry_point: Any = None,
        source_dir: Any = None,
        hyperparameters: dict[str, Any] | None = None,
        image_uri: Any = None,
        *,
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
        constructor = super(ExtendedEstimator, self).__init__
        call = read_call(constructor, (entry_point, source_dir, hyperparameters), {**kwargs, "image_uri": image_uri})
        given = call.given
        shared: dict[str, Any] = {
            "build_args": build_args,
            "target": target,
            "name": repository_name,
            "toolkit": toolkit,
            "python": python,
            "extras": extras,
        }
        training = given_own_image(given.get("image_uri"), base_image=base_image, dockerfile=dockerfile, **shared)
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
            rules=SdkV2Rules(),
        )
        self._images = OwnImages(training, serving, arguments, given.get("sagemaker_session"))
        use_local_session(given)
        if training is not None:
            given.setdefault("base_job_name", self._images.base_job_name)
        super(ExtendedEstimator, self).__init__(**given)
        self._image_uri_region = None
        self._workspace = None

    def hyperparameters(self) -> dict[str, Any]:
        """Return the hyperparameters as the container gets them: for a program of its own as they are."""
        if self.entry_point is None:
            return dict(self._hyperparameters)
        return dict(super().hyperparameters())

    def create_model(
        self,
        role: str | None = None,
        vpc_config_override: Any = VPC_CONFIG_DEFAULT,
        entry_point: str | None = None,
        source_dir: str | None = None,
        dependencies: list[str] | None = None,
        image_uri: Any = None,
        **kwargs: Any,
    ) -> CustomFrameworkModel:
        """Make the model that ``deploy()`` serves.

        Args:
            role: Default: the estimator's.
            vpc_config_override: Default: the estimator's subnets and security groups.
            entry_point: Script that serves; default: the one that trains, if there is one.
            source_dir: Default: the estimator's.
            dependencies: Default: the estimator's.
            image_uri: Image that serves, used untouched; default: the estimator's for serving.
            **kwargs: Every other argument of ``sagemaker.model.FrameworkModel``.
        """
        kwargs["name"] = self._get_or_create_name(kwargs.get("name"))
        script = entry_point or (self._model_entry_point() if self.entry_point else None)
        model = FrameworkModel(
            self.model_data,
            image_uri or self.image_uri,
            role or self.role,
            script,
            source_dir=source_dir or self._model_source_dir() if script else None,
            container_log_level=self.container_log_level,
            code_location=self.code_location,
            sagemaker_session=self.sagemaker_session,
            vpc_config=self.get_vpc_config(vpc_config_override),
            dependencies=(dependencies or (self._clone or {}).get("dependencies") or self.dependencies)
            if script
            else None,
            predictor_cls=kwargs.pop("predictor_cls", CustomPredictor),
            **kwargs,
        )
        return CustomFrameworkModel.taken_over(model, self._images)

    @classmethod
    def _prepare_init_params_from_job_description(
        cls, job_details: dict[str, Any], model_channel_name: str | None = None
    ) -> dict[str, Any]:
        # The job's image is used as it is, and every other framework's rules do not concern it.
        prepare = Framework._prepare_init_params_from_job_description.__func__  # noqa: SLF001
        return dict(prepare(cls, with_resource_config(job_details), model_channel_name))
