"""Plans of images, asked once each, and the images that were made sure of; for estimators and models alike."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from sagemaker_custom.builders.choice import check_builder
from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.provision import check_policy
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.sdk.rules import LOCAL_INSTANCE_TYPES, SdkRules
from sagemaker_custom.settings import Settings
from sagemaker_custom.wheels.lock import Lock
from sagemaker_custom.wiring import Parts

logger = logging.getLogger(__name__)

_Key: TypeAlias = tuple[Hashable, str | None, bool]
"""What is asked, the region, and whether for local mode."""


class ProvidedImages(ABC):
    """The images of one estimator and of the models made from it: training and inference.

    Args:
        build: Policy.
        builder: Which one.
        settings: Default: the environment's and the configuration file's.
        catalog: Further catalogs.
        session: The SDK's, where one was given: it reads catalogs of S3.
        locks: Scope → what to install.
        rules: Of the SDK that asks.

    Raises:
        UsageError: Policy or builder does not exist.
    """

    def __init__(
        self,
        *,
        build: str,
        builder: str,
        settings: Settings | None,
        rules: SdkRules,
        catalog: Locations = (),
        session: Any = None,
        locks: Mapping[str, Lock] | None = None,
    ) -> None:
        self._rules = rules
        self.policy = check_policy(build)
        check_builder(builder)
        self._builder = builder
        self._locks = locks or {}
        self._settings = settings or Settings.load()
        self._location = catalog
        # Before there is a session; what it says of images does not depend on one.
        self._known = Parts(session=getattr(session, "boto_session", None), settings=self._settings, catalog=catalog)
        self._parts: tuple[Any, Parts] | None = None
        self._plans: dict[_Key, BuildPlan] = {}
        self._provided: dict[_Key, str] = {}

    @property
    def cache_dir(self) -> Path:
        """Where things are remembered from one process to the next."""
        return Path(self._settings.cache_dir)

    @property
    @abstractmethod
    def extends(self) -> bool:
        """Whether anything is added to an image that exists."""

    @property
    @abstractmethod
    def base_job_name(self) -> str:
        """Begins the names of jobs; they may hold no ``/``."""

    @abstractmethod
    def _question(self, image_scope: str, instance_type: str | None) -> Hashable:
        """Return what decides on the image, besides region and local mode."""

    @abstractmethod
    def _answer(self, question: Any, *, parts: Parts, region: str | None, local: bool) -> BuildPlan:
        """Return the plan for a question."""

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
        lock: Lock | None = None,
        starts_script: bool = False,
    ) -> str:
        """Make sure that the image exists, and return its URI.

        Args:
            image_scope: ``training`` or ``inference``.
            instance_type: Says CPU or GPU, and whether it is local mode.
            session: The SDK's.
            region: Default: the session's.
            policy: Default: the one that the user gave as ``build=``.
            lock: Default: the one that the user gave for the scope, if any.
            starts_script: Whether the SDK v3 starts a script in it, which takes more than the toolkit does.
        """
        key = self._key(image_scope, instance_type, session, region)
        if policy is None and self._rules.is_pipeline(session):
            return str(self._plan(key, session).reference)
        # Whether an image is there is asked each time; only a fresh build is not repeated (ADR 0007).
        if policy is not None or self.policy != "always" or key not in self._provided:
            plan = replace(self._plan(key, session), starts_script=starts_script)
            reference = self._ensure(plan, session, policy or self.policy, lock)
            self._provided[key] = str(reference)
        return self._provided[key]

    def chose(self, image_uri: Any) -> bool:
        """Whether ``image_uri`` was resolved here, so that the user did not give it."""
        return any(str(plan.reference) == image_uri for plan in self._plans.values())

    def provide_chosen(self, image_uri: Any, session: Any) -> None:
        """Make sure that the image which was resolved as ``image_uri`` exists; nothing for any other, or in a pipeline.

        Some calls of the SDK resolve first, and forget the instance type that it was for.
        """
        if self._rules.is_pipeline(session) or image_uri in self._provided.values():
            return
        for key, plan in tuple(self._plans.items()):
            if str(plan.reference) == image_uri:
                self._provided[key] = str(self._ensure(plan, session, self.policy))

    def _ensure(self, plan: BuildPlan, session: Any, policy: str, lock: Lock | None = None) -> ImageReference:
        lock = lock or self._locks.get(plan.base.image_scope)
        return self.parts(session).ensure(plan, policy=policy, builder=self._builder, lock=lock)

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
        instance_type = self._rules.instance_type(instance_type, session)
        region = region or (session.boto_region_name if session else None)
        return self._question(image_scope, instance_type), region, instance_type in LOCAL_INSTANCE_TYPES

    def _plan(self, key: _Key, session: Any) -> BuildPlan:
        if key not in self._plans:
            question, region, is_local = key
            plan = self._answer(question, parts=self.parts(session), region=region, local=is_local)
            self._plans[key] = plan
            for warning in plan.warnings:
                logger.warning("%s", warning)
        return self._plans[key]
