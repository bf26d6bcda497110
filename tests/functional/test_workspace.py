"""Where local mode lays code out: the SDK refuses to pack from root's home, from /etc and the like."""

from __future__ import annotations

import tempfile
from pathlib import Path
from types import SimpleNamespace

from sagemaker.utils import _validate_source_directory

from sagemaker_custom.sdk_v2.code import Workspace


def test_the_sdk_accepts_the_default_place():
    workspace = Workspace(SimpleNamespace(config=None))
    assert workspace.path.parent == Path(tempfile.gettempdir()).resolve()
    _validate_source_directory(str(workspace.path))
    workspace.remove()
    assert not workspace.path.exists()


def test_the_place_that_the_user_gave_the_sdk_is_ours_too(tmp_path):
    workspace = Workspace(SimpleNamespace(config={"local": {"container_root": str(tmp_path)}}))
    assert workspace.path.parent == tmp_path
    workspace.remove()
