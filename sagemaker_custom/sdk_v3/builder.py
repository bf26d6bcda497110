"""Image, code and arguments of a model → the SDK v3's ``ModelBuilder``, and requests as the SDK v2 makes them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import boto3
from sagemaker.core.common_utils import update_container_with_inference_params
from sagemaker.core.training.configs import SourceCode

from sagemaker_custom.sdk.workspace import Workspace
from sagemaker_custom.sdk_v3.model_arguments import ModelArguments


def builder_of(
    arguments: ModelArguments,
    *,
    image: str,
    code: SourceCode | None,
    role: str | None,
    session: Any,
    workspace: Workspace,
    instance_type: Any,
) -> Any:
    """Make a ``ModelBuilder`` that has an image and no model, which then describes the container and repacks the code.

    Args:
        arguments: Of the model.
        image: URI of the inference image.
        code: Of the user.
        role: Of the model.
        session: The SDK's.
        workspace: Where the code is; what is made of a pipeline reads it later.
        instance_type: What the model will run on, if known.
    """
    builder = imported_model_builder(session)(
        image_uri=image,
        s3_model_data_url=arguments.model_data,
        model_path=str(workspace.path / "builder"),
        role_arn=role,
        sagemaker_session=session,
        source_code=code,
        env_vars=arguments.environment(),
        network=arguments.network(),
        instance_type=instance_type,
        image_config=arguments.image_config,
    )
    # Neither has an argument of its own; the SDK looks for them on the object.
    builder.container_log_level, builder.model_kms_key = arguments.container_log_level, arguments.model_kms_key
    builder.keeps = workspace
    if arguments.model_data is None:
        _leave_out_data(builder)
    if arguments.code_location is not None:
        bucket, _, builder.key_prefix = arguments.code_location.removeprefix("s3://").partition("/")
        # With a place of its own the SDK would leave the code out of the model.
        builder.bucket, builder.is_repack = bucket, lambda: code is not None
    return builder


def _leave_out_data(builder: Any) -> None:
    settings = builder._get_serve_setting  # noqa: SLF001 - it makes up a place where nothing is

    def without_data() -> Any:
        made, builder.s3_model_data_url = settings(), None
        return made

    builder._get_serve_setting = without_data  # noqa: SLF001


def say_framework(builder: Any, framework: str | None, version: str | None) -> None:
    """Have a builder name the framework in packages of the model registry.

    Its own attribute would also have it choose how the code is packed.

    Args:
        builder: The SDK's.
        framework: As the API has it.
        version: Of the framework.
    """
    describe = builder._prepare_container_def  # noqa: SLF001 - register() asks it alone

    def described() -> Any:
        return update_container_with_inference_params(
            framework=framework, framework_version=version, container_def=describe()
        )

    builder._prepare_container_def = described  # noqa: SLF001


def imported_model_builder(session: Any) -> Any:
    """Import the SDK v3's ``ModelBuilder``.

    Importing it makes a client of boto3's default session, which fails where the session's region is configured
    nowhere else.

    Args:
        session: The SDK's; its boto session is the default one meanwhile, unless there is another.
    """
    before = boto3.DEFAULT_SESSION
    boto3.DEFAULT_SESSION = before or session.boto_session
    try:
        return import_module("sagemaker.serve.model_builder").ModelBuilder
    finally:
        boto3.DEFAULT_SESSION = before
