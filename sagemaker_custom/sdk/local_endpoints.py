"""A local model → an endpoint or a transform job on this machine, and what asks them; for either SDK."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

import urllib3

from sagemaker_custom.errors import LocalContainerError
from sagemaker_custom.sdk.local_containers import SdkClass
from sagemaker_custom.sdk.local_servers import LocalServer

INFERENCE_TIMEOUT_S = 120.0
"""How long a local endpoint may take for one answer: a model server answers pings while its only worker crashes."""

_FIRST_REFUSAL = 400


class LocalEndpoint(SdkClass):  # type: ignore[misc]  # the SDK has no types
    """The SDK's local endpoint, on a :class:`LocalServer`; to be put before the SDK's own class."""

    production_variant: dict[str, Any]
    primary_container: dict[str, Any]
    local_session: Any
    server: LocalServer | None = None

    def serve(self) -> None:
        """Start the endpoint, and return when it is in service."""
        environment = dict(self.primary_container.get("Environment") or {})
        if self.production_variant.get("AcceleratorType") == "local_sagemaker_notebook":
            environment["SAGEMAKER_INFERENCE_ACCELERATOR_PRESENT"] = "true"
        self.create_time = dt.datetime.now()  # noqa: DTZ005 - as the SDK's own jobs have it
        try:
            self.server = self.local_session.local_server(
                self.production_variant["InstanceType"], self.primary_container["Image"]
            )
            self.server.start(self.primary_container, environment)
        except BaseException:
            self.state = self._FAILED
            raise
        self.state = self._IN_SERVICE

    def stop(self) -> None:
        """Stop the endpoint, and remove all that was made for it."""
        if self.server is not None:
            self.server.stop()


class LocalTransformJob(SdkClass):  # type: ignore[misc]  # the SDK has no types
    """The SDK's local transform job, on a :class:`LocalServer`; to be put before the SDK's own class."""

    local_session: Any
    primary_container: dict[str, Any]

    def start(self, input_data: Any, output_data: Any, transform_resources: Any, **kwargs: Any) -> None:
        """Transform all of the input, and return when it is done."""
        self.transform_resources = transform_resources
        self.input_data = input_data
        self.output_data = output_data
        self.primary_container = {"Environment": {}, **self.primary_container}
        session = self.local_session
        server = session.local_server(transform_resources["InstanceType"], self.primary_container["Image"])
        # The SDK stops it when it has asked for the last time.
        self.container = server.container
        try:
            server.start(self.primary_container, self._get_container_environment(**kwargs))
            settings = {**self._get_required_defaults(), **server.execution_parameters(), **kwargs}
            self.start_time = dt.datetime.now()  # noqa: DTZ005 - as the SDK's own jobs have it
            self.batch_strategy = settings["BatchStrategy"]
            self.environment = settings.get("Environment", {})
            self.local_session = _SessionAsking(session, server.url)
            self._perform_batch_inference(input_data, output_data, **settings)
        finally:
            self.local_session = session
            server.stop()
        self.end_time = dt.datetime.now()  # noqa: DTZ005 - as above
        self.state = self._COMPLETED


class _SessionAsking:
    """A session whose runtime client asks one server, whatever endpoint is named."""

    def __init__(self, session: Any, url: str) -> None:
        self._session = session
        self.sagemaker_runtime_client = LocalRuntimeClient(session.config, lambda _: url)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


class LocalRuntimeClient:
    """Local mode's inference API, which asks each endpoint where it is.

    Args:
        config: The SDK's local one.
        url_of: Finds an endpoint's address by its name.
    """

    def __init__(self, config: dict[str, Any] | None, url_of: Callable[[str], str]) -> None:
        self.config = config
        self._url_of = url_of
        self.http = urllib3.PoolManager(timeout=INFERENCE_TIMEOUT_S, retries=False)

    def invoke_endpoint(
        self,
        Body: Any,  # noqa: N803
        EndpointName: str,  # noqa: N803
        ContentType: str | None = None,  # noqa: N803
        Accept: str | None = None,  # noqa: N803
        CustomAttributes: str | None = None,  # noqa: N803
        TargetModel: str | None = None,  # noqa: N803
        TargetVariant: str | None = None,  # noqa: N803
        InferenceId: str | None = None,  # noqa: N803
    ) -> dict[str, Any]:
        """Ask a local endpoint; returns its answer as AWS's API does, with the body still to be read.

        Raises:
            LocalContainerError: It refuses, or has ended.
        """
        headers = {
            "Content-type": ContentType,
            "Accept": Accept,
            "X-Amzn-SageMaker-Custom-Attributes": CustomAttributes,
            "X-Amzn-SageMaker-Target-Model": TargetModel,
            "X-Amzn-SageMaker-Target-Variant": TargetVariant,
            "X-Amzn-SageMaker-Inference-Id": InferenceId,
        }
        answer = self.http.request(
            "POST",
            f"{self._url_of(EndpointName)}/invocations",
            body=Body.encode() if isinstance(Body, str) else Body,
            headers={name: value for name, value in headers.items() if value is not None},
            preload_content=False,
        )
        if answer.status >= _FIRST_REFUSAL:
            said = answer.read().decode(errors="replace")
            raise LocalContainerError(
                f"the endpoint {EndpointName} answered {answer.status}: {said}",
                hint="what its container has said stands above",
            )
        return {"Body": answer, "ContentType": answer.headers.get("Content-Type") or Accept}
