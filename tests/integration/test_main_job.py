"""The main job in real containers: an image built on demand trains and serves, and is pushed as on AWS."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
import tarfile
from dataclasses import replace
from pathlib import Path

import docker
import numpy as np
import pytest
import requests
from sagemaker.session import Session

from sagemaker_custom import CustomLocalSession, CustomPyTorch, Settings
from sagemaker_custom.errors import BaseImageError, BuildError, VerificationError
from sagemaker_custom.plan import FINGERPRINT_LABEL, LABEL_PREFIX
from sagemaker_custom.wiring import Parts

pytestmark = [
    pytest.mark.docker,
    # The SDK leaves the pipes of the Compose processes open that it starts.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

REPOSITORY = Path(__file__).parents[2]

TRAIN = """
import json, os, pathlib, sys
import faiss, torch
from part import NUMBER
model = pathlib.Path(os.environ["SM_MODEL_DIR"])
data = pathlib.Path(os.environ["SM_CHANNEL_TRAIN"])
(model / "facts.json").write_text(json.dumps({
    "arguments": sys.argv[1:],
    "data": (data / "numbers.txt").read_text(),
    "faiss": faiss.__version__,
    "files": sorted(str(p.relative_to("/opt/ml/code")) for p in pathlib.Path("/opt/ml/code").rglob("*.*")
                    if "__pycache__" not in p.parts),
    "number": NUMBER,
    "secret": os.environ["SECRET"],
    "torch": torch.__version__,
}))
pathlib.Path("/opt/ml/code/left-behind.txt").write_text("by the container")
torch.save(torch.nn.Linear(2, 1).state_dict(), model / "model.pt")
"""

INFERENCE = """
import json
import faiss
def model_fn(folder):
    return faiss.__version__
def input_fn(body, content_type):
    return json.loads(body)
def predict_fn(values, version):
    return {"sum": sum(values), "faiss": version}
def output_fn(answer, accept):
    return json.dumps(answer)
