"""Processing on this machine with the SDK v3, in real containers: what scripts get, and that nothing stays."""

from __future__ import annotations

import json

import pytest
from local_programs import left_in

from sagemaker_custom.installed_sdk import adapter

if adapter().endswith("v2"):
    pytest.skip("needs the SDK v3", allow_module_level=True)

from sagemaker_custom import (
    CustomFramework,
    CustomFrameworkProcessor,
    CustomLocalSession,
    ProcessingInput,
    ProcessingOutput,
)
from sagemaker_custom.errors import LocalContainerError

pytestmark = pytest.mark.docker

SCRIPT = """
import json, os, pathlib, sys
if "--fail" in sys.argv:
    sys.exit("ValueError: there are no rows")
from helper import VALUE
rows = pathlib.Path("/opt/ml/processing/raw/rows.csv").read_text()
facts = {"rows": rows, "value": VALUE, "arguments": sys.argv[1:], "colour": os.environ["COLOUR"]}
pathlib.Path("/opt/ml/processing/clean/facts.json").write_text(json.dumps(facts))
"""


@pytest.fixture(scope="module")
def image(image_with):
    return image_with({"clean": "#!/bin/sh\n"})


@pytest.fixture
def code(tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "clean.py").write_text(SCRIPT)
    (folder / "helper.py").write_text("VALUE = 7\n")
    return folder


@pytest.fixture
def root(tmp_path):
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def processor(image, root):
    session = CustomLocalSession()
    session.config = {"local": {"local_code": True, "container_root": str(root)}}
    return CustomFrameworkProcessor(
        estimator_cls=CustomFramework,
        image_uri=image,
        instance_type="local_auto",
        instance_count=1,
        env={"COLOUR": "blue"},
        sagemaker_session=session,
    )


def test_script_reads_and_leaves_files_of_this_machine(processor, code, root, tmp_path, image, docker_engine, capfd):
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/rows.csv").write_text("1,2\n")
    processor.run(
        "clean.py",
        source_dir=str(code),
        inputs=[ProcessingInput(str(tmp_path / "raw"), "/opt/ml/processing/raw")],
        outputs=[ProcessingOutput("/opt/ml/processing/clean", str(tmp_path / "clean"))],
        arguments=["--rows", "5"],
    )
    facts = json.loads((tmp_path / "clean/facts.json").read_text())
    assert facts == {"rows": "1,2\n", "value": 7, "arguments": ["--rows", "5"], "colour": "blue"}
    assert processor.latest_job.describe()["ProcessingJobStatus"] == "Completed"
    assert processor.latest_job.outputs[0].destination == f"file://{tmp_path}/clean"
    assert sorted(path.name for path in code.iterdir()) == ["clean.py", "helper.py"]
    assert list(root.iterdir()) == []
    assert left_in(docker_engine, image, capfd.readouterr().out) == []


def test_failed_script_is_told_and_nothing_stays(processor, code, root, image, docker_engine, capfd):
    with pytest.raises(LocalContainerError, match="there are no rows"):
        processor.run("clean.py", source_dir=str(code), arguments=["--fail"])
    assert list(root.iterdir()) == []
    assert left_in(docker_engine, image, capfd.readouterr().out) == []
