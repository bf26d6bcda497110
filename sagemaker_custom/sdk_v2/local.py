"""Local mode without an AWS account: a LocalSession that asks AWS for nothing it does not need."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import boto3
import urllib3
from sagemaker.local import LocalSession
from sagemaker.local.local_session import LocalSagemakerClient
from sagemaker.workflow.pipeline_context import PipelineSession

from sagemaker_custom.wiring import DEFAULT_LOCAL_REGION

LOCAL_INSTANCE_TYPES = ("local", "local_gpu")
LOCAL_ROLE = "arn:aws:iam::000000000000:role/local"
"""For local mode, where nobody assumes a role but the SDK wants one."""

INFERENCE_TIMEOUT_S = 120.0
"""How long a local endpoint may take for one answer: a model server answers pings while its only worker crashes."""


class _Client(LocalSagemakerClient):  # type: ignore[misc]  # the SDK has no types
    """Local mode's SageMaker API, with environment values that arrive in the container as they are."""

    def create_training_job(self, *args: Any, Environment: Mapping[str, str] | None = None, **kwargs: Any) -> None:  # noqa: N803
        super().create_training_job(*args, Environment=_escaped(Environment), **kwargs)

    def create_processing_job(self, *args: Any, Environment: Mapping[str, str] | None = None, **kwargs: Any) -> None:  # noqa: N803
        super().create_processing_job(*args, Environment=_escaped(Environment), **kwargs)

    def create_model(self, ModelName: str, PrimaryContainer: dict[str, Any], *args: Any, **kwargs: Any) -> None:  # noqa: N803
        container = {**PrimaryContainer, "Environment": _escaped(PrimaryContainer.get("Environment"))}
        super().create_model(ModelName, container, *args, **kwargs)


def _escaped(environment: Mapping[str, Any] | None) -> dict[str, Any]:
    """Double each ``$``: Docker Compose would take ``$WORD`` for one of its variables."""
    return {
        name: value.replace("$", "$$") if isinstance(value, str) else value
        for name, value in (environment or {}).items()
    }


class CustomLocalSession(LocalSession):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``LocalSession`` for laptops: works without region, credentials, role and default bucket.

    Source folders are laid out for the container instead of being uploaded. Takes the arguments of
    ``sagemaker.local.LocalSession``.
    """

    config: Any
    sagemaker_runtime_client: Any
    _disable_local_code: bool

    def __init__(self, boto_session: boto3.Session | None = None, **kwargs: Any) -> None:
        self._held: list[object] = []
        session: Any = boto_session or boto3.Session()
        if session.region_name is None:
            session = boto3.Session(region_name=DEFAULT_LOCAL_REGION)
        super().__init__(boto_session=session, **kwargs)
        if not (self._disable_local_code or (self.config and "local_code" in self.config.get("local", {}))):
            self.config = {**(self.config or {}), "local": {**(self.config or {}).get("local", {}), "local_code": True}}

    @classmethod
    def adopt(cls, session: Any) -> Any:
        """Return ``session`` as one of this class, with everything its user has set on it; a pipeline's as it is."""
        if isinstance(session, (cls, PipelineSession)):
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

    def _initialize(self, boto_session: boto3.Session, *args: Any, **kwargs: Any) -> None:
        super()._initialize(boto_session, *args, **kwargs)
        self.sagemaker_client = _Client(self)
        self.sagemaker_runtime_client.http = urllib3.PoolManager(timeout=INFERENCE_TIMEOUT_S, retries=False)

    def hold(self, resource: object) -> None:
        """Keep something that containers use for as long as this session lives, which their predictors hold."""
        self._held.append(resource)

    def expand_role(self, role: str) -> str:
        """Return the role as it is: nobody assumes it here."""
        return role

    @property
    def uses_local_code(self) -> bool:
        """Whether source folders are mounted; with ``local_code: False`` they go through S3 as on AWS."""
        return bool((self.config or {}).get("local", {}).get("local_code"))
