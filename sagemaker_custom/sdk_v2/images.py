"""What an estimator or model of the SDK was given → the plan and the image of each of its scopes, asked once each."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sagemaker.workflow import is_pipeline_variable
from sagemaker.workflow.pipeline_context import PipelineSession

from sagemaker_custom.bases import check_serving_version, did_you_mean, serving_pair, with_defaults
from sagemaker_custom.catalog import BaseImage, Catalog
from sagemaker_custom.catalog.named_images import NamedImage
from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import ImageNotInCatalogError, UsageError
from sagemaker_custom.image_uris import check_scope, image_spec
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.provision import check_policy
from sagemaker_custom.resolve import resolve
from sagemaker_custom.sdk_v2.local import LOCAL_INSTANCE_TYPES
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import Extra, ImageSpec, Processor, with_scope
from sagemaker_custom.wiring import Parts, check_builder

logger = logging.getLogger(__name__)

_LIKELY: tuple[Processor, ...] = ("cpu", "gpu", "neuronx", "neuron")

Extras: TypeAlias = Sequence[str | os.PathLike[str] | Extra] | str
"""What users write as ``extras``."""
_Key: TypeAlias = tuple[ImageSpec, str | None, bool]
"""What is asked of the catalog, the region, and whether for local mode."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageArguments:
    """The arguments about images that the classes here have in common."""

    framework: str
    framework_version: str | None
    py_version: str | None
    base_framework_version: str | None = None
    """What ``huggingface`` runs on: ``pytorch2.0.0``."""
    image_uri: Any
    """May be a pipeline variable."""
    extras: Extras
    cuda_version: str | None
    build: str
    builder: str
    settings: Settings | None
    serving_version: str | None = None
    """Of an estimator; default: the settings'."""
    image: str | None = None
    """Name of a named image of the catalog."""
    catalog: Locations = ()
    session: Any = None
    """The SDK's, where one was given: it reads catalogs of S3."""
    serves_any_python: bool = False
    """Whether the Python that was asked for is the training image's alone."""


