"""Arguments of a model by the SDK v2's names → the parts of the SDK v3's ``ModelBuilder``, or what does the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker.core.inference_config import ServerlessInferenceConfig
from sagemaker.core.training.configs import Networking

_TO_BUILDER = "ModelBuilder(image_uri=inference_image(…)), and its arguments"
INSTEAD = {
    "additional_model_data_sources": _TO_BUILDER,
    "git_config": "source_dir= with a clone of the repository",
    "model_reference_arn": _TO_BUILDER,
    "resources": _TO_BUILDER,
}
"""Arguments of the SDK v2's models that have no place here → what does the same."""
INSTEAD_OF_DEPLOY = {
    "accelerator_type": "an instance type that has the accelerator: AWS has ended Elastic Inference",
    "accept_eula": _TO_BUILDER,
    "endpoint_type": _TO_BUILDER,
    "inference_component_name": _TO_BUILDER,
    "inference_recommendation_id": "ModelBuilder.from_recommendation_job()",
    "managed_instance_scaling": _TO_BUILDER,
    "model_reference_arn": _TO_BUILDER,
    "resources": _TO_BUILDER,
    "use_compiled_model": "a model that was compiled beforehand: AWS has ended Neo's place in the SDK",
}
"""Arguments of the SDK v2's ``deploy()`` that have no place here → what does the same."""
HANDED_ON = (
    *("async_inference_config", "container_startup_health_check_timeout", "data_capture_config", "endpoint_logging"),
    *("explainer_config", "inference_ami_version", "kms_key", "model_data_download_timeout", "routing_config"),
    *("serverless_inference_config", "update_endpoint", "volume_size"),
)
"""Arguments of the SDK v2's ``deploy()`` that the SDK v3's takes under the same name."""
OF_DEPLOY = frozenset({*HANDED_ON, *INSTEAD_OF_DEPLOY, "serializer", "deserializer", "endpoint_name", "tags", "wait"})
"""Names of all that ``deploy()`` takes besides machines."""
OF_TRANSFORMER = frozenset(
    {
        *("accept", "assemble_with", "base_transform_job_name", "env", "max_concurrent_transforms", "max_payload"),
        *("output_kms_key", "output_path", "strategy", "tags", "transform_ami_version", "volume_kms_key"),
    }
)
"""Names of all that ``transformer()`` takes besides machines."""
_WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"
_LOG_LEVEL = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelArguments:
    """What a model of the SDK v2 takes besides its image, by its names."""

    model_data: str | None = None
    role: str | None = None
    entry_point: str | None = None
    source_dir: str | None = None
    dependencies: Sequence[str] | None = None
    env: Mapping[str, str] | None = None
    name: str | None = None
    vpc_config: Mapping[str, Sequence[str]] | None = None
    enable_network_isolation: bool | None = None
    sagemaker_session: Any = None
    model_kms_key: str | None = None
    image_config: Any = None
    code_location: str | None = None
    container_log_level: int = _LOG_LEVEL
    model_server_workers: int | None = None
    predictor_cls: Any = None

    def environment(self) -> dict[str, str]:
        """Return what the container gets besides what names its script."""
        workers = {} if self.model_server_workers is None else {_WORKERS: str(self.model_server_workers)}
        return {**workers, **(self.env or {})}

    def network(self) -> Networking | None:
        """Say in which network."""
        if self.vpc_config is None and not self.enable_network_isolation:
            return None
        vpc = self.vpc_config or {}
        return Networking(
            subnets=list(vpc["Subnets"]) if vpc else None,
            security_group_ids=list(vpc["SecurityGroupIds"]) if vpc else None,
            enable_network_isolation=bool(self.enable_network_isolation),
        )


def inference_config_of(serverless: Any) -> ServerlessInferenceConfig | None:
    """Return the class that the SDK v3's ``deploy()`` knows; it has two of the same name and members.

    Args:
        serverless: Either; ``None`` for an endpoint with machines of its own.
    """
    return None if serverless is None else ServerlessInferenceConfig(**vars(serverless))