"""


@pytest.fixture
def code(tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "inference.py").write_text(INFERENCE)
    (folder / "large.bin").write_text("x")
    (folder / ".sagemakerignore").write_text("*.bin\n")
    library = tmp_path / "library" / "part.py"
    library.parent.mkdir()
    library.write_text("NUMBER = 41\n")
    data = tmp_path / "data"
    data.mkdir()
    (data / "numbers.txt").write_text("1 2 3")
    return folder


@pytest.fixture
def settings(sandbox, tmp_path):
    return sandbox.settings


def local_estimator(code, settings, **arguments):
    return CustomPyTorch(
        **{
            "entry_point": "train.py",
            "source_dir": str(code),
            "dependencies": [str(code.parent / "library" / "part.py")],
            "framework_version": "2.3",
            "py_version": "py311",
            "extras": ["faiss"],
            "instance_type": "local",
            "instance_count": 1,
            "settings": settings,
            **arguments,
        }
    )


@pytest.fixture(scope="module")
def facts_of():
    def read(model_data):
        with tarfile.open(model_data.removeprefix("file://")) as archive:
            return json.loads(archive.extractfile("facts.json").read())

    return read


def test_trains_and_serves_on_this_machine_without_any_credentials(code, settings, facts_of, capsys):
    estimator = local_estimator(code, settings, hyperparameters={"epochs": 3}, environment={"SECRET": "pa$word${HOME}"})
    estimator.fit({"train": f"file://{code.parent / 'data'}"})
    facts = facts_of(estimator.model_data)
    assert facts["arguments"] == ["--epochs", "3"]
    assert facts["data"] == "1 2 3"
    assert facts["faiss"] == "1.12.0"
    assert facts["files"] == ["inference.py", "part.py", "train.py"]
    assert facts["number"] == 41
    assert facts["secret"] == "pa$word${HOME}"
    assert not (code / "left-behind.txt").exists()
    assert "nothing to upload" in capsys.readouterr().err

    image = docker.from_env().images.get(estimator.training_image_uri())
    assert image.labels[FINGERPRINT_LABEL] == estimator.plan_image().fingerprint
    assert json.loads(image.labels["sagemaker-custom.lock"])["installed"]["faiss-cpu"] == "1.12.0"

    again = local_estimator(code, settings, environment={"SECRET": "x"}, build="never")
    again.fit({"train": f"file://{code.parent / 'data'}"})
    assert "is there, nothing to build" in capsys.readouterr().err
    assert docker.from_env().images.get(again.training_image_uri()).id == image.id

    predictor = estimator.deploy(1, "local", entry_point="inference.py")
    try:
        answer = requests.post("http://127.0.0.1:8080/invocations", json=[1, 2, 39], timeout=60)
        assert answer.json() == {"sum": 42, "faiss": "1.12.0"}
    finally:
        predictor.delete_endpoint()


def test_pushes_one_verified_schema2_image_and_submits_its_address(code, sandbox, settings):
    session = Session(boto_session=sandbox.boto_session())
    # The sandbox's registry keeps its images: this one shall be missing.
    settings = replace(settings, repository_prefix=f"sagemaker-custom-{secrets.token_hex(4)}")
    estimator = local_estimator(
        code, settings, instance_type="ml.m5.xlarge", role=sandbox.role, sagemaker_session=session
    )
    estimator.fit({"train": f"s3://{sandbox.bucket}/data"}, wait=False)
    job = session.describe_training_job(estimator.latest_training_job.name)
    plan = estimator.plan_image()
    assert job["AlgorithmSpecification"]["TrainingImage"] == str(plan.reference)
    assert plan.reference.registry == "123456789012.dkr.ecr.us-east-1.amazonaws.com"

    registry = Parts(session=sandbox.boto_session(), settings=settings).registry
    manifest = registry.manifest(plan.reference)
    assert manifest.media_type == "application/vnd.docker.distribution.manifest.v2+json"
    labels = registry.image_config(plan.reference)["config"]["Labels"]
    assert labels[FINGERPRINT_LABEL] == plan.fingerprint
    assert labels["sagemaker-custom.base-digest"].startswith("sha256:")
    tags = requests.get(f"{sandbox.registry_url}/v2/{plan.reference.repository}/tags/list", timeout=30).json()["tags"]
    assert plan.reference.tag in tags
    evidence = {name for name in tags if name.startswith(manifest.digest.replace(":", "-"))}
    assert {name.rpartition(".")[2] for name in evidence} == {"sbom", "provenance"}

    described = sandbox.boto_session().client("ecr").describe_repositories(repositoryNames=[plan.reference.repository])
    [repository] = described["repositories"]
    assert repository["imageTagMutability"] == "IMMUTABLE"
    assert repository["imageScanningConfiguration"] == {"scanOnPush": True}


def test_extension_that_does_not_import_is_never_named(code, settings, tmp_path):
    estimator = local_estimator(code, settings, extras=["pip:definitely-not-a-package-of-anybody==99"])
    with pytest.raises(Exception, match="definitely-not-a-package-of-anybody") as caught:
        estimator.build_image()
    assert not isinstance(caught.value, VerificationError)
    assert Path(caught.value.log_path).is_file()
    assert docker.from_env().images.list(name=str(estimator.plan_image().reference)) == []


def test_base_that_nobody_has_is_told_by_name(code, sandbox, settings):
    estimator = local_estimator(
        code,
        settings,
        framework_version="2.2",
        py_version="py310",
        sagemaker_session=CustomLocalSession(sandbox.boto_session()),
    )
    with pytest.raises(BaseImageError, match=r"pytorch-training:2\.2\.0-cpu-py310-ubuntu20\.04-sagemaker"):
        estimator.build_image()


def test_replacing_the_frameworks_own_packages_by_what_depends_on_others_is_refused(code, settings):
    # It wants another torch, which only pip finds out.
    estimator = local_estimator(code, settings, extras=["pip:torchvision==0.27.0"])
    with pytest.raises(BuildError, match="torch"):
        estimator.build_image()
    assert docker.from_env().images.list(name=str(estimator.plan_image().reference)) == []


def test_named_image_of_a_team_is_built_from_its_recipes_and_verified(code, settings, tmp_path):
    images = tmp_path / "catalog" / "images"
    images.mkdir(parents=True)
    images.joinpath("tabular.yaml").write_text(
        "schema_version: 1\nname: tabular\nsummary: Trees\nframework: pytorch\nversions: ['2.3']\n"
        "processors: [cpu]\nextras: [lightgbm, onnxruntime]\n"
    )
    estimator = local_estimator(code, settings, extras=(), image="tabular", catalog=str(images.parent), build="always")
    uri = estimator.build_image()
    engine = docker.from_env()
    labels = engine.images.get(uri).labels
    assert labels[FINGERPRINT_LABEL] == estimator.plan_image().fingerprint
    assert labels[LABEL_PREFIX + "verified"] == "run"
    program = "import lightgbm, onnxruntime; print('both')"
    assert engine.containers.run(uri, ["-c", program], entrypoint="python", remove=True) == b"both\n"


def test_stopped_engine_is_told_with_what_to_do(code, monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    estimator = local_estimator(code, Settings())
    with pytest.raises(Exception, match=r"/nowhere/docker\.sock") as caught:
        estimator.fit({"train": "file:///tmp"})
    assert type(caught.value).__name__ == "EngineUnavailableError"
    assert "->" in str(caught.value)


def test_demo_runs(sandbox):
    environment = {**os.environ, "SAGEMAKER_CUSTOM_CACHE_DIR": str(sandbox.registry_folder.parents[1])}
    answer = subprocess.run(
        [sys.executable, "examples/digits/demo.py"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert answer.returncode == 0, answer.stdout[-4000:] + answer.stderr[-4000:]
    accuracies = [float(word) for word in answer.stdout.split() if word.startswith("0.9")]
    assert min(accuracies[:2]) >= 0.95
    assert "nothing to build" in answer.stderr
    assert "What happened" in answer.stdout
    assert np.isfinite(accuracies).all()