class Images:
    """The images of one estimator and of the models made from it: training and inference, resolved as a pair.

    Args:
        arguments: As the user gave them.
        image_scope: Of what the user made: ``training`` for an estimator, ``inference`` for a model.

    Raises:
        UsageError: They contradict each other, or one of them cannot be read.
    """

    def __init__(self, arguments: ImageArguments, image_scope: str) -> None:
        check_policy(arguments.build)
        check_builder(arguments.builder)
        _check_given_image(arguments)
        self._scope = check_scope(image_scope)
        self.policy = arguments.build
        self._builder = arguments.builder
        self._settings = arguments.settings or Settings.load()
        self._serving_version = check_serving_version(arguments.serving_version or self._settings.serving_version)
        self._trained: BaseImage | None = None
        # Before there is a session; what it says of images does not depend on one.
        self._known = Parts(
            session=getattr(arguments.session, "boto_session", None),
            settings=self._settings,
            catalog=arguments.catalog,
        )
        self._catalog: Catalog | None = None
        self._why: dict[ImageSpec, str] = {}
        self._location = arguments.catalog
        asked = image_spec(
            arguments.framework,
            version=arguments.framework_version,
            py_version=arguments.py_version,
            image_scope=image_scope,
            base_framework_version=arguments.base_framework_version,
            cuda_version=arguments.cuda_version,
            extras=arguments.extras,
        )
        self._arguments = arguments
        self._named = _named(arguments, self._known) if arguments.image else None
        self._spec = _spec_of(self._named, asked) if self._named else asked
        self._parts: tuple[Any, Parts] | None = None
        self._plans: dict[_Key, BuildPlan] = {}
        self._provided: dict[_Key, str] = {}

    def fill_in(self, instance_type: Any) -> BaseImage:
        """Decide on what the user did not say, and see that the catalog has the image.

        Args:
            instance_type: Says CPU or GPU; of a model it is only known when that is deployed.

        Returns:
            The base image, with the version as the user wrote it where one was given.

        Raises:
            ImageNotInCatalogError: It has not; names the nearest.
        """
        asked = self._for(self._scope, _plain(instance_type))
        if instance_type is None and self._scope == "inference":
            asked = self._that_exists(asked)
        self._catalog = self._known.catalog_for(asked)
        asked = with_defaults(asked, self._catalog)
        self._spec = replace(self._spec, version=asked.version)
        # Of an estimator, what cannot be extended is told now and not when it trains.
        base = resolve(asked, self._catalog).base
        if self._scope == "training":
            self._trained = base
        return replace(base, version=self._spec.version or base.version)

    def _that_exists(self, spec: ImageSpec) -> ImageSpec:
        """Ask for a GPU, where there is no image for CPUs and nobody has said what it shall run on."""
        for processor in _LIKELY:
            likely = replace(spec, processor=processor)
            try:
                self._known.catalog_for(likely)
            except ImageNotInCatalogError:
                continue
            return likely
        return spec

    @property
    def extends(self) -> bool:
        """Whether anything is added to AWS's images."""
        return bool(self._spec.extras)

    @property
    def base_job_name(self) -> str:
        """The last part of the repository's name: job names may hold no ``/``."""
        return f"{self._settings.repository_prefix.rpartition('/')[2]}-{self._spec.framework}"

    def plan(self, image_scope: str, instance_type: Any, session: Any, region: str | None = None) -> BuildPlan:
        """Say what would be used or built, without any side effect."""
        return self._plan(self._key(image_scope, instance_type, session, region), session)

    def uri(self, image_scope: str, instance_type: Any, session: Any, region: str | None = None) -> str:
        """Return the image's URI; builds nothing."""
        key = self._key(image_scope, instance_type, session, region)
        return self._provided.get(key) or str(self._plan(key, session).reference)

    def provide(
        self,
        image_scope: str,
        instance_type: Any,
        session: Any,
        region: str | None = None,
        *,
        policy: str | None = None,
    ) -> str:
        """Make sure that the image exists, and return its URI.

        Args:
            image_scope: ``training`` or ``inference``.
            instance_type: Says CPU or GPU, and whether it is local mode.
            session: The SDK's.
            region: Default: the session's.
            policy: Default: the one that the user gave as ``build=``.
        """
        key = self._key(image_scope, instance_type, session, region)
        if policy is None and isinstance(session, PipelineSession):
            return str(self._plan(key, session).reference)
        # Whether an image is there is asked each time; only a fresh build is not repeated (ADR 0007).
        if policy is not None or self.policy != "always" or key not in self._provided:
            reference = self.parts(session).ensure(
                self._plan(key, session), policy=policy or self.policy, builder=self._builder
            )
            self._provided[key] = str(reference)
        return self._provided[key]

    def chose(self, image_uri: Any) -> bool:
        """Whether ``image_uri`` was resolved here, so that the user did not give it."""
        return any(str(plan.reference) == image_uri for plan in self._plans.values())

    def provide_chosen(self, image_uri: Any, session: Any) -> None:
        """Make sure that the image which was resolved as ``image_uri`` exists; nothing for any other, or in a pipeline.

        Some calls of the SDK resolve first, and forget the instance type that it was for.
        """
        if isinstance(session, PipelineSession) or image_uri in self._provided.values():
            return
        for key, plan in tuple(self._plans.items()):
            if str(plan.reference) == image_uri:
                reference = self.parts(session).ensure(plan, policy=self.policy, builder=self._builder)
                self._provided[key] = str(reference)

    def of_framework(self, framework: str, version: str | None) -> Images:
        """Return the images for inference of another framework, with the same extras."""
        arguments = replace(
            self._arguments,
            framework=framework,
            framework_version=version,
            py_version=None,
            base_framework_version=None,
            cuda_version=None,
            image=None,
        )
        return Images(arguments, "inference")

    def parts(self, session: Any) -> Parts:
        """Return the real parts, as the session's caller; without a session, as the environment's."""
        if self._parts is None or self._parts[0] is not session:
            # Another session may be another account's, whose images are others.
            self._plans, self._provided = {}, {}
            self._parts = (
                session,
                Parts(
                    session=session.boto_session,
                    settings=self._settings,
                    region=session.boto_region_name,
                    catalog=self._location,
                )
                if session
                else self._known,
            )
        return self._parts[1]

    def _key(self, image_scope: str, instance_type: Any, session: Any, region: str | None) -> _Key:
        self.parts(session)
        instance_type = _plain(instance_type)
        is_local = instance_type in LOCAL_INSTANCE_TYPES
        region = region or (session.boto_region_name if session else None)
        return self._for(image_scope, instance_type), region, is_local

    def _for(self, image_scope: str, instance_type: str | None) -> ImageSpec:
        spec = with_scope(self._spec, check_scope(image_scope), instance_type)
        if instance_type == "local" and not self._runs_on_cpus(spec):
            # What AWS makes for GPUs only runs on a CPU too, and a laptop is where one wants to try it.
            spec = replace(spec, processor="gpu")
        if image_scope == "inference" and self._arguments.serves_any_python:
            spec = replace(spec, py_version=None)
        if self._named:
            self._named.spec_for(
                version=spec.version,
                image_scope=spec.image_scope,
                processor=spec.processor,
                architecture=spec.architecture,
            )
        if image_scope != "inference" or self._trained is None or self._catalog is None:
            return spec
        pair = serving_pair(spec, self._trained, self._catalog, self._serving_version)
        self._why[pair.spec] = pair.reason
        return pair.spec

    def _runs_on_cpus(self, spec: ImageSpec) -> bool:
        framework = self._known.catalog.frameworks.get(spec.framework)
        images = framework.images if framework else ()
        same = [image.processor for image in images if image.image_scope == spec.image_scope]
        return not same or "cpu" in same

    def _plan(self, key: _Key, session: Any) -> BuildPlan:
        if key not in self._plans:
            spec, region, is_local = key
            plan = self.parts(session).plan(spec, local=is_local, region=region)
            why = self._why.get(spec)
            self._plans[key] = replace(plan, reason=f"{plan.reason}; it {why}") if why else plan
            for warning in plan.warnings:
                logger.warning("%s", warning)
        return self._plans[key]


