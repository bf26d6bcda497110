"""What an estimator or model of the SDK was given → the plan and the image of each of its scopes, asked once each."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from sagemaker_custom.bases import check_serving_version, did_you_mean, serving_pair, with_defaults
from sagemaker_custom.catalog import BaseImage, Catalog
from sagemaker_custom.catalog.named_images import NamedImage
from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import ImageNotInCatalogError, UsageError
from sagemaker_custom.image_uris import check_scope, image_spec
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.resolve import resolve
from sagemaker_custom.sdk.locks import Locks, read_locks
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk.rules import SdkRules
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import Extra, ImageSpec, Processor, with_scope
from sagemaker_custom.wiring import Parts

logger = logging.getLogger(__name__)

_LIKELY: tuple[Processor, ...] = ("cpu", "gpu", "neuronx", "neuron")

Extras: TypeAlias = Sequence[str | os.PathLike[str] | Extra] | str
"""What users write as ``extras``."""


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
    replace: Sequence[str] | str = ()
    """Packages of the base that they may replace."""
    lock: Locks = None
    """What to install, where that is decided already."""
    cuda_version: str | None
    build: str
    builder: str
    settings: Settings | None
    rules: SdkRules
    serving_version: str | None = None
    """Of an estimator; default: the settings'."""
    image: str | None = None
    """Name of a named image of the catalog."""
    catalog: Locations = ()
    session: Any = None
    """The SDK's, where one was given: it reads catalogs of S3."""
    serves_any_python: bool = False
    """Whether the Python that was asked for is the training image's alone."""


class Images(ProvidedImages):
    """The images of one estimator and of the models made from it: training and inference, resolved as a pair.

    Args:
        arguments: As the user gave them.
        image_scope: Of what the user made: ``training`` for an estimator, ``inference`` for a model.

    Raises:
        UsageError: They contradict each other, or one of them cannot be read.
    """

    def __init__(self, arguments: ImageArguments, image_scope: str) -> None:
        super().__init__(
            build=arguments.build,
            builder=arguments.builder,
            settings=arguments.settings,
            catalog=arguments.catalog,
            session=arguments.session,
            rules=arguments.rules,
            locks=read_locks(arguments.lock, image_scope),
        )
        _check_given_image(arguments)
        self._scope = check_scope(image_scope)
        self._serving_version = check_serving_version(arguments.serving_version or self._settings.serving_version)
        self._trained: BaseImage | None = None
        self._catalog: Catalog | None = None
        self._why: dict[ImageSpec, str] = {}
        asked = image_spec(
            arguments.framework,
            version=arguments.framework_version,
            py_version=arguments.py_version,
            image_scope=image_scope,
            base_framework_version=arguments.base_framework_version,
            cuda_version=arguments.cuda_version,
            extras=arguments.extras,
            replace=arguments.replace,
        )
        self._arguments = arguments
        self._named = _named(arguments, self._known) if arguments.image else None
        self._spec = _spec_of(self._named, asked) if self._named else asked

    def fill_in(self, instance_type: Any) -> BaseImage:
        """Decide on what the user did not say, and see that the catalog has the image.

        Args:
            instance_type: Says CPU or GPU; of a model it is only known when that is deployed.

        Returns:
            The base image, with the version as the user wrote it where one was given.

        Raises:
            ImageNotInCatalogError: It has not; names the nearest.
        """
        asked = self._for(self._scope, self._rules.instance_type(instance_type, None))
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
            lock=None,
        )
        return Images(arguments, "inference")

    def _question(self, image_scope: str, instance_type: str | None) -> ImageSpec:
        return self._for(image_scope, instance_type)

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

    def _answer(self, question: ImageSpec, *, parts: Parts, region: str | None, local: bool) -> BuildPlan:
        plan = parts.plan(question, local=local, region=region)
        why = self._why.get(question)
        return replace(plan, reason=f"{plan.reason}; it {why}") if why else plan


def _check_given_image(arguments: ImageArguments) -> None:
    if arguments.image_uri is None:
        return
    for name, value in (("extras", arguments.extras), ("image", arguments.image), ("lock", arguments.lock)):
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
    cuda_version = asked.cuda_version or named.cuda_version
    return replace(spec, processor=asked.processor, cuda_version=cuda_version, replace=asked.replace)
