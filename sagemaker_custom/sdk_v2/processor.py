"""Processors that run a script in an extended image; in local mode their code and files stay on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sagemaker.huggingface.processing import HuggingFaceProcessor
from sagemaker.mxnet.processing import MXNetProcessor
from sagemaker.processing import FrameworkProcessor, ProcessingInput
from sagemaker.pytorch.processing import PyTorchProcessor
from sagemaker.tensorflow.processing import TensorFlowProcessor
from sagemaker.workflow import is_pipeline_variable
from sagemaker.xgboost.processing import XGBoostProcessor

from sagemaker_custom.archive import write_tar_gz
from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.sdk.images import Extras
from sagemaker_custom.sdk.locks import Locks
from sagemaker_custom.sdk_v2.calls import read_call
from sagemaker_custom.sdk_v2.code import Workspace
from sagemaker_custom.sdk_v2.estimator import use_local_session
from sagemaker_custom.sdk_v2.huggingface import CustomHuggingFace
from sagemaker_custom.sdk_v2.local import CustomLocalSession
from sagemaker_custom.sdk_v2.mxnet import CustomMXNet
from sagemaker_custom.sdk_v2.pytorch import CustomPyTorch
from sagemaker_custom.sdk_v2.tensorflow import CustomTensorFlow
from sagemaker_custom.sdk_v2.xgboost import CustomXGBoost
from sagemaker_custom.settings import Settings
from sagemaker_custom.source import bundle

_CODE = "/opt/ml/processing/input/code/"


class ExtendedProcessor(FrameworkProcessor):  # type: ignore[misc]  # the SDK has no types
    """Stands before a processor of the SDK among the bases, which then takes these arguments besides its own.

    ``run()`` makes sure that the image exists, as ``fit()`` of an estimator does; the constructor builds nothing.

    Args:
        *args: Of the SDK's class. Versions and Python may be left out.
        extras: As the estimators take them.
        replace: As the estimators take it.
        lock: As the estimators take it.
        image: As the estimators take it.
        cuda_version: As the estimators take it.
        build: As the estimators take it.
        builder: As the estimators take it.
        catalog: As the estimators take it.
        settings: As the estimators take them.
        **kwargs: Of the SDK's class.
    """

    estimator_cls: Any
    image_uri: Any
    sagemaker_session: Any

    def __init__(
        self,
        *args: Any,
        extras: Extras = (),
        replace: Sequence[str] | str = (),
        lock: Locks = None,
        image: str | None = None,
        cuda_version: str | None = None,
        build: str = "if-missing",
        builder: str = "auto",
        catalog: Locations = (),
        settings: Settings | None = None,
        **kwargs: Any,
    ) -> None:
        call = read_call(super().__init__, args, kwargs)
        given = call.given
        self._asked: dict[str, Any] = {
            "extras": extras,
            "replace": replace,
            "lock": lock,
            "image": image,
            "cuda_version": cuda_version,
            "build": build,
            "builder": builder,
            "catalog": catalog,
            "settings": settings,
        }
        self._given_image = given.get("image_uri")
        use_local_session(given)
        # The SDK's defaults for these are of years ago.
        for name in ("py_version", "framework_version"):
            if name in call.takes:
                given.setdefault(name, None)
        super().__init__(**given)

    def _create_estimator(self, *args: Any, **kwargs: Any) -> Any:
        # The SDK hands on the image that it has resolved as if the user had given it.
        resolved, self.image_uri = getattr(self, "image_uri", None), self._given_image
        estimator_class = self.estimator_cls
        self.estimator_cls = partial(estimator_class, **self._asked)
        try:
            return super()._create_estimator(*args, **kwargs)
        finally:
            self.image_uri, self.estimator_cls = resolved, estimator_class

    @property
    def _stays_here(self) -> bool:
        session = self.sagemaker_session
        return isinstance(session, CustomLocalSession) and session.uses_local_code

    def _pack_and_upload_code(
        self,
        code: str,
        source_dir: str | None,
        dependencies: list[str] | None,
        git_config: dict[str, str] | None,
        job_name: str | None,
        inputs: list[ProcessingInput] | None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        if code.startswith("s3://"):
            # The SDK packs nothing then, and so makes no estimator, which would do it.
            self._create_estimator().provide_image()
        if not self._stays_here or git_config or code.startswith("s3://"):
            return super()._pack_and_upload_code(
                code, source_dir, dependencies, git_config, job_name, inputs, *args, **kwargs
            )
        packed = bundle(code, source_dir, dependencies or ())
        self._create_estimator(entry_point=code, source_dir=source_dir).provide_image()
        workspace = Workspace(self.sagemaker_session)
        self.sagemaker_session.hold(workspace)
        payload, start = workspace.path / "code", workspace.path / "start" / "runproc.sh"
        payload.mkdir()
        with (payload / "sourcedir.tar.gz").open("wb") as file:
            write_tar_gz(packed.entries, file, digest=packed.digest)
        start.parent.mkdir()
        start.write_text(self._generate_framework_script(packed.script_name), encoding="utf-8")
        mounted = ProcessingInput(input_name="code", source=f"file://{payload}", destination=_CODE)
        return str(start), [*(inputs or ()), mounted], job_name

    def _upload_code(self, code: str, kms_key: str | None = None) -> Any:
        return f"file://{code}" if self._stays_here else super()._upload_code(code, kms_key)

    def _normalize_inputs(self, inputs: Any = None, kms_key: str | None = None) -> Any:
        if not self._stays_here:
            return super()._normalize_inputs(inputs, kms_key)
        here = [item for item in inputs or () if _is_here(item.source)]
        for number, item in enumerate(here, 1):
            path = Path(url2pathname(urlsplit(item.source).path)).absolute()
            item.source = item.s3_input.s3_uri = f"file://{path}"
            item.input_name = item.input_name or f"local-input-{number}"
        return [*here, *super()._normalize_inputs([item for item in inputs or () if item not in here], kms_key)]

    def _normalize_outputs(self, outputs: Any = None) -> Any:
        if not self._stays_here:
            return super()._normalize_outputs(outputs)
        here = [item for item in outputs or () if item.destination is None or _is_here(item.destination)]
        for number, item in enumerate(here, 1):
            item.output_name = item.output_name or f"local-output-{number}"
            folder = urlsplit(item.destination).path if item.destination else tempfile.mkdtemp(prefix=item.output_name)
            item.destination = f"file://{Path(url2pathname(folder)).absolute()}"
        return [*here, *super()._normalize_outputs([item for item in outputs or () if item not in here])]


def _is_here(place: Any) -> bool:
    return not is_pipeline_variable(place) and urlsplit(place or "s3://").scheme in ("", "file")


class CustomFrameworkProcessor(ExtendedProcessor):
    """The SDK's ``FrameworkProcessor`` in an extended image: ``estimator_cls`` is a class of this package."""


class CustomPyTorchProcessor(ExtendedProcessor, PyTorchProcessor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``PyTorchProcessor`` with a few packages more in its image."""

    estimator_cls = CustomPyTorch


class CustomTensorFlowProcessor(ExtendedProcessor, TensorFlowProcessor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``TensorFlowProcessor`` with a few packages more in its image."""

    estimator_cls = CustomTensorFlow


class CustomHuggingFaceProcessor(ExtendedProcessor, HuggingFaceProcessor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``HuggingFaceProcessor`` with a few packages more in its image."""

    estimator_cls = CustomHuggingFace


class CustomMXNetProcessor(ExtendedProcessor, MXNetProcessor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``MXNetProcessor`` with a few packages more in its image."""

    estimator_cls = CustomMXNet


class CustomXGBoostProcessor(ExtendedProcessor, XGBoostProcessor):  # type: ignore[misc]  # the SDK has no types
    """The SDK's ``XGBoostProcessor`` with a few packages more in its image."""

    estimator_cls = CustomXGBoost