def _check_given_image(arguments: ImageArguments) -> None:
    if arguments.image_uri is None:
        return
    for name, value in (("extras", arguments.extras), ("image", arguments.image)):
        if value:
            raise UsageError(
                f"{name}={value!r} cannot be put into image_uri={arguments.image_uri!r}, which is used untouched",
                hint=f"leave image_uri out to extend AWS's image, or {name} to use your own as it is",
            )


def _named(arguments: ImageArguments, parts: Parts) -> NamedImage:
    images = parts.catalog.images
    named = images.get(arguments.image or "")
    if named is None:
        raise ImageNotInCatalogError(
            f"there is no named image {arguments.image!r} in the catalog",
            hint=did_you_mean(arguments.image or "", images),
        )
    if named.framework != arguments.framework:
        raise UsageError(
            f"the named image {named.name!r} is of {named.framework}, not of {arguments.framework}",
            hint="take the class of that framework, or another image",
        )
    return named


def _spec_of(named: NamedImage, asked: ImageSpec) -> ImageSpec:
    """Return what a named image stands for, with what was asked besides; the instance type says the processor."""
    spec = named.spec_for(
        version=asked.version,
        py_version=asked.py_version,
        image_scope=asked.image_scope,
        extras=asked.extras,
    )
    return replace(spec, processor=asked.processor, cuda_version=asked.cuda_version or named.cuda_version)


def _plain(instance_type: Any) -> Any:
    """Return a pipeline parameter's default value, as the SDK does when it picks an image."""
    return getattr(instance_type, "default_value", None) if is_pipeline_variable(instance_type) else instance_type
