"""Images of the user's own, as estimators and models are given them → their plans, for training and inference."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import UsageError
from sagemaker_custom.image_uris import check_scope
from sagemaker_custom.own_images import OwnImage, own_image
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.requirements import read_extras
from sagemaker_custom.sdk.images import Extras
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk.rules import SdkRules
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import normalise_replace
from sagemaker_custom.wheels.lock import Lock
from sagemaker_custom.wiring import Parts

FilePath: TypeAlias = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildArguments:
    """How images are built, as every class here takes it."""

    extras: Extras = ()
    replace: Sequence[str] | str = ()
    build: str = "if-missing"
    builder: str = "auto"
    catalog: Locations = ()
    settings: Settings | None = None
    rules: SdkRules


class OwnImages(ProvidedImages):
    """The images of an estimator or model with images of the user's own.

    Args:
        training: ``None`` for a model, which does not train.
        serving: Of endpoints and batch transforms; ``None`` where the user gives one when it is deployed.
        arguments: As the user gave them.
        session: The SDK's, where one was given.
    """

    def __init__(
        self, training: OwnImage | None, serving: OwnImage | None, arguments: BuildArguments, session: Any
    ) -> None:
        super().__init__(
            build=arguments.build,
            builder=arguments.builder,
            settings=arguments.settings,
            catalog=arguments.catalog,
            session=session,
            rules=arguments.rules,
        )
        self._own = {"training": training, "inference": serving}
        self._extras = read_extras(arguments.extras)
        self._replaces = normalise_replace(arguments.replace)

    @property
    def extends(self) -> bool:
        """Whether anything is added."""
        return bool(self._extras)

    @property
    def base_job_name(self) -> str:
        """The last part of the repository's name."""
        name = next(own.name for own in self._own.values() if own)
        return f"{self._settings.repository_prefix.rpartition('/')[2]}-{name}"

    def provide(
        self,
        image_scope: str,
        instance_type: Any,
        session: Any,
        region: str | None = None,
        *,
        policy: str | None = None,
        lock: Lock | None = None,
        starts_script: bool = False,
    ) -> str:
        """Make sure that the image exists; its folder may have been edited since it was last read."""
        before, self._plans = self._plans, {}
        key = self._key(image_scope, instance_type, session, region)
        if key in before and before[key].reference != self._plan(key, session).reference:
            self._provided.pop(key, None)
        return super().provide(
            image_scope, instance_type, session, region, policy=policy, lock=lock, starts_script=starts_script
        )

    def _question(self, image_scope: str, instance_type: str | None) -> tuple[str, str | None]:
        return image_scope, instance_type

    def _answer(self, question: tuple[str, str | None], *, parts: Parts, region: str | None, local: bool) -> BuildPlan:
        image_scope, instance_type = question
        own = self._own[image_scope]
        if own is None:
            raise UsageError(
                f"there is no image for {image_scope}",
                hint="give image_uri=, or an estimator with base_image= or dockerfile=",
            )
        return parts.plan_own(
            own,
            image_scope=check_scope(image_scope),
            instance_type=instance_type,
            extras=self._extras,
            replaces=self._replaces,
            local=local,
            region=region,
        )


def given_own_image(
    image_uri: Any, *, base_image: str | None, dockerfile: FilePath | None, **more: Any
) -> OwnImage | None:
    """Return the image of the user's own to plan; ``None`` where one is given that is used untouched.

    Args:
        image_uri: As the user gave it.
        base_image: As the user gave it.
        dockerfile: As the user gave it.
        **more: Every other argument of :func:`sagemaker_custom.own_images.own_image`, and ``extras``.

    Raises:
        UsageError: ``image_uri`` is given with something that would change it.
    """
    extras = more.pop("extras")
    if image_uri is None:
        return own_image(base_image=base_image, dockerfile=dockerfile, **more)
    for name, value in (("base_image", base_image), ("dockerfile", dockerfile), ("extras", extras)):
        if value:
            raise UsageError(
                f"{name}={value!r} does not go with image_uri={image_uri!r}, which is used untouched",
                hint="name the image as base_image= to have something added to it",
            )
    return None
