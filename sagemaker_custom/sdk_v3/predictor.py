"""An endpoint → predictions, with the SDK v2's names for what one asks of it and the SDK v3's serializers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar

from botocore.exceptions import ClientError
from sagemaker.core.deserializers import CSVDeserializer, JSONDeserializer, NumpyDeserializer
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.serializers import CSVSerializer, JSONSerializer, LibSVMSerializer, NumpySerializer


class CustomPredictor:
    """Makes predictions by an endpoint, with JSON unless something else is asked for.

    Args:
        endpoint_name: Of the endpoint.
        sagemaker_session: The SDK v3's.
        serializer: Of the SDK v3 (``sagemaker.core.serializers``).
        deserializer: Of the SDK v3 (``sagemaker.core.deserializers``).
        component_name: Of an inference component of the endpoint.
    """

    _serializer: ClassVar[type] = JSONSerializer
    _deserializer: ClassVar[type] = JSONDeserializer

    def __init__(
        self,
        endpoint_name: str,
        sagemaker_session: Any = None,
        serializer: Any = None,
        deserializer: Any = None,
        component_name: str | None = None,
    ) -> None:
        self.endpoint_name = endpoint_name
        self.sagemaker_session: Any = sagemaker_session or Session()
        self.serializer = serializer or self._serializer()
        self.deserializer = deserializer or self._deserializer()
        self.component_name = component_name

    @property
    def content_type(self) -> str:
        """Of what is sent."""
        return str(self.serializer.CONTENT_TYPE)

    @property
    def accept(self) -> tuple[str, ...]:
        """Of what is answered."""
        return tuple(self.deserializer.ACCEPT)

    def predict(
        self,
        data: Any,
        initial_args: Mapping[str, Any] | None = None,
        target_model: str | None = None,
        target_variant: str | None = None,
        inference_id: str | None = None,
        custom_attributes: str | None = None,
        component_name: str | None = None,
    ) -> Any:
        """Ask the endpoint.

        Args:
            data: What the serializer takes.
            initial_args: Of the API's ``InvokeEndpoint``, by its names.
            target_model: Of an endpoint with many models.
            target_variant: Of an endpoint with several.
            inference_id: Goes into captured data.
            custom_attributes: Handed on to the container.
            component_name: Default: the predictor's.
        """
        optional = {
            "TargetModel": target_model,
            "TargetVariant": target_variant,
            "InferenceId": inference_id,
            "CustomAttributes": custom_attributes,
            "InferenceComponentName": component_name or self.component_name,
        }
        request = {
            "EndpointName": self.endpoint_name,
            "ContentType": self.content_type,
            "Accept": ", ".join(self.accept),
            **{name: value for name, value in optional.items() if value is not None},
            **(initial_args or {}),
            "Body": self.serializer.serialize(data),
        }
        answer = self.sagemaker_session.sagemaker_runtime_client.invoke_endpoint(**request)
        return self.deserializer.deserialize(answer["Body"], answer.get("ContentType", ""))

    def delete_endpoint(self, delete_endpoint_config: bool = True) -> None:
        """Delete the endpoint.

        Args:
            delete_endpoint_config: Whether its configuration goes with it.
        """
        client = self.sagemaker_session.sagemaker_client
        if delete_endpoint_config:
            described = client.describe_endpoint(EndpointName=self.endpoint_name)
            client.delete_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
        client.delete_endpoint(EndpointName=self.endpoint_name)

    def delete_model(self) -> None:
        """Delete the models that the endpoint serves; before :meth:`delete_endpoint`, which forgets them."""
        client = self.sagemaker_session.sagemaker_client
        described = client.describe_endpoint(EndpointName=self.endpoint_name)
        config = client.describe_endpoint_config(EndpointConfigName=described["EndpointConfigName"])
        for variant in config["ProductionVariants"]:
            with suppress(ClientError):
                client.delete_model(ModelName=variant["ModelName"])


class _NumpyPredictor(CustomPredictor):
    """With NumPy's format, as the SDK v2 has it for these frameworks."""

    _serializer = NumpySerializer
    _deserializer = NumpyDeserializer


class CustomPyTorchPredictor(_NumpyPredictor):
    """For endpoints of :class:`CustomPyTorch`."""


class CustomSKLearnPredictor(_NumpyPredictor):
    """For endpoints of :class:`CustomSKLearn`."""


class CustomChainerPredictor(_NumpyPredictor):
    """For endpoints of :class:`CustomChainer`."""


class CustomMXNetPredictor(CustomPredictor):
    """For endpoints of :class:`CustomMXNet`."""


class CustomHuggingFacePredictor(CustomPredictor):
    """For endpoints of :class:`CustomHuggingFace`."""


class CustomTensorFlowPredictor(CustomPredictor):
    """For endpoints of :class:`CustomTensorFlow`."""


class CustomXGBoostPredictor(CustomPredictor):
    """For endpoints of :class:`CustomXGBoost`."""

    _serializer = LibSVMSerializer
    _deserializer = CSVDeserializer


class CustomSparkMLPredictor(CustomPredictor):
    """For endpoints of :class:`CustomSparkMLModel`."""

    _serializer = CSVSerializer
    _deserializer = CSVDeserializer
