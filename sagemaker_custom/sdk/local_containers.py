"""A local job's or model's data, code and environment → containers that run it, and its results; for either SDK."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
from abc import ABCMeta, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit

from sagemaker_custom.errors import LocalContainerError
from sagemaker_custom.sdk.compose import ComposeProject
from sagemaker_custom.sdk.local_folders import DataSource, SessionWithin, make_folders, model_folder, remove_folder
from sagemaker_custom.sdk.local_services import (
    DEFAULT_SERVING_PORT,
    S3_ENDPOINT_NAME,
    SECRET_NAMES,
    LocalOptions,
    ServiceSpec,
    compose_service,
)

logger = logging.getLogger(__name__)

_FOLDERS = {"train": ("output", "output/data", "input"), "process": ("output", "config"), "serve": ()}
_CODE = "sagemaker_submit_directory"
_IN_STUDIO = "SM_STUDIO_LOCAL_MODE"

SdkClass: Any = object
"""Stands for a class of the SDK, beside which those that inherit from it are put."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SdkFunctions:
    """What local mode of an SDK has as functions."""

    volume: Callable[[str, str], Any]
    """Folder of this machine, path in the container → the mount, as its ``map``."""
    login: Callable[[Any, str], bool]
    """Logs Docker in to ECR where an image has to be pulled from there; says whether it has."""
    pull: Callable[[str], object]
    credentials: Callable[[Any], Sequence[str] | None]
    """Session of boto3 → ``NAME=VALUE`` each."""
    data_source: Callable[[str, Any], DataSource]
    extract: Callable[[Any, str], object]


class LocalContainer(SdkClass, metaclass=ABCMeta):  # type: ignore[misc]  # the SDK has no types
    """The containers of one local job or endpoint, with a folder and a network of their own that go with them.

    To be put before the SDK's own class.

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

    _sdk: ClassVar[SdkFunctions]
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
        self._owner = os.getpid()
        self.project: ComposeProject | None = None
        self.hosts = self._host_names(instance_count)

    @abstractmethod
    def _host_names(self, count: int) -> list[str]:
        """Return what the containers call each other."""

    @abstractmethod
    def _with_code(self, code: Path, model: Path, root: Path) -> tuple[Path, list[Any], str]:
        """Say how a serving container gets its code.

        Args:
            code: Folder that has it.
            model: Folder that has the model, which may be the user's own.
            root: Of this run; has a folder ``model``.

        Returns:
            The folder of the model, what else to mount, and where the code is in the container.
        """

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
            model, values = root / "model", dict(environment)
            volumes: list[Any] = []
            if model_dir:
                source = self._sdk.data_source(model_dir, self.sagemaker_session)
                model = model_folder(model_dir, source, root, extract=self._sdk.extract)
            code = urlsplit(str(values.get(_CODE.upper(), "")))
            if code.scheme == "file":
                folder = Path(code.netloc + code.path).absolute()
                model, volumes, values[_CODE.upper()] = self._with_code(folder, model, root)
            volumes = [self._sdk.volume(str(model), "/opt/ml/model"), *volumes]
            self.project = self._make_project("serve", volumes, values)
            self.project.start()
            atexit.register(self._stop_at_exit)
        except BaseException:
            self.stop_serving()
            raise

    def stop_serving(self) -> None:
        """Stop serving, and remove all that was made for it; may be called again."""
        if self.project is not None:
            self.project.remove()
        self._remove_root()
        atexit.unregister(self._stop_at_exit)

    def _stop_at_exit(self) -> None:
        # A fork of this process ends too, and has nothing of it.
        if os.getpid() == self._owner:
            self.stop_serving()

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
        if self._sdk.login(session.boto_session, self.image):
            self._sdk.pull(self.image)
        credentials = dict(entry.split("=", 1) for entry in self._sdk.credentials(session.boto_session) or ())
        values = {**credentials, **environment}
        if session.s3_endpoint_url is not None:
            values.setdefault(S3_ENDPOINT_NAME, session.s3_endpoint_url)
        if self.is_studio:
            values[_IN_STUDIO] = "True"
        return ComposeProject(
            self.compose_cmd_prefix,
            {host: compose_service(self._spec(host, command, volumes, values)) for host in self.hosts},
            folder=Path(str(self.container_root)),
            secret_environment={name: str(values[name]) for name in SECRET_NAMES if name in values},
            other_folders=session.working_folders,
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
        parameters = self._update_local_src_path(hyperparameters, key=_CODE)
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
