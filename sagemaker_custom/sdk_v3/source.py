"""The user's code → the SDK v3's ``SourceCode``, which points at one archive in S3 instead of a folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sagemaker.core.helper.session_helper import Session
from sagemaker.core.training.configs import SourceCode

from sagemaker_custom.settings import Settings
from sagemaker_custom.source import SourceBundle, SourceDestination, UploadedSource, bundle, upload
from sagemaker_custom.wiring import Parts

_KEY_PREFIX = "sagemaker-custom/source"
_REQUIREMENTS = "requirements.txt"


def source_code(
    entry_script: str | None = None,
    source_dir: str | Path | None = None,
    *,
    dependencies: Sequence[str | Path] = (),
    requirements: str | None = None,
    command: str | None = None,
    args: Sequence[str | int | float] | None = None,
    code_location: str | None = None,
    kms_key: str | None = None,
    sagemaker_session: Any = None,
    settings: Settings | None = None,
) -> SourceCode:
    """Pack code, upload the archive unless the very same is there, and return what the SDK v3 takes as ``source_code``.

    The SDK by itself uploads a folder file by file, anew for each job. ``.source_dir`` of what is returned also goes
    to ``FrameworkProcessor.run(source_dir=…)``.

    Args:
        entry_script: The script; with a ``source_dir``, a path inside it.
        source_dir: A local folder; ``None`` to pack the script alone. What its ``.sagemakerignore`` names stays here.
        dependencies: Files and folders to add at the top level, which the SDK v3 has no argument for.
        requirements: File in ``source_dir`` that the job shall install; the SDK v3 installs none by itself.
        command: To run instead of a script.
        args: Of ``command``.
        code_location: ``s3://bucket/prefix`` to upload to; default: the session's default bucket.
        kms_key: To encrypt with.
        sagemaker_session: The SDK's; default: a new one.
        settings: Default: the environment's and the configuration file's.

    Raises:
        SourceError: It cannot be packed.
        AwsError: It cannot be uploaded.
    """
    settings = settings or Settings.load()
    packed = bundle(entry_script, source_dir, dependencies, cache_dir=Path(settings.cache_dir))
    session = sagemaker_session or Session()
    uploaded = upload_bundle(packed, session, code_location=code_location, kms_key=kms_key, settings=settings)
    return SourceCode(
        source_dir=uploaded.uri,
        entry_script=uploaded.script_name,
        requirements=requirements,
        command=command,
        args=list(args) if args is not None else None,
    )


def upload_bundle(
    packed: SourceBundle, session: Any, *, code_location: str | None, kms_key: str | None, settings: Settings
) -> UploadedSource:
    """Make sure that the archive is in S3, under its own digest.

    Args:
        packed: The code.
        session: The SDK's.
        code_location: ``s3://bucket/prefix``; default: the session's default bucket.
        kms_key: To encrypt with.
        settings: Say how AWS is reached.
    """
    parts = Parts(session=session.boto_session, settings=settings, region=session.boto_region_name)
    with parts.progress() as progress:
        return upload(
            packed,
            _destination(session, code_location, kms_key),
            store=parts.object_store(session.s3_client),
            progress=progress,
        )


def code_place(
    *, code_location: str | None, output_path: Any, kms_key: str | None, session: Any
) -> tuple[str | None, str | None]:
    """Choose where a job's code goes, as the SDK v2 does: beside the output; its key is for the output's bucket alone.

    Args:
        code_location: As the user gave it.
        output_path: As the user gave it.
        kms_key: Of the output.
        session: The SDK's.

    Returns:
        What :func:`upload_bundle` takes as ``code_location``, and as ``kms_key``.
    """
    is_known = isinstance(output_path, str) and output_path.startswith("s3://")
    output_bucket = _bucket_of(output_path) if is_known else None
    if code_location is not None:
        is_beside = _bucket_of(code_location) == (output_bucket or session.default_bucket())
        return code_location, kms_key if is_beside else None
    return (f"s3://{output_bucket}/{_KEY_PREFIX}" if output_bucket else None), kms_key


def _bucket_of(uri: str) -> str:
    return uri.removeprefix("s3://").partition("/")[0]


def requirements_of(packed: SourceBundle) -> str | None:
    """Return the file that SageMaker's training toolkit would install from, if the code has it."""
    return _REQUIREMENTS if any(entry.name == _REQUIREMENTS for entry in packed.entries) else None


def _destination(session: Any, code_location: str | None, kms_key: str | None) -> SourceDestination:
    if code_location is not None:
        bucket, _, prefix = code_location.removeprefix("s3://").partition("/")
    else:
        bucket = session.default_bucket()
        prefix = "/".join(filter(None, (session.default_bucket_prefix, _KEY_PREFIX)))
    return SourceDestination(
        bucket=bucket,
        prefix=prefix,
        kms_key=kms_key,
        expected_owner=session._get_account_id_if_default_bucket(bucket),  # noqa: SLF001 - the SDK's uploads ask it too
    )
