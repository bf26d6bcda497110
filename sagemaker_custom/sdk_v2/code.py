"""The user's code, for estimators and models: packed and uploaded for AWS, laid out as a folder for local mode."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sagemaker.fw_utils import UploadedCode
from sagemaker.s3 import parse_s3_url, s3_path_join
from sagemaker.workflow import is_pipeline_variable

from sagemaker_custom.archive import collect
from sagemaker_custom.sdk.provided import ProvidedImages
from sagemaker_custom.sdk.workspace import Workspace as PrivateFolder
from sagemaker_custom.source import SourceBundle, SourceDestination, bundle, stage, upload

_KEY_PREFIX = "sagemaker-custom/source"


def is_local_folder(source_dir: Any) -> bool:
    """Whether the code lies on this machine: not in S3, not known only when a pipeline runs."""
    return not is_pipeline_variable(source_dir) and not (source_dir or "").lower().startswith("s3://")


def bundle_of(owner: Any, *, cache_dir: Path) -> SourceBundle | None:
    """List and hash the code of an estimator or model.

    Args:
        owner: The estimator or model.
        cache_dir: Where the digests of its files are remembered.

    Returns:
        ``None`` if it has none on this machine.

    Raises:
        SourceError: It cannot be packed.
    """
    if not _has_local_code(owner):
        return None
    return bundle(owner.entry_point, owner.source_dir, owner.dependencies or (), cache_dir=cache_dir)


def check_code(owner: Any) -> None:
    """Make sure that the code of an estimator is there and can be packed, before anything else takes time.

    Raises:
        SourceError: It cannot be packed.
    """
    if _has_local_code(owner):
        collect(owner.entry_point, owner.source_dir, owner.dependencies or ())


def _has_local_code(owner: Any) -> bool:
    known = owner.entry_point is not None and not is_pipeline_variable(owner.entry_point)
    return known and is_local_folder(owner.source_dir)


def upload_code(estimator: Any, code: SourceBundle, images: ProvidedImages) -> UploadedCode:
    """Make sure that the estimator's code is in S3, where the SDK would have put it, under its own digest."""
    session = estimator.sagemaker_session
    parts = images.parts(session)
    with parts.progress() as progress:
        uploaded = upload(code, _destination(estimator), store=parts.object_store(session.s3_client), progress=progress)
    return UploadedCode(s3_prefix=uploaded.uri, script_name=uploaded.script_name)


def _destination(estimator: Any) -> SourceDestination:
    """Choose bucket, prefix and key by the SDK's own rules (``EstimatorBase._stage_user_code_in_s3``)."""
    # Set anew for each pipeline that is compiled, so its value has to be asked now.
    from sagemaker.workflow.utilities import _pipeline_config

    session, output_path = estimator.sagemaker_session, estimator.output_path
    has_output_bucket = not is_pipeline_variable(output_path) and output_path.startswith("s3://")
    output_bucket, output_prefix = parse_s3_url(output_path) if has_output_bucket else (session.default_bucket(), "")
    kms_key = estimator.output_kms_key
    if estimator.code_location is not None:
        bucket, prefix = parse_s3_url(estimator.code_location)
        prefix, kms_key = prefix or "", kms_key if bucket == output_bucket else None
    elif has_output_bucket:
        bucket = output_bucket
        is_default = estimator._is_output_path_set_from_default_bucket_and_prefix  # noqa: SLF001
        prefix = s3_path_join(output_prefix if is_default else "", _KEY_PREFIX)
    else:
        bucket, kms_key = output_bucket, None
        prefix = s3_path_join(session.default_bucket_prefix or "", _KEY_PREFIX)
    if _pipeline_config and _pipeline_config.pipeline_name:
        prefix = s3_path_join(prefix.removesuffix(_KEY_PREFIX), _pipeline_config.pipeline_name, "code")
    return SourceDestination(
        bucket=bucket,
        prefix=prefix,
        kms_key=kms_key,
        encrypt=session.settings is None or session.settings.encrypt_repacked_artifacts,
        expected_owner=session._get_account_id_if_default_bucket(bucket),  # noqa: SLF001
    )


class Workspace(PrivateFolder):
    """A private folder of an estimator or model.

    It lies where the SDK makes its own: Docker can mount from there, and the SDK packs nothing from below some folders,
    root's home among them.

    Args:
        session: The SDK's; its ``local.container_root`` names another place.
    """

    def __init__(self, session: Any) -> None:
        super().__init__(((session.config or {}).get("local") or {}).get("container_root"))


@contextmanager
def staged(owner: Any, code: SourceBundle, workspace: Workspace) -> Iterator[Path]:
    """For a while, let an estimator or model have its code in a folder of its own.

    The folder holds the very files that an upload would: ignored ones left out, dependencies in. A container may
    write into it without touching the user's.

    Args:
        owner: Whose ``entry_point``, ``source_dir`` and ``dependencies`` are exchanged, and given back at the end.
        code: Its code.
        workspace: Where the folder is made.
    """
    before = owner.entry_point, owner.source_dir, owner.dependencies
    folder = stage(code, workspace.path)
    owner.entry_point, owner.source_dir, owner.dependencies = code.script_name, str(folder), []
    try:
        yield folder
    finally:
        owner.entry_point, owner.source_dir, owner.dependencies = before
