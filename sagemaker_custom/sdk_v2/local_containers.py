"""A local job's or model's data, code and environment → containers that run it, and its results."""

from __future__ import annotations

import logging
import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sagemaker.estimator import DIR_PARAM_NAME
from sagemaker.local.image import (
    SM_STUDIO_LOCAL_MODE,
    _aws_credentials,
    _ecr_login_if_needed,
    _pull_image,
    _SageMakerContainer,
    _Volume,
)

from sagemaker_custom.sdk_v2.compose import ComposeProject, LocalContainerError
from sagemaker_custom.sdk_v2.local_folders import SessionWithin, make_folders, model_folder, remove_folder
from sagemaker_custom.sdk_v2.local_services import (
    DEFAULT_SERVING_PORT,
    S3_ENDPOINT_NAME,
    SECRET_NAMES,
    LocalOptions,
    ServiceSpec,
    compose_service,
)

logger = logging.getLogger(__name__)

_FOLDERS = {"train": ("output", "output/data", "input"), "process": ("output", "config"), "serve": ()}


class LocalContainer(_SageMakerContainer):  # type: ignore[misc]  # the SDK has no types
    """The containers of one local job or endpoint, with a folder and a network of their own that go with them.

    Args:
        instance_type: ``local`` or ``local_gpu``.
        instance_count: How many containers.
        image: Name of the image.
        session: The SDK's local session.
        options: Its user's choices.
        entrypoint: Instead of the image's.
        arguments: Instead of the image's command.
        gpu_device: How a service asks for GPUs; ``None`` for none.
    """

    image: str
    is_studio: bool
    hosts: list[str]
    container_root: str | None
    container_entrypoint: Sequence[str] | None
    container_arguments: Sequence[str] | None
    compose_cmd_prefix: list[str]
    sagemaker_session: Any

    def __init__(
        self,
        instance_type: str,
        instance_count: int,
        image: str,
        session: Any,
        options: LocalOptions,
        *,
        entrypoint: Sequence[str] | None = None,
        arguments: Sequence[str] | None = None,
        gpu_device: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(instance_type, instance_count, image, session, entrypoint, arguments)
        self._options = options
        self._gpu_device = gpu_device
        self.project: ComposeProject | None = None
        if not self.is_studio:
            # The SDK draws its names from the generator that scripts seed, so that two of them get the same.
            suffix = secrets.token_hex(3)
            self.hosts = [f"algo-{number}-{suffix}" for number in range(1, instance_count + 1)]

    def train(
        self,
        input_data_config: Any,
        output_data_config: Any,
        hyperparameters: Mapping[str, Any],
        environment: Mapping[str, Any],
        job_name: str,
    ) -> str:
        """Train, and return where the model is.

        Raises:
            LocalContainerError: A container ended with an error.
        """
        root = self._make_root("data", "model", "output/data", "shared")
        result_folders: tuple[str, ...] = ()
        try:
            volumes = self._prepare_training_volumes(
                str(root / "data"), input_data_config, output_data_config, hyperparameters
            )
            self._write_training_files(root, hyperparameters, input_data_config)
            values = {
                "AWS_REGION": self.sagemaker_session.boto_region_name,
                "TRAINING_JOB_NAME": job_name,
                S3_ENDPOINT_NAME: self.sagemaker_session.s3_resource.meta.client.meta.endpoint_url,
                **environment,
            }
            try:
                self._run("train", volumes, values, f"training job {job_name}")
            except BaseException:
                # AWS keeps what a failed or stopped training has written too, where it was told to put it.
                if output_data_config["S3OutputPath"]:
                    self._keep_output_of_failure(volumes, output_data_config, job_name)
                raise
            if not output_data_config["S3OutputPath"]:
                result_folders = ("compressed_artifacts",)
            return str(self.retrieve_artifacts(self._mounts_as_content(volumes), output_data_config, job_name))
        finally:
            self._remove_root(keep=result_folders)

    def process(
        self,
        processing_inputs: Any,
        processing_output_config: Any,
        environment: Mapping[str, Any],
        processing_job_name: str,
    ) -> None:
        """Run a processing job, and bring its outputs where they belong.

        Raises:
            LocalContainerError: The container ended with an error.
        """
        root = self._make_root("data", "shared")
        try:
            volumes = self._prepare_processing_volumes(str(root / "data"), processing_inputs, processing_output_config)
            for host in self.hosts:
                make_folders(root / host, "config", "output")
                self.write_processing_config_files(
                    host, environment, processing_inputs, processing_output_config, processing_job_name
                )
            try:
                self._run("process", volumes, environment, f"processing job {processing_job_name}")
            finally:
                self._upload_processing_outputs(str(root / "data"), processing_output_config)
        finally:
            self._remove_root()

    def serve(self, model_dir: str | None, environment: Mapping[str, Any]) -> None:
        """Start serving, and return at once.

        Args:
            model_dir: URI of the model; ``None`` where the image has all that it needs.
            environment: Of the container.
        """
        root = self._make_root("model")
        try:
            model = model_folder(model_dir, self.sagemaker_session, root) if model_dir else root / "model"
            volumes = [_Volume(str(model), "/opt/ml/model")]
            values = dict(environment)
            key = DIR_PARAM_NAME.upper()
            code = urlsplit(str(values.get(key, "")))
            if code.scheme == "file":
                volumes.append(_Volume(str(Path(code.netloc + code.path).absolute()), "/opt/ml/code"))
                values[key] = "/opt/ml/code"
            self.project = self._make_project("serve", volumes, values)
            self.project.start()
        except BaseException:
            self.stop_serving()
            raise

    def stop_serving(self) -> None:
        """Stop serving, and remove all that was made for it; may be called again."""
        if self.project is not None:
            self.project.remove()
        self._remove_root()

    def _run(self, command: str, volumes: Sequence[Any], environment: Mapping[str, Any], what: str) -> None:
        project = self._make_project(command, volumes, environment)
        try:
            code = project.run()
            if code != 0:
                raise LocalContainerError(
                    f"the {what} failed: a container of {self.image} ended with an error; its last lines were\n"
                    f"{project.last_lines}",
                    hint=f"the whole output stands above (Docker Compose's exit code is {code})",
                )
        finally:
            project.remove()

    def _make_project(self, command: str, volumes: Sequence[Any], environment: Mapping[str, Any]) -> ComposeProject:
        session = self.sagemaker_session
        if _ecr_login_if_needed(session.boto_session, self.image):
            _pull_image(self.image)
        credentials = dict(entry.split("=", 1) for entry in _aws_credentials(session.boto_session) or ())
        values = {**credentials, **environment}
        if session.s3_endpoint_url is not None:
            values.setdefault(S3_ENDPOINT_NAME, session.s3_endpoint_url)
        if self.is_studio:
            values[SM_STUDIO_LOCAL_MODE] = "True"
        return ComposeProject(
            self.compose_cmd_prefix,
            {host: compose_service(self._spec(host, command, volumes, values)) for host in self.hosts},
            folder=Path(str(self.container_root)),
            secret_environment={name: str(values[name]) for name in SECRET_NAMES if name in values},
        )

    def _spec(self, host: str, command: str, volumes: Sequence[Any], environment: Mapping[str, Any]) -> ServiceSpec:
        return ServiceSpec(
            image=self.image,
            command=command,
            alias=host,
            mounts=self._mounts(host, command, volumes),
            environment=environment,
            entrypoint=tuple(self.container_entrypoint or ()),
            arguments=tuple(self.container_arguments or ()),
            shm_size=self._options.shm_size,
            gpu_device=self._gpu_device,
            serving_port=self._options.serving_port or DEFAULT_SERVING_PORT,
            in_studio=self.is_studio,
            container_config=(self.sagemaker_session.config or {}).get("local", {}).get("container_config") or {},
        )

    def _mounts(self, host: str, command: str, volumes: Sequence[Any]) -> tuple[str, ...]:
        return tuple(volume.map for volume in [*self._build_optml_volumes(host, _FOLDERS[command]), *volumes])

    def _mounts_as_content(self, volumes: Sequence[Any]) -> dict[str, Any]:
        return {"services": {host: {"volumes": self._mounts(host, "train", volumes)} for host in self.hosts}}

    def _write_training_files(self, root: Path, hyperparameters: Mapping[str, Any], input_data_config: Any) -> None:
        parameters = self._update_local_src_path(hyperparameters, key=DIR_PARAM_NAME)
        for host in self.hosts:
            make_folders(root / host, "input/config", "output", "model")
            self.write_config_files(host, parameters, input_data_config)
            shutil.copytree(root / "data", root / host / "input" / "data")

    def _keep_output_of_failure(self, volumes: Sequence[Any], output_data_config: Any, job_name: str) -> None:
        try:
            self.retrieve_artifacts(self._mounts_as_content(volumes), output_data_config, job_name)
        except Exception as error:  # noqa: BLE001 - why the training failed is what counts
            logger.warning("the output of the failed training was not kept: %s", error)

    def _make_root(self, *folders: str) -> Path:
        root = Path(self._create_tmp_folder())
        self.container_root = str(root)
        make_folders(root, *folders)
        self.sagemaker_session = SessionWithin(self.sagemaker_session, root)
        return root

    def _remove_root(self, keep: Sequence[str] = ()) -> None:
        if self.container_root is not None:
            remove_folder(Path(self.container_root), self.image, keep=keep)
