"""Arguments of ``register()`` by the SDK v2's names → the SDK v3's ``ModelBuilder.register()``, and what it returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sagemaker.core.resources import ModelPackage

from sagemaker_custom.sdk_v3.absent import OF_PACKAGES, absent
from sagemaker_custom.sdk_v3.call import named_call, refuse_others

_TO_BUILDER = "model_builder(), and its register()"
INSTEAD = {
    "accept_eula": _TO_BUILDER,
    "base_model": "sagemaker.core.resources.ModelPackage.create()",
    "compile_model_family": "a model that was compiled beforehand: AWS has ended Neo's place in the SDK",
    "model_package_registration_type": "sagemaker.core.resources.ModelPackage.create()",
    "model_type": _TO_BUILDER,
}
"""Arguments of the SDK v2's ``register()`` that have no place here → what does the same."""
_BEGINNING = ("content_types", "response_types", "inference_instances", "transform_instances")
_NAMES = ("model_package_name", "model_package_group_name")
_MIDDLE = (
    *("model_metrics", "metadata_properties", "marketplace_cert", "approval_status", "description"),
    *("drift_check_baselines", "customer_metadata_properties"),
)
_END = (
    *("framework", "framework_version", "nearest_model_name", "data_input_configuration", "skip_model_validation"),
    "source_uri",
)
ORDER_OF_MODELS = (
    *(*_BEGINNING, *_NAMES, "image_uri", *_MIDDLE),
    *("validation_specification", "domain", "task", "sample_payload_url", *_END, "model_card", "model_life_cycle"),
)
"""Of the arguments of a model's ``register()`` in the SDK v2."""
ORDER_OF_ESTIMATORS = (
    *(*_BEGINNING, "image_uri", *_NAMES, *_MIDDLE[:5], "compile_model_family", "model_name", *_MIDDLE[5:]),
    *("domain", "sample_payload_url", "task", *_END, "model_life_cycle", "model_card"),
)
"""Of the arguments of an estimator's ``register()`` in the SDK v2."""


def of_register(
    order: Sequence[str], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Name the arguments of a call, and part those of ``register()`` from all others.

    Args:
        order: Names of those that may be given by place.
        args: Those given by place.
        kwargs: Those given by name.

    Raises:
        TypeError: Too many, or one twice.
        UsageError: The SDK v3 has nothing that does what one asks for.
    """
    given = named_call("register", order, args, kwargs, ()).given
    refuse_others({name: value for name, value in given.items() if name in INSTEAD}, (), INSTEAD)
    own = {name: value for name, value in given.items() if name in ORDER_OF_MODELS}
    return own, {name: value for name, value in given.items() if name not in own and name not in INSTEAD}


@dataclass(frozen=True, kw_only=True, slots=True)
class PackagedModel:
    """A model in the model registry, with the names that the SDK v2 has for what one asks of it."""

    model_package_arn: str
    sagemaker_session: Any

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise absent(self, name, OF_PACKAGES)

    @property
    def model_package(self) -> ModelPackage:
        """The SDK v3's."""
        session = self.sagemaker_session
        return ModelPackage.get(self.model_package_arn, session=session.boto_session, region=session.boto_region_name)

    def update_approval_status(self, approval_status: str, approval_description: str | None = None) -> None:
        """Approve or reject it.

        Args:
            approval_status: ``Approved``, ``Rejected`` or ``PendingManualApproval``.
            approval_description: Why.
        """
        why = {} if approval_description is None else {"ApprovalDescription": approval_description}
        self.sagemaker_session.sagemaker_client.update_model_package(
            ModelPackageArn=self.model_package_arn, ModelApprovalStatus=approval_status, **why
        )
