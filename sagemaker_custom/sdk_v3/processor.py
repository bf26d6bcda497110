"""The SDK v2's processors, in extended images, over the SDK v3's ``FrameworkProcessor``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from sagemaker.core.processing import FrameworkProcessor
from sagemaker.core.s3 import s3_path_join
from sagemaker.core.utils import install_requirements
from sagemaker.core.utils.utils import serialize
from sagemaker.core.workflow import is_pipeline_variable
from sagemaker.core.workflow.pipeline_context import runnable_by_pipeline
from sagemaker.core.workflow.utilities import hash_file

from sagemaker_custom.catalog_sources import Locations
from sagemaker_custom.errors import UsageError
from sagemaker_custom.sdk.images import Extras
from sagemaker_custom.sdk.local_folders import remove_folder
from sagemaker_custom.sdk.locks import Locks
from sagemaker_custom.sdk_v3.call import named_call, refuse_others
from sagemaker_custom.sdk_v3.frameworks import (
    CustomHuggingFace,
    CustomMXNet,
    CustomPyTorch,
    CustomTensorFlow,
    CustomXGBoost,
)
from sagemaker_custom.sdk_v3.local import CustomLocalSession
from sagemaker_custom.sdk_v3.local_processing import START_FOLDER, file_address, is_here, lay_out
from sagemaker_custom.sdk_v3.processing_files import ProcessingInput, ProcessingOutput, input_shapes, output_shapes
from sagemaker_custom.sdk_v3.processing_job import StartedProcessingJob
from sagemaker_custom.sdk_v3.source import upload_bundle
from sagemaker_custom.settings import Settings
from sagemaker_custom.source import SourceBundle, bundle

_MACHINES = ("role", "instance_count", "instance_type")
_REST = (
    *("command", "volume_size_in_gb", "volume_kms_key", "output_kms_key", "code_location", "max_runtime_in_seconds"),
    *("base_job_name", "sagemaker_session", "env", "tags", "network_config"),
)
_COMMON = ("framework_version", "py_version")
_HUGGING_FACE = ("transformers_version", "tensorflow_version", "pytorch_version", "py_version")
_BY_PLACE = ("framework_version", *_MACHINES, "py_version", "image_uri", *_REST)
_PACKAGE_INDEX = "CA_REPOSITORY_ARN"
"""Where the SDK v3's script looks for a repository of CodeArtifact."""


