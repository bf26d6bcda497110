"""An endpoint → predictions, with the SDK v2's names for what one asks of it and the SDK v3's serializers."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import ClientError
from sagemaker.core.deserializers import CSVDeserializer, JSONDeserializer, NumpyDeserializer
from sagemaker.core.helper.session_helper import Session
from sagemaker.core.local.local_session import LocalSession
from sagemaker.core.model_monitor.data_capture_config import DataCaptureConfig
from sagemaker.core.serializers import CSVSerializer, JSONSerializer, LibSVMSerializer, NumpySerializer

from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk_v3.absent import OF_PREDICTORS, absent
from sagemaker_custom.sdk_v3.call import tags_as_api
from sagemaker_custom.sdk_v3.endpoint_config import current_config, other_machines, update_endpoint


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

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            raise absent(self, name, OF_PREDICTORS)

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

    def update_endpoint(
        self,
        initial_instance_count: int | None = None,
        instance_type: str | None = None,
        *,
        model_name: str | None = None,
        tags: Any = None,
        kms_key: str | None = None,
        data_capture_config_dict: Mapping[str, Any] | None = None,
        wait: bool = True,
    ) -> None:
        """Give the endpoint other machines, another model, or what else its configuration says.

        Args:
            initial_instance_count: How many machines.
            instance_type: Of what type.
            model_name: Default: the same model.
            tags: Of the configuration; default: those it has.
            kms_key: For its storage; default: the one it has.
            data_capture_config_dict: As the API has it; default: the one it has.
            wait: Whether to return when it is in service again.

        Raises:
            UsageError: Machines are named in part, it is not clear which model is meant, or it is a local endpoint.
        """
        session = self._session_on_aws()
        changes = {"Tags": tags_as_api(tags), "KmsKeyId": kms_key, "DataCaptureConfig": data_capture_config_dict}
        if initial_instance_count or instance_type or model_name:
            variants = current_config(session.sagemaker_client, self.endpoint_name)["ProductionVariants"]
            changes["ProductionVariants"] = other_machines(
                variants, count=initial_instance_count, instance_type=instance_type, model_name=model_name
            )
        given = {name: value for name, value in changes.items() if value is not None}
        update_endpoint(session, self.endpoint_name, given, wait=wait)

    def update_data_capture_config(self, data_capture_config: Any) -> None:
        """Have requests and answers of the endpoint written down, or not.

        Args:
            data_capture_config: Of the SDK v3 (``sagemaker.core.model_monitor``); ``None`` changes nothing.
        """
        described = None if data_capture_config is None else data_capture_config._to_request_dict()  # noqa: SLF001
        self.update_endpoint(data_capture_config_dict=described)

    def enable_data_capture(self) -> None:
        """Have requests and answers of the endpoint written to the session's default bucket."""
        session = self._session_on_aws()
        self.update_data_capture_config(DataCaptureConfig(enable_capture=True, sagemaker_session=session))

    def disable_data_capture(self) -> None:
        """Have nothing written down any more."""
        session = self._session_on_aws()
        self.update_data_capture_config(DataCaptureConfig(enable_capture=False, sagemaker_session=session))

    def _session_on_aws(self) -> Any:
        if isinstance(self.sagemaker_session, LocalSession):
            raise UsageError(
                f"the endpoint {self.endpoint_name} is a container of this machine, and stays as it is",
                hint="call delete_endpoint(), and deploy() again",
            )
        return self.sagemaker_session

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
    """For endpoints of :class:`CustomTensorFlow`.

    Args:
        endpoint_name: Of the endpoint.
        sagemaker_session: The SDK v3's.
        serializer: Of the SDK v3.
        deserializer: Of the SDK v3.
        model_name: Which model of the container answers; default: the container's.
        model_version: Which version of it; default: the newest.
        component_name: Of an inference component of the endpoint.
    """

    def __init__(
        self,
        endpoint_name: str,
        sagemaker_session: Any = None,
        serializer: Any = None,
        deserializer: Any = None,
        model_name: str | None = None,
        model_version: str | None = None,
        component_name: str | None = None,
    ) -> None:
        super().__init__(endpoint_name, sagemaker_session, serializer, deserializer, component_name)
        asked = {"tfs-model-name": model_name, "tfs-model-version": model_version}
        self._attributes = [f"{name}={value}" for name, value in asked.items() if value]

    def predict(self, data: Any, initial_args: Mapping[str, Any] | None = None, *args: Any, **more: Any) -> Any:
        """Ask the endpoint; see :meth:`CustomPredictor.predict`.

        Args:
            data: What the serializer takes.
            initial_args: Of the API's ``InvokeEndpoint``, by its names.
            *args: Of :meth:`CustomPredictor.predict`.
            **more: Likewise.
        """
        given = dict(initial_args or {})
        said = more.pop("custom_attributes", None) or given.get("CustomAttributes")
        if attributes := ",".join(filter(None, (said, *self._attributes))):
            given["CustomAttributes"] = attributes
        return super().predict(data, given, *args, **more)

    def classify(self, data: Any) -> Any:
        """Ask for classes, of a model that was exported with such a signature."""
        return self._by_method("classify", data)

    def regress(self, data: Any) -> Any:
        """Ask for values, of a model that was exported with such a signature."""
        return self._by_method("regress", data)

    def _by_method(self, method: str, data: Any) -> Any:
        if self.content_type != "application/json":
            raise UsageError(
                f"{method}() cannot send {self.content_type}", hint="leave serializer= out: TensorFlow wants JSON here"
            )
        return self.predict(data, custom_attributes=f"tfs-method={method}")


class CustomXGBoostPredictor(CustomPredictor):
    """For endpoints of :class:`CustomXGBoost`."""

    _serializer = LibSVMSerializer
    _deserializer = CSVDeserializer


class CustomSparkMLPredictor(CustomPredictor):
    """For endpoints of :class:`CustomSparkMLModel`; what they answer is CSV.

    Args:
        endpoint_name: Of the endpoint.
        sagemaker_session: The SDK v3's.
        serializer: Of the SDK v3.
        component_name: Of an inference component of the endpoint.
        deserializer: Of the SDK v3.
    """

    _serializer = CSVSerializer
    _deserializer = CSVDeserializer

    def __init__(
        self,
        endpoint_name: str,
        sagemaker_session: Any = None,
        serializer: Any = None,
        component_name: str | None = None,
        *,
        deserializer: Any = None,
    ) -> None:
        super().__init__(endpoint_name, sagemaker_session, serializer, deserializer, component_name)
