"""Local mode without an AWS account: a LocalSession that asks AWS for nothing it does not need; either SDK."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import boto3

from sagemaker_custom.sdk.compose import compose_command
from sagemaker_custom.sdk.local_client import LocalClient
from sagemaker_custom.sdk.local_containers import LocalContainer, SdkClass
from sagemaker_custom.sdk.local_endpoints import LocalRuntimeClient
from sagemaker_custom.sdk.local_gpu import local_instance_type, require_gpu
from sagemaker_custom.sdk.local_servers import LocalServer
from sagemaker_custom.sdk.local_services import DEFAULT_SERVING_PORT, LocalOptions
from sagemaker_custom.sdk.rules import LOCAL_AUTO, LOCAL_INSTANCE_TYPES, LOCAL_ROLE
from sagemaker_custom.sdk.serving import EngineInfo, choose_port, host_of
from sagemaker_custom.sdk.workspace import Workspace
from sagemaker_custom.wiring import DEFAULT_LOCAL_REGION, Parts

_NO_BUCKET = "no-aws-credentials"


class MachineEngine:
    """The Docker Engine that the environment names, connected for each question."""

    @property
    def address(self) -> str:
        """URL of the engine, as ``DOCKER_HOST`` has it."""
        return Parts().engine.address

    def info(self) -> dict[str, object]:
        """Return what ``docker info`` has.

        Raises:
            EngineUnavailableError: It does not answer.
        """
        with closing(Parts().engine) as engine:
            return engine.info()


class LaptopSession(SdkClass):  # type: ignore[misc]  # the SDK has no types
    """What makes of the SDK's ``LocalSession`` one for laptops; to be put before it.

    Source folders are laid out for the container instead of being uploaded. Containers, their network and files with
    AWS keys are gone when a job, an endpoint or this process has ended.

    Args:
        boto_session: Default: the environment's.
        shm_size: Of ``/dev/shm`` in the containers, as ``"2g"``, which is the default.
        endpoint_timeout_s: How long a serving container may take until it is healthy.
        serving_port: Of this machine, for endpoints; 0 takes any free one; default: the SDK's configuration's, else
            8080.
        engine: Is asked for GPUs and for its host; default: the one that the environment names.
        **kwargs: Every other argument of the SDK's ``LocalSession``; ``s3_endpoint_url`` counts for containers
            and for all uploads.

    Raises:
        UsageError: A value cannot work.
    """

    _container_class: ClassVar[type[LocalContainer]]
    _client_class: ClassVar[type[LocalClient]]
    _pipeline_session: ClassVar[type]
    config: Any
    boto_session: Any
    sagemaker_client: Any
    s3_endpoint_url: str | None
    sagemaker_runtime_client: Any
    _disable_local_code: bool
    _default_bucket_name_override: str | None

    def __init__(
        self,
        boto_session: boto3.Session | None = None,
        *args: Any,
        shm_size: str | None = None,
        endpoint_timeout_s: float = 600.0,
        serving_port: int | None = None,
        engine: EngineInfo | None = None,
        **kwargs: Any,
    ) -> None:
        self._held: list[object] = []
        self.working_folders: list[Path] = []
        self._options = LocalOptions(
            shm_size=shm_size, endpoint_timeout_s=endpoint_timeout_s, serving_port=serving_port
        )
        self._engine = engine or MachineEngine()
        self._host: str | None = None
        session: Any = boto_session or boto3.Session()
        if session.region_name is None:
            session = boto3.Session(region_name=DEFAULT_LOCAL_REGION)
        super().__init__(session, *args, **kwargs)
        if not (self._disable_local_code or (self.config and "local_code" in self.config.get("local", {}))):
            self.config = {**(self.config or {}), "local": {**(self.config or {}).get("local", {}), "local_code": True}}

    @classmethod
    def adopt(cls, session: Any) -> Any:
        """Return ``session`` as one of this class, with everything its user has set on it; a pipeline's as it is."""
        if isinstance(session, (cls, cls._pipeline_session)):
            return session
        adopted = cls(
            boto_session=session.boto_session,
            default_bucket=session._default_bucket_name_override,  # noqa: SLF001 - the SDK offers no other way
            s3_endpoint_url=getattr(session, "s3_endpoint_url", None),
            disable_local_code=getattr(session, "_disable_local_code", False),
            default_bucket_prefix=session.default_bucket_prefix,
            sagemaker_config=session.sagemaker_config or None,
        )
        if session.config is not None:
            adopted.config = session.config
        return adopted

    @classmethod
    def use_in(cls, given: dict[str, Any]) -> None:
        """Give local mode a session, a role, and an instance type that need no AWS account; nothing to other modes.

        Args:
            given: Arguments by name, which are changed.
        """
        if given.get("instance_type") not in LOCAL_INSTANCE_TYPES:
            return
        session = given.get("sagemaker_session")
        given["sagemaker_session"] = session = cls() if session is None else cls.adopt(session)
        if isinstance(session, cls):
            given["instance_type"] = session.which(given["instance_type"])
        given["role"] = given.get("role") or LOCAL_ROLE

    def _initialize(self, boto_session: Any, *args: Any, **kwargs: Any) -> None:
        if self.s3_endpoint_url is not None:
            boto_session = _SessionForS3(boto_session, self.s3_endpoint_url)
        super()._initialize(boto_session, *args, **kwargs)
        self.sagemaker_client = self._client_class(self)
        self.sagemaker_runtime_client = LocalRuntimeClient(self.config, self._url_of)

    def which(self, instance_type: Any) -> Any:
        """Return what an instance type stands for on this machine: ``local_auto`` for ``local_gpu`` or ``local``.

        Raises:
            EngineUnavailableError: The engine does not answer.
        """
        return local_instance_type(self._engine) if instance_type == LOCAL_AUTO else instance_type

    def hold(self, resource: object) -> None:
        """Keep something that containers use for as long as this session lives, which their predictors hold."""
        self._held.append(resource)

    def working_folder(self) -> Workspace:
        """Make a folder that is mounted into containers; it goes with its object, and if this process is killed."""
        workspace = Workspace(((self.config or {}).get("local") or {}).get("container_root"))
        self.working_folders.append(workspace.path)
        return workspace

    def expand_role(self, role: str) -> str:
        """Return the role as it is: nobody assumes it here."""
        return role

    def default_bucket(self) -> str:
        """Return the default bucket; without credentials a name that leads nowhere, since local files need none."""
        if self._default_bucket_name_override is None and self.boto_session.get_credentials() is None:
            return _NO_BUCKET
        return str(super().default_bucket())

    @property
    def uses_local_code(self) -> bool:
        """Whether source folders are mounted; with ``local_code: False`` they go through S3 as on AWS."""
        return bool((self.config or {}).get("local", {}).get("local_code"))

    @property
    def serving_port(self) -> int:
        """Port of the next endpoint; 0 for any free one."""
        if self._options.serving_port is not None:
            return self._options.serving_port
        return int((self.config or {}).get("local", {}).get("serving_port") or DEFAULT_SERVING_PORT)

    def local_container(
        self,
        instance_type: str,
        instance_count: int,
        image: str,
        *,
        entrypoint: Sequence[str] | None = None,
        arguments: Sequence[str] | None = None,
        serving_port: int | None = None,
    ) -> LocalContainer:
        """Return containers that are still to be started.

        Raises:
            EngineUnavailableError: There is no engine, no Docker Compose, or no GPU for ``local_gpu``.
        """
        # Compose's own words about an engine that is not there would stand for a training that failed.
        self._engine.info()
        instance_type = self.which(instance_type)
        gpu_device = require_gpu(self._engine) if instance_type == "local_gpu" else None
        try:
            return self._container_class(
                instance_type,
                instance_count,
                image,
                self,
                replace(self._options, serving_port=serving_port or self._options.serving_port),
                entrypoint=entrypoint,
                arguments=arguments,
                gpu_device=gpu_device,
            )
        except ImportError:
            # The SDK says so where it finds no Compose, which is no package of Python.
            compose_command()
            raise

    def local_server(self, instance_type: str, image: str) -> LocalServer:
        """Return a server that is still to be started.

        Raises:
            EngineUnavailableError: There is no engine, no Docker Compose, or no GPU for ``local_gpu``.
            UsageError: The port is taken.
        """
        host = self._engine_host()
        port = choose_port(self.serving_port, host)
        container = self.local_container(instance_type, 1, image, serving_port=port)
        return LocalServer(container, host=host, port=port, timeout_s=self._options.endpoint_timeout_s)

    def _engine_host(self) -> str:
        if self._host is None:
            self._host = host_of(self._engine)
        return self._host

    def _url_of(self, endpoint_name: str) -> str:
        endpoint = self._client_class.find_endpoint(endpoint_name)
        server = getattr(endpoint, "server", None)
        if server is None:
            return f"http://{self._engine_host()}:{self.serving_port}"
        server.check()
        return str(server.url)

    # What local mode creates is done when the call returns, and the SDK would sleep before it looks for the first time.

    def wait_for_endpoint(self, endpoint: str, poll: float = 0, live_logging: bool = False) -> Any:
        """Return the endpoint's description."""
        del poll, live_logging
        return super().wait_for_endpoint(endpoint, poll=0)

    def wait_for_job(self, job: str, poll: float = 0) -> Any:
        """Return the training job's description."""
        del poll
        return super().wait_for_job(job, poll=0)

    def wait_for_processing_job(self, job: str, poll: float = 0) -> Any:
        """Return the processing job's description."""
        del poll
        return super().wait_for_processing_job(job, poll=0)

    def wait_for_transform_job(self, job: str, poll: float = 0) -> Any:
        """Return the transform job's description."""
        del poll
        return super().wait_for_transform_job(job, poll=0)

    def logs_for_transform_job(self, job_name: str, wait: bool = False, poll: float = 0) -> None:
        """Do nothing: the container's output was shown as it came."""
        del job_name, wait, poll


class _SessionForS3:
    """A boto session whose S3 clients go to one endpoint, also those that the SDK makes by itself."""

    def __init__(self, session: Any, url: str) -> None:
        self._session = session
        self._url = url

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        return self._session.client(service_name, *args, **self._with_endpoint(service_name, kwargs))

    def resource(self, service_name: str, *args: Any, **kwargs: Any) -> Any:
        return self._session.resource(service_name, *args, **self._with_endpoint(service_name, kwargs))

    def _with_endpoint(self, service_name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
        if service_name == "s3" and kwargs.get("endpoint_url") is None:
            return {**kwargs, "endpoint_url": self._url}
        return kwargs