class ExtendedProcessor(FrameworkProcessor):  # type: ignore[misc]  # the SDK has no types
    """Takes what the SDK v2's processors take, and these arguments besides; runs on the SDK v3.

    ``run()`` makes sure that the image exists, as ``fit()`` of an estimator does; the constructor builds nothing.

    Args:
        *args: Of the SDK v2's class, in its order. Versions and Python may be left out.
        extras: As the estimators take them.
        replace: As the estimators take it.
        lock: As the estimators take it.
        image: As the estimators take it.
        cuda_version: As the estimators take it.
        build: As the estimators take it.
        builder: As the estimators take it.
        catalog: As the estimators take it.
        settings: As the estimators take them.
        **kwargs: Of the SDK v2's class, by its names. An ``image_uri`` is your own image, used untouched.

    Raises:
        UsageError: Arguments contradict each other or cannot be read; also a ``ValueError``.
        ImageNotInCatalogError: The catalog has no such version, Python or CUDA; names the nearest.
    """

    estimator_cls: Any = None
    _order: ClassVar[tuple[str, ...]] = _BY_PLACE
    """Names of the arguments that may be given by place: all that there are."""
    _named: ClassVar[tuple[str, ...]] = _COMMON
    """Names of the arguments about the framework."""
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
        ours = {
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
        given = named_call(type(self).__name__, self._order, args, kwargs, self._named).given
        refuse_others(given, self._order, {}, ours)
        if not is_pipeline_variable(given.get("instance_type")):
            CustomLocalSession.use_in(given)
        self.estimator_cls = given.pop("estimator_cls", None) or self.estimator_cls
        self._given_image = given.pop("image_uri", None)
        self._settings = settings or Settings.load()
        self._source: SourceBundle | None = None
        self._folder: Path | None = None
        self._package_index: str | None = None
        self._estimator = self._image_chooser(given, {name: value for name, value in ours.items() if value})
        given = {name: value for name, value in given.items() if name not in self._named}
        super().__init__(
            **given | {"sagemaker_session": self._estimator.sagemaker_session},
            image_uri=self._estimator.training_image_uri() if self._given_image is None else self._given_image,
        )

    def _image_chooser(self, given: dict[str, Any], ours: dict[str, Any]) -> Any:
        if self.estimator_cls is None:
            raise UsageError(
                f"{type(self).__name__} is given no estimator_cls",
                hint="name the class that has the framework: estimator_cls=CustomSKLearn",
            )
        asked = {name: given[name] for name in self._named if given.get(name) is not None}
        machines = {name: given.get(name) for name in ("role", "instance_type", "sagemaker_session")}
        return self.estimator_cls(**asked, **machines, instance_count=1, image_uri=self._given_image, **ours)

    @runnable_by_pipeline  # type: ignore[untyped-decorator]  # the SDK has no types
    def run(
        self,
        code: str,
        source_dir: str | None = None,
        dependencies: Sequence[str] | None = None,
        git_config: Any = None,
        inputs: Sequence[Any] | None = None,
        outputs: Sequence[Any] | None = None,
        arguments: Sequence[Any] | None = None,
        wait: bool = True,
        logs: bool = True,
        job_name: str | None = None,
        experiment_config: dict[str, str] | None = None,
        kms_key: str | None = None,
        codeartifact_repo_arn: str | None = None,
        *,
        requirements: str | None = None,
    ) -> Any:
        """Run a script, after making sure that the image exists.

        Args:
            code: The script: its path, inside ``source_dir`` where that is given; or ``s3://…``.
            source_dir: A folder, or an archive at ``s3://…/sourcedir.tar.gz``.
            dependencies: Files and folders to add at the top level.
            git_config: Not for the SDK v3.
            inputs: ``ProcessingInput`` of this package, or of the SDK v3 (``sagemaker.core.shapes``).
            outputs: ``ProcessingOutput`` of this package, or of the SDK v3.
            arguments: Of the script.
            wait: Whether to return when the job has ended; one on this machine always has.
            logs: Whether to print its log meanwhile.
            job_name: Default: one that is made up.
            experiment_config: As the SDK v2 takes it.
            kms_key: To encrypt the code with.
            codeartifact_repo_arn: Repository to install the code's requirements from.
            requirements: File in the code with its requirements; default: ``requirements.txt`` if there is one.

        Returns:
            ``None``; with a ``PipelineSession`` what ``ProcessingStep(step_args=…)`` takes.

        Raises:
            SourceError: The code cannot be packed; said before anything is built.
            ImageMissingError: The image does not exist, and ``build="never"``.
            BuildError: It could not be built.
            LocalContainerError: The script failed on this machine.
            UsageError: The SDK v3 has nothing that does what is asked for.
        """
        if git_config:
            raise UsageError(
                "git_config cannot be done with the SDK v3", hint="use source_dir= with a clone of the repository"
            )
        self._source = self._packed(code, source_dir, dependencies)
        self._package_index = codeartifact_repo_arn
        self.image_uri = self._estimator.provide_image() if self._given_image is None else self._given_image
        request: dict[str, Any] = {
            "inputs": input_shapes(inputs),
            "outputs": output_shapes(outputs),
            "arguments": list(arguments) if arguments is not None else None,
            "job_name": job_name,
            "kms_key": kms_key or self.output_kms_key,
        }
        packing = {"source_dir": source_dir, "requirements": requirements, "dependencies": dependencies}
        if isinstance(self.sagemaker_session, CustomLocalSession):
            return self._run_here(code, packing, request)
        return super().run(code, wait=wait, logs=logs, experiment_config=experiment_config, **packing, **request)

    def _run_here(self, code: str, packing: dict[str, Any], request: dict[str, Any]) -> None:
        # The SDK would ask AWS who calls, for its telemetry, and look for the log of a job that has ended there.
        of_the_code = {name: request[name] for name in ("inputs", "job_name", "kms_key")}
        with self._folder_of_the_run():
            start, inputs, job_name = self._pack_and_upload_code(code, **packing, **of_the_code)
            inputs, outputs = self._normalize_args(**request | {"code": start, "inputs": inputs, "job_name": job_name})
            self.latest_job = self._start_new(inputs, outputs, None)
        self.jobs.append(self.latest_job)

    @contextmanager
    def _folder_of_the_run(self) -> Iterator[None]:
        """For a while, have a folder for what stays on this machine, if anything does."""
        session = self.sagemaker_session
        if not session.uses_local_code:
            yield
            return
        workspace = session.working_folder()
        self._folder = workspace.path
        try:
            yield
        finally:
            self._folder = None
            remove_folder(workspace.path, str(self.image_uri))

    def _packed(self, code: str, source_dir: str | None, dependencies: Sequence[str] | None) -> SourceBundle | None:
        if self._is_s3_uri(code) or self._is_s3_uri(source_dir):
            return None
        return bundle(code, source_dir, dependencies or (), cache_dir=Path(self._settings.cache_dir))

    def _pack_and_upload_code(
        self,
        code: str,
        source_dir: str | None,
        requirements: str | None,
        job_name: str | None,
        inputs: list[Any],
        kms_key: str | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        packed = self._source
        if packed is None or packed.script_name is None:
            return super()._pack_and_upload_code(
                code, source_dir, requirements, job_name, inputs, kms_key, *args, **kwargs
            )
        if self._folder is not None:
            script = self._generate_framework_script(
                packed.script_name, install_requirements_dir=START_FOLDER, requirements=requirements
            )
            start, payload = lay_out(packed, script, self._folder)
            return str(start), [*inputs, payload], job_name
        uploaded = upload_bundle(
            packed,
            self.sagemaker_session,
            code_location=self.code_location,
            kms_key=kms_key or self.output_kms_key,
            settings=self._settings,
        )
        return super()._pack_and_upload_code(packed.script_name, uploaded.uri, requirements, job_name, inputs, kms_key)

    def _generate_framework_script(self, user_script: str, *args: Any, **kwargs: Any) -> Any:
        # The SDK forgets in which folder of the code the script is.
        name = self._source.script_name if self._source else None
        return super()._generate_framework_script(name or user_script, *args, **kwargs)

    def _resolve_helper_scripts_prefix(self, job_name: str) -> Any:
        # Set anew for each pipeline that is compiled, so its value has to be asked now.
        from sagemaker.core.workflow.utilities import _pipeline_config

        if _pipeline_config is None:
            return super()._resolve_helper_scripts_prefix(job_name)
        # The name of a job has the time in it, so that no step of a pipeline would be found in its cache.
        digest = hash_file(install_requirements.__file__)
        return s3_path_join(self._s3_code_prefix(), _pipeline_config.pipeline_name, "code", digest)

    def _upload_code(self, code: str, kms_key: str | None = None) -> Any:
        return f"file://{code}" if self._folder is not None else super()._upload_code(code, kms_key)

    def _normalize_inputs(self, inputs: Any = None, kms_key: str | None = None) -> Any:
        if self._folder is None:
            return super()._normalize_inputs(inputs, kms_key)
        here = [item for item in inputs if item.s3_input and is_here(item.s3_input.s3_uri)]
        for item in here:
            item.s3_input.s3_uri = file_address(item.s3_input.s3_uri, item.input_name)
        return [*here, *super()._normalize_inputs([item for item in inputs if item not in here], kms_key)]

    def _normalize_outputs(self, outputs: Any = None) -> Any:
        # The SDK sees outputs for a feature store as broken ones.
        files = [item for item in outputs if item.s3_output]
        for item in files if self._folder is not None else ():
            if not item.s3_output.s3_uri or is_here(item.s3_output.s3_uri):
                item.s3_output.s3_uri = file_address(item.s3_output.s3_uri, item.output_name)
        return [*super()._normalize_outputs(files), *(item for item in outputs if not item.s3_output)]

    def _get_process_args(self, inputs: Any, outputs: Any, experiment_config: Any) -> Any:
        request = super()._get_process_args(inputs, outputs, experiment_config)
        # The SDK drops these two.
        for item, described in zip(inputs, request["inputs"], strict=True):
            if item.dataset_definition:
                described["DatasetDefinition"] = serialize(item.dataset_definition)
        for item, described in zip(outputs, request["output_config"]["Outputs"], strict=True):
            if item.feature_store_output:
                described["FeatureStoreOutput"] = serialize(item.feature_store_output)
        if self._package_index:
            request["environment"] = {**(request["environment"] or {}), _PACKAGE_INDEX: self._package_index}
        return request

    def _start_new(self, inputs: Any, outputs: Any, experiment_config: Any) -> Any:
        if super()._start_new(inputs, outputs, experiment_config) is None:
            return None
        return StartedProcessingJob(
            job_name=self._current_job_name,
            session=self.sagemaker_session,
            inputs=tuple(ProcessingInput.of_shape(item) for item in inputs),
            outputs=tuple(ProcessingOutput.of_shape(item) for item in outputs),
            output_kms_key=self.output_kms_key,
        )


class CustomFrameworkProcessor(ExtendedProcessor):
    """Runs a script in the extended image of ``estimator_cls``, a class of this package."""

    _order = ("estimator_cls", *_BY_PLACE)


class CustomPyTorchProcessor(ExtendedProcessor):
    """Runs a script in the image of PyTorch, with a few packages more."""

    estimator_cls = CustomPyTorch


class CustomTensorFlowProcessor(ExtendedProcessor):
    """Runs a script in the image of TensorFlow, with a few packages more."""

    estimator_cls = CustomTensorFlow


class CustomHuggingFaceProcessor(ExtendedProcessor):
    """Runs a script in the image of Hugging Face, with a few packages more."""

    estimator_cls = CustomHuggingFace
    _order = (*_MACHINES, *_HUGGING_FACE, "image_uri", *_REST)
    _named = _HUGGING_FACE


class CustomMXNetProcessor(ExtendedProcessor):
    """Runs a script in the image of MXNet, with a few packages more."""

    estimator_cls = CustomMXNet


class CustomXGBoostProcessor(ExtendedProcessor):
    """Runs a script in the image of XGBoost, with a few packages more."""

    estimator_cls = CustomXGBoost
