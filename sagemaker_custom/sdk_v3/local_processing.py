"""Processing on this machine with the SDK v3: code, inputs and outputs as folders that its containers mount."""

from __future__ import annotations

import tempfile
from pathlib import Path
from shutil import copyfile
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

from sagemaker.core import shapes
from sagemaker.core.utils import install_requirements
from sagemaker.core.workflow import is_pipeline_variable

from sagemaker_custom.archive import write_tar_gz
from sagemaker_custom.source import SourceBundle

START_FOLDER = "/opt/ml/processing/input/entrypoint"
"""Where the containers find what starts the script."""
_CODE_FOLDER = "/opt/ml/processing/input/code/"


def lay_out(packed: SourceBundle, script: str, folder: Path) -> tuple[Path, shapes.ProcessingInput]:
    """Lay the code out as a job on AWS would get it.

    Args:
        packed: The code.
        script: Text of what unpacks it and starts the user's.
        folder: Where to.

    Returns:
        The path of what starts it, and the input that has the code.

    Raises:
        SourceError: The code changed since it was bundled.
    """
    payload, start = folder / "code", folder / "start"
    payload.mkdir()
    start.mkdir()
    with (payload / "sourcedir.tar.gz").open("wb") as file:
        write_tar_gz(packed.entries, file, digest=packed.digest)
    copyfile(install_requirements.__file__, start / "install_requirements.py")
    (start / "runproc.sh").write_text(script, encoding="utf-8")
    source = shapes.ProcessingS3Input(
        s3_uri=f"file://{payload}", local_path=_CODE_FOLDER, s3_data_type="S3Prefix", s3_input_mode="File"
    )
    return start / "runproc.sh", shapes.ProcessingInput(input_name="code", s3_input=source)


def is_here(place: Any) -> bool:
    """Whether an address is one of this machine."""
    return not is_pipeline_variable(place) and urlsplit(place or "s3://").scheme in ("", "file")


def file_address(place: str, name: str) -> str:
    """Return the ``file://`` address of a folder.

    Args:
        place: A path or such an address; nothing for a new folder.
        name: Begins the name of a new one.
    """
    folder = url2pathname(urlsplit(place).path) if place else tempfile.mkdtemp(prefix=f"{name}-")
    return f"file://{Path(folder).absolute()}"
