"""What every model class here is: the SDK v2's arguments and results, over the SDK v3's ``ModelBuilder``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import SourceCode
from typing_extensions import Self

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.calls import Call
from sagemaker_custom.sdk.dialect import Dialect
from sagemaker_custom.sdk.images import Extras, ImageArguments, Images
from sagemaker_custom.sdk.locks import Locks
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk.workspace import Workspace
from sagemaker_custom.sdk_v3.builder import builder_of
from sagemaker_custom.sdk_v3.call import named_call, refuse_others
from sagemaker_custom.sdk_v3.hosted import HostedModel
from sagemaker_custom.sdk_v3.local import CustomLocalSession
from sagemaker_custom.sdk_v3.local_model import LocalModel
from sagemaker_custom.sdk_v3.model_arguments import INSTEAD, OF_DEPLOY, ModelArguments
from sagemaker_custom.sdk_v3.rules import SdkV3Rules
from sagemaker_custom.settings import Settings
from sagemaker_custom.source import bundle, stage


class ExtendedModel(HostedModel):
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
    ) -> Self:
        """Make the model of an estimator, with its images.

        Args:
            images: The estimator's.
            image_uri: One to use untouched, if one is given.
            given: Arguments by name.
        """
        model = cls.__new__(cls)
        call = Call(given={**given, "image_uri": image_uri}, defaults={}, takes=frozenset())
        model._take_over(images, call)  # noqa: SLF001 - its own
        return model

    def _take_over(self, images: ProvidedImages, call: Call) -> None:
        self._read(call, None)
        self._images = images

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
        self.name = self._arguments.name
        self.sagemaker_session = self._arguments.sagemaker_session
        self._workspace = None

    def serving_image_uri(self, region_name: str | None = None, instance_type: Any = None) -> str:
        """Return the URI of the inference image; builds nothing.

        Args:
            region_name: Default: the session's.
            instance_type: As for :meth:`plan_image`.
        """
        if self.image_uri is not None:
            return str(self.image_uri)
        return self._images.uri("inference", instance_type, self.sagemaker_session, region_name)

    def model_builder(self, instance_type: Any = None, image_uri: Any = None) -> Any:
        """Make the SDK v3's ``ModelBuilder`` that ``deploy()`` runs: image made sure of, code laid out.

        Args:
            instance_type: Says CPU or GPU.
            image_uri: To use instead of the model's, untouched.

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
            image=image_uri or self._provided(instance_type),
            code=code,
            role=self.role,
            session=self.sagemaker_session,
            workspace=self._space,
            instance_type=instance_type,
        )

    def _in_the_registry(self, instance_type: Any) -> tuple[str | None, str | None]:
        base = self.plan_image(instance_type).base if self.image_uri is None else None
        return self._dialect.in_the_registry(base)

    def _provided(self, instance_type: Any) -> Any:
        # A given one may be a parameter of a pipeline.
        if self.image_uri is not None:
            return self.image_uri
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
            if not str(arguments.source_dir).endswith(".tar.gz"):
                raise UsageError(
                    f"the code at {arguments.source_dir} cannot be put into the model: it is no archive",
                    hint="give source_dir= with a folder of this machine, or with what source_code() has packed",
                )
            return SourceCode(source_dir=arguments.source_dir, entry_script=arguments.entry_point)
        cache = Path(self._settings.cache_dir)
        packed = bundle(arguments.entry_point, arguments.source_dir, arguments.dependencies or (), cache_dir=cache)
        return SourceCode(source_dir=str(stage(packed, self._space.path)), entry_script=packed.script_name)

    def _served_here(self, endpoint_name: str | None, instance_type: str) -> tuple[str, CustomLocalSession]:
        model, session, instance_type = self._local_model(instance_type)
        name = endpoint_name or self._new_name(model.image)
        model.serve(name, instance_type, session)
        return name, session

    def _created_here(self, instance_type: str) -> tuple[str, str, CustomLocalSession]:
        model, session, instance_type = self._local_model(instance_type)
        name = self._new_name(model.image)
        model.create(name, session)
        return name, instance_type, session

    def _local_model(self, instance_type: str) -> tuple[LocalModel, CustomLocalSession, str]:
        code, arguments, given = self._source_code(), self._arguments, self.sagemaker_session
        session = CustomLocalSession() if given is None else CustomLocalSession.adopt(given)
        instance_type = session.which(instance_type)
        model = LocalModel(
            image=self._provided(instance_type),
            model_data=arguments.model_data,
            code=code,
            environment=arguments.environment(),
            log_level=arguments.container_log_level,
            workspace=self._space,
        )
        return model, session, instance_type
