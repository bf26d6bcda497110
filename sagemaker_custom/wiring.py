"""Settings and a boto3 session → the real parts, put together; the only composition root."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import datetime, timezone
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sagemaker_custom import catalog as catalogs
from sagemaker_custom.bases import describe_serving, find_base, with_defaults
from sagemaker_custom.builders.choice import BuilderChoice, builder_choice, check_builder
from sagemaker_custom.catalog_sources import Locations, catalog_folders
from sagemaker_custom.dockerfile_folder import read_context
from sagemaker_custom.errors import CredentialsError, ImageNotInCatalogError, SettingsError, UsageError
from sagemaker_custom.own_plans import own_warnings, plan_own_image
from sagemaker_custom.plan import BuildPlan, EngineTarget, MirrorPolicy, RegistryTarget, Target, indexes_of, make_plan
from sagemaker_custom.progress import Progress, terminal_progress
from sagemaker_custom.provision import check_policy, ensure_image
from sagemaker_custom.reference import ImageReference, RegistryCredentials
from sagemaker_custom.resolve import NeedsBuild, resolve
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import Architecture, Extra, ImageScope, ImageSpec, Processor, hardware_of

if TYPE_CHECKING:
    import boto3

    from sagemaker_custom.aws import Aws
    from sagemaker_custom.aws.conditional import ConditionalObjects
    from sagemaker_custom.builders import ImageStore
    from sagemaker_custom.builders.docker_engine import DockerEngine
    from sagemaker_custom.building import Workbench
    from sagemaker_custom.mirror import Mirrored
    from sagemaker_custom.own_images import OwnImage
    from sagemaker_custom.registry import RegistryClient
    from sagemaker_custom.repositories import Repositories
    from sagemaker_custom.wheels.lock import Lock

DEFAULT_LOCAL_REGION = "us-east-1"
"""Whose copy of a base image local mode takes when no region is configured."""


class Parts:
    """The real parts for one caller; each is made when it is first needed.

    Args:
        session: Of boto3; default: the environment's.
        settings: Default: the environment's and the configuration file's.
        region: Default: the settings', else the session's.
        catalog: Folders or ``s3://`` prefixes of further catalogs, after those of the settings.
        folders: Of all team catalogs, in place of the settings', the installed ones and ``catalog``.
        progress: Opens the display for a piece of work; default: bars on a terminal, else plain lines.
    """

    def __init__(
        self,
        *,
        session: boto3.Session | None = None,
        settings: Settings | None = None,
        region: str | None = None,
        catalog: Locations = (),
        folders: tuple[catalogs.CatalogFolder, ...] | None = None,
        progress: Callable[[], AbstractContextManager[Progress]] = terminal_progress,
    ) -> None:
        self.settings = settings or Settings.load()
        self._session = session
        self._catalog = catalog
        self._folders = folders
        self._region = region or self.settings.region
        self._progress = progress

    @cached_property
    def catalog(self) -> catalogs.Catalog:
        """The image catalog, with what teams have added to it."""
        return catalogs.load(self.team_folders)

    @property
    def team_folders(self) -> tuple[catalogs.CatalogFolder, ...]:
        """The folders of all team catalogs, those that count most last."""
        if self._folders is not None:
            return self._folders
        return catalog_folders(self.settings, catalog=self._catalog, store=lambda: self.aws)

    def with_folders(self, folders: tuple[catalogs.CatalogFolder, ...]) -> Parts:
        """Return the parts of the same caller with other team catalogs."""
        session, settings, region, progress = self._session, self.settings, self._region, self._progress
        return Parts(session=session, settings=settings, region=region, folders=folders, progress=progress)

    def catalog_for(self, spec: ImageSpec) -> catalogs.Catalog:
        """Return the catalog that has the base image of ``spec``: ours, else ours with what the installed SDK knows.

        Raises:
            ImageNotInCatalogError: Neither has it.
        """
        try:
            find_base(with_defaults(spec, self.catalog), self.catalog)
        except ImageNotInCatalogError:
            from sagemaker_custom.catalog.sdk_config import with_installed_sdk

            wider = with_installed_sdk(self.catalog, spec.framework)
            if wider is None:
                raise
            find_base(with_defaults(spec, wider), wider)
            return wider
        return self.catalog

    @cached_property
    def aws(self) -> Aws:
        """AWS, as the session's caller."""
        from sagemaker_custom.aws import Aws

        return Aws(self._opened_session(), region=self._region)

    def object_store(self, s3_client: Any) -> Aws:
        """Return AWS with a ready-made S3 client, for example one with an endpoint of its own; ``None`` for none."""
        from sagemaker_custom.aws import Aws

        return Aws(self._opened_session(), region=self._region, s3_client=s3_client)

    def plan(
        self, spec: ImageSpec, *, local: bool = False, region: str | None = None, account: str | None = None
    ) -> BuildPlan:
        """Say what would be used or built.

        Args:
            spec: What is wanted; without a version, the newest that has both halves of the pair.
            local: Whether for local mode: a bare tag, no registry, no account.
            region: Default: the one of these parts.
            account: Whose registry holds extended images; default: the settings', else the caller's.

        Raises:
            ImageNotInCatalogError: The catalog has no such image.
            CredentialsError: The account has to be asked for, and there are no credentials.
        """
        try:
            catalog = self.catalog
            asked = with_defaults(spec, catalog)
            resolution = resolve(asked, catalog)
        except ImageNotInCatalogError:
            # The SDK is only looked at for what is not ours, so that it never changes an answer.
            catalog = self.catalog_for(spec)
            asked = with_defaults(spec, catalog)
            resolution = resolve(asked, catalog)
        mirror = MirrorPolicy(source_region=self.settings.source_region, when=self.settings.mirror)
        region = self._region_for(region, local=local)
        mirrored = mirror.concerns(resolution.base, catalog.partitions, region)
        needs_account = not local and (mirrored or isinstance(resolution, NeedsBuild))
        return make_plan(
            asked,
            resolution,
            partitions=catalog.partitions,
            region=region,
            target=RegistryTarget(account=account or self.settings.account or self.aws.account_id())
            if needs_account
            else EngineTarget(),
            repository_prefix=self.settings.repository_prefix,
            pip_indexes=indexes_of(self.settings, region),
            mirror=mirror,
            today=datetime.now(timezone.utc).date(),
        )

    def plan_own(
        self,
        own: OwnImage,
        *,
        image_scope: ImageScope = "training",
        instance_type: str | None = None,
        processor: Processor | None = None,
        architecture: Architecture | None = None,
        extras: tuple[Extra, ...] = (),
        replaces: tuple[str, ...] = (),
        local: bool = False,
        region: str | None = None,
        account: str | None = None,
    ) -> BuildPlan:
        """Say what would be used or built of an image of the user's own; its folder is read now.

        Args:
            own: The image; see :func:`sagemaker_custom.own_images.own_image`.
            image_scope: What it is used for.
            instance_type: Says processor and architecture where those are not named.
            processor: Of the instance.
            architecture: Of the instance.
            extras: What to install besides.
            replaces: Packages of the image that they may replace.
            local: Whether for local mode: a bare tag, no registry, no account.
            region: Default: the one of these parts.
            account: Whose registry holds what is built; default: the settings', else the caller's.

        Raises:
            SourceError: The folder cannot be read.
            UsageError: The image has the name of a framework, or the instance type is none.
            ImageNotInCatalogError: A recipe has nothing for this image.
            CredentialsError: The account has to be asked for, and there are no credentials.
        """
        from sagemaker_custom.builders.unpublished import unpublished_id
        from sagemaker_custom.registry.docker_login import as_docker_names_it

        if own.base_image:
            own = replace(own, base_image=as_docker_names_it(own.base_image))
        hardware = hardware_of(instance_type)
        is_bare = own.base_image is not None and own.base_image.registry is None
        region = self._region_for(region, local=local)

        def planned(target: Target) -> BuildPlan:
            return plan_own_image(
                own,
                context=context,
                image_id=image_id,
                image_scope=image_scope,
                processor=processor or hardware.processor,
                architecture=architecture or hardware.architecture,
                extras=extras,
                replaces=replaces,
                catalog=self.catalog,
                region=region,
                target=target,
                repository_prefix=self.settings.repository_prefix,
                pip_indexes=indexes_of(self.settings, region),
            )

        context = read_context(own.dockerfile) if own.dockerfile else None
        image_id = unpublished_id(self.engine, own.base_image) if own.base_image and is_bare else None
        used = planned(EngineTarget())
        # Whose account it is has to be asked only for what goes to its registry.
        if local or not (used.needs_build or is_bare):
            return replace(used, warnings=own_warnings(used, region, local=local))
        return planned(RegistryTarget(account=account or self.settings.account or self.aws.account_id()))

    def serving(self, plan: BuildPlan) -> str:
        """Say which image of AWS serves what the image of ``plan`` trains; or why none does."""
        return describe_serving(plan.spec, plan.base, self.catalog_for(plan.spec), self.settings.serving_version)

    def _region_for(self, region: str | None, *, local: bool) -> str:
        if region or self._region:
            return region or self._region or ""
        try:
            return self.aws.region
        except (SettingsError, CredentialsError):
            if local:
                return DEFAULT_LOCAL_REGION
            raise

    def ensure(
        self, plan: BuildPlan, *, policy: str = "if-missing", builder: str = "auto", lock: Lock | None = None
    ) -> ImageReference:
        """Make sure that the image of ``plan`` exists; see :func:`sagemaker_custom.provision.ensure_image`."""
        check_builder(builder)
        with self._progress() as progress:
            return self.ensure_at(self.workbench(progress), plan, policy=policy, builder=builder, lock=lock)

    def ensure_at(
        self, bench: Workbench, plan: BuildPlan, *, policy: str, builder: str, lock: Lock | None
    ) -> ImageReference:
        """Make sure that the image of ``plan`` exists, at a workbench that somebody else attends to."""
        used = ensure_image(
            plan,
            policy=check_policy(policy),
            store=self._store(plan),
            builder=lambda: bench.builder(plan, builder, lock),
            mirror=lambda plan: self._mirror(plan, bench, is_extended=plan.needs_build),
            revision=lambda: f"{datetime.now(timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}",
            progress=bench.progress,
            lock=lock,
            turns=bench.turns(is_local=plan.is_local),
        )
        bench.check_scan(plan, used, self._store(plan))
        return used

    def _lease_objects(self) -> ConditionalObjects:
        from sagemaker_custom.aws.conditional import ConditionalObjects

        return ConditionalObjects(self._opened_session, region=self._region)

    def _opened_session(self) -> boto3.Session:
        from sagemaker_custom.aws import open_session

        return self._session or open_session(profile=self.settings.profile)

    def mirror(self, plan: BuildPlan) -> Mirrored:
        """Bring the base image of ``plan`` from where it is published to the account's own registry.

        Raises:
            UsageError: The plan takes the base from where it is published.
            RegistryError: It could not be read or written.
        """
        with self._progress() as progress:
            return self._mirror(plan, self.workbench(progress), is_extended=False)

    def _mirror(self, plan: BuildPlan, bench: Workbench, *, is_extended: bool) -> Mirrored:
        if plan.mirror_of is None:
            raise UsageError(
                f"{plan.base_reference} is taken from where AWS publishes it",
                hint="set source_region to the region that it shall be brought from",
            )
        self._repositories.ensure(plan.base_reference)
        return bench.copy(
            plan.mirror_of,
            plan.base_reference,
            platform=plan.base.platform,
            progress=bench.progress,
            watch=bench.inventories.watch if is_extended else None,
        )

    def _copied(self, *images: ImageReference, **how: Any) -> Mirrored:
        from sagemaker_custom.aws import open_session
        from sagemaker_custom.mirror import mirror_image

        profile = self.settings.source_profile
        reader = Parts(session=open_session(profile=profile), settings=self.settings) if profile else self
        return mirror_image(*images, source_registry=reader.registry, target_registry=self.registry, **how)

    def progress(self) -> AbstractContextManager[Progress]:
        """Open the display for a piece of work."""
        return self._progress()

    @cached_property
    def engine(self) -> DockerEngine:
        """The local Docker Engine."""
        from sagemaker_custom.builders.docker_engine import DockerEngine, engine_address, open_client

        # The docker command and SDK are told by the environment which engine to use, so it is handed on whole.
        environment = dict(os.environ)
        address = engine_address(environment)
        return DockerEngine(lambda: open_client(address, environment), address=address)

    @cached_property
    def registry(self) -> RegistryClient:
        """The client for image registries."""
        from sagemaker_custom.registry import RegistryClient, RequestsTransport

        return RegistryClient(
            transport=RequestsTransport(ca_bundle=self.settings.ca_bundle, timeout_s=self.settings.registry_timeout_s),
            credentials=self.registry_credentials,
            endpoint_for=self.settings.endpoint_for,
            attempts=self.settings.registry_attempts,
        )

    def registry_credentials(self, host: str) -> RegistryCredentials | None:
        """Return what opens the registry ``host``: ECR's token, else what ``docker login`` stored, else nothing."""
        ecr = ImageReference(registry=host, repository="any").ecr
        if ecr:
            return self.aws.registry_credentials(account=ecr.account, region=ecr.region)
        from sagemaker_custom.registry.docker_login import docker_login

        return docker_login(host)

    def _store(self, plan: BuildPlan) -> ImageStore:
        from sagemaker_custom.builders.store import EngineStore, RegistryStore

        if plan.is_local:
            return EngineStore(self.engine, accept_stand_ins=self.settings.accept_stand_ins)
        return RegistryStore(self.registry, cache_dir=self.settings.cache_dir)

    def builder_choice(self, plan: BuildPlan, builder: str = "auto") -> BuilderChoice:
        """Return which builder is taken, and why.

        Raises:
            UsageError: There is no such builder.
        """
        return builder_choice(plan, builder, self.settings)

    @cached_property
    def _repositories(self) -> Repositories:
        from sagemaker_custom.repositories import Repositories

        return Repositories(self.settings, aws=lambda: self.aws, registry=lambda: self.registry)

    def workbench(self, progress: Progress) -> Workbench:
        """Return what makes builders."""
        from sagemaker_custom.building import Workbench

        return Workbench(
            settings=self.settings,
            progress=progress,
            engine=lambda: self.engine,
            aws=lambda: self.aws,
            lease_objects=self._lease_objects,
            registry=lambda: self.registry,
            credentials=self.registry_credentials,
            repositories=self._repositories,
            copy=self._copied,
        )
