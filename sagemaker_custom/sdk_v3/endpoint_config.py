"""The configuration of an endpoint, and what shall be other → the endpoint with a new configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sagemaker.core.common_utils import name_from_base

from sagemaker_custom.errors import UsageError


def update_endpoint(session: Any, endpoint_name: str, changes: Mapping[str, Any], *, wait: bool) -> None:
    """Give an endpoint a configuration like the one it has, but for some members.

    Args:
        session: The SDK's.
        endpoint_name: Of the endpoint.
        changes: Members of the API's ``CreateEndpointConfig``.
        wait: Whether to return when it is in service again.
    """
    client = session.sagemaker_client
    before = current_config(client, endpoint_name)
    takes = client.meta.service_model.operation_model("CreateEndpointConfig").input_shape.members
    tags = client.list_tags(ResourceArn=before["EndpointConfigArn"])["Tags"]
    kept = {
        **{name: value for name, value in before.items() if name in takes},
        # AWS's own may not be given.
        "Tags": [tag for tag in tags if not tag["Key"].startswith("aws:")],
    }
    name = name_from_base(before["EndpointConfigName"])
    client.create_endpoint_config(**{**kept, **changes, "EndpointConfigName": name})
    session.update_endpoint(endpoint_name, name, wait=wait)


def current_config(client: Any, endpoint_name: str) -> dict[str, Any]:
    """Return the configuration of an endpoint, as AWS describes it."""
    endpoint = client.describe_endpoint(EndpointName=endpoint_name)
    described: dict[str, Any] = client.describe_endpoint_config(EndpointConfigName=endpoint["EndpointConfigName"])
    return described


def other_machines(
    variants: Sequence[Mapping[str, Any]], *, count: int | None, instance_type: str | None, model_name: str | None
) -> list[dict[str, Any]]:
    """Return the one variant of an endpoint, on other machines or with another model.

    Args:
        variants: Of the endpoint.
        count: Of machines.
        instance_type: Of them.
        model_name: Default: the same model.

    Raises:
        UsageError: Machines are named in part, or it is not clear which model is meant.
    """
    if count is None or instance_type is None:
        raise UsageError(
            f"initial_instance_count={count!r} and instance_type={instance_type!r} do not say on which machines",
            hint="give both",
        )
    names = {variant["ModelName"] for variant in variants}
    if model_name is None and len(names) > 1:
        raise UsageError(f"the endpoint has several models: {', '.join(sorted(names))}", hint="give model_name=")
    return [
        {
            "VariantName": "AllTraffic",
            "ModelName": model_name or names.pop(),
            "InitialInstanceCount": count,
            "InstanceType": instance_type,
            "InitialVariantWeight": 1,
        }
    ]
