"""What people do by hand with images of their own, each in a few lines through the public classes, in containers."""

from __future__ import annotations

import functools
import io
import json
import os
import pickle
import subprocess
import tarfile
import threading
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import boto3
import docker
import numpy as np
import pytest
import requests
import sentences
from moto.server import ThreadedMotoServer
from sagemaker.deserializers import JSONDeserializer
from sagemaker.serializers import DataSerializer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from sagemaker_custom import CustomFramework, CustomHuggingFace, CustomLocalSession, CustomModel, CustomPyTorch
from sagemaker_custom.settings import Settings

pytestmark = [
    pytest.mark.docker,
    # The SDK leaves the pipes of the Compose processes open that it starts.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SEEDS = Path(__file__).parent / "seeds"
SCRIPTS = Path(__file__).parent / "scripts"
PAYLOAD = "image/x-portable-graymap"


@pytest.fixture
def settings(tmp_path, ca_bundle):
    return Settings(cache_dir=str(tmp_path / "cache"), ca_bundle=ca_bundle, accept_stand_ins=True)


@pytest.fixture
def session():
    return CustomLocalSession(serving_port=0)


@pytest.fixture(scope="module")
def remove(docker_engine):
    """Take images that go when the last of these tests is done."""
    images = []
    yield images.append
    for image in images:
        with suppress(docker.errors.ImageNotFound):
            docker_engine.api.remove_image(image, force=True, noprune=True)


@pytest.fixture
def s3():
    """An S3 that containers reach too, and its address on this machine."""
    server = ThreadedMotoServer(ip_address="0.0.0.0", port=0, verbose=False)
    server.start()
    yield f"http://localhost:{server.get_host_and_port()[1]}"
    server.stop()


def digits():
    """Return images and labels to train with, then to test with."""
    data = load_digits()
    train, test, train_labels, test_labels = train_test_split(data.data, data.target, random_state=7)
    return train.astype(np.float32), train_labels, test.astype(np.float32), test_labels


def model_file(estimator, name):
    with tarfile.open(estimator.model_data.removeprefix("file://")) as archive:
        return json.loads(archive.extractfile(name).read())


class TestOwnTrainProgram:
    """A folder with Dockerfile, ``train`` and ``train.py``; the image has a shell as its entry point."""

    def test_reads_opt_ml_by_itself(self, root, settings, session, remove, tmp_path):
        train, train_labels, test, test_labels = (part.tolist() for part in digits())
        data = {"x_train": train, "y_train": train_labels, "x_test": test[:90], "y_test": test_labels[:90]}
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "output_dict").write_bytes(pickle.dumps(data))
        estimator = CustomFramework(
            dockerfile=SEEDS / "own-train",
            build_args={"BASE": root},
            hyperparameters={"digits": 3},
            instance_type="local",
            instance_count=1,
            sagemaker_session=session,
            settings=settings,
        )
        remove(estimator.training_image_uri())
        estimator.fit({"training": f"file://{tmp_path / 'data'}"})
        assert model_file(estimator, "means.json")["accuracy"] > 0.85


class TestScriptMode:
    """An image without anything of SageMaker's gets the training toolkit; the code is in no image."""

    @pytest.fixture
    def make(self, root, settings, remove, tmp_path):
        for channel in ("train", "validation"):
            (tmp_path / channel).mkdir()
            (tmp_path / channel / "dummy.csv").write_text("val1, val2, val3\n")

        def estimator(session, **arguments):
            made = CustomFramework(
                "train.py",
                str(SEEDS / "script-mode" / "source_dir"),
                {"hp1": "value1", "hp2": 300, "hp3": 0.001},
                dockerfile=SEEDS / "script-mode" / "container",
                build_args={"BASE": root},
                toolkit="add",
                instance_type="local",
                instance_count=1,
                sagemaker_session=session,
                settings=settings,
                **arguments,
            )
            remove(made.training_image_uri())
            return made

        return estimator

    def test_code_is_mounted(self, make, session, tmp_path):
        estimator = make(session)
        estimator.fit({name: f"file://{tmp_path / name}" for name in ("train", "validation")})
        assert model_file(estimator, "report.json") == {
            "arguments": ["value1", 300, 0.001],
            "channels": {"train": ["dummy.csv"], "validation": ["dummy.csv"]},
            "submitted": "/opt/ml/code",
        }

    def test_code_and_data_come_from_s3(self, make, s3, tmp_path):
        boto_session = boto3.Session(aws_access_key_id="AKIA", aws_secret_access_key="x", region_name="us-east-1")
        session = CustomLocalSession(boto_session, s3_endpoint_url=s3, default_bucket="team")
        session.config = {"local": {"local_code": False}}
        session.s3_client.create_bucket(Bucket="team")
        inputs = {
            name: session.upload_data(str(tmp_path / name / "dummy.csv"), "team", f"seed/{name}")
            for name in ("train", "validation")
        }
        estimator = make(session)
        estimator.fit(inputs)
        key = estimator.model_data.removeprefix("s3://team/")
        with tarfile.open(
            fileobj=io.BytesIO(session.s3_client.get_object(Bucket="team", Key=key)["Body"].read())
        ) as archive:
            report = json.loads(archive.extractfile("report.json").read())
        assert report["arguments"] == ["value1", 300, 0.001]
        assert report["channels"] == {"train": ["dummy.csv"], "validation": ["dummy.csv"]}
        assert report["submitted"].startswith("s3://team/")
        assert report["submitted"].endswith(".tar.gz")


@pytest.fixture(scope="module")
def git_address(docker_engine, tmp_path_factory):
    """Serve a Git repository with one package to containers; what it is called in an extra."""
    folder = tmp_path_factory.mktemp("git")
    work = folder / "work"
    (work / "seedling").mkdir(parents=True)
    (work / "seedling" / "__init__.py").write_text("HEIGHT = 7\n")
    (work / "pyproject.toml").write_text(
        '[project]\nname = "seedling"\nversion = "0.1.dev0"\n[build-system]\nrequires = ["setuptools"]\n'
        'build-backend = "setuptools.build_meta"\n[tool.setuptools]\npackages = ["seedling"]\n'
    )
    who = {f"GIT_{role}_{what}": "seed@example.com" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}

    def git(*words):
        subprocess.run(["git", *words], check=True, capture_output=True, env={**os.environ, **who})

    git("init", "--initial-branch=main", str(work))
    git("-C", str(work), "add", ".")
    git("-C", str(work), "commit", "--message=One package")
    git("clone", "--bare", str(work), str(folder / "served" / "seedling.git"))
    git("-C", str(folder / "served" / "seedling.git"), "update-server-info")
    [network] = docker_engine.networks.get("bridge").attrs["IPAM"]["Config"]
    with serving_files(folder / "served", network["Gateway"]) as port:
        yield f"seedling @ git+http://{network['Gateway']}:{port}/seedling.git@main"


@contextmanager
def serving_files(folder, address):
    """Serve a folder by HTTP; gives the port."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *words):
            pass

    with ThreadingHTTPServer((address, 0), functools.partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class TestGit:
    """A package from the main branch of a repository, in AWS's own PyTorch image."""

    def test_is_in_the_image(self, git_address, sandbox, session, remove, tmp_path):
        (tmp_path / "train.py").write_text(
            "import json, os, pathlib, seedling, torch\n"
            "pathlib.Path(os.environ['SM_MODEL_DIR'], 'facts.json').write_text(json.dumps(seedling.HEIGHT))\n"
        )
        estimator = CustomPyTorch(
            "train.py",
            source_dir=str(tmp_path),
            framework_version="2.3",
            extras=["apt:git", f"pip:{git_address}"],
            instance_type="local",
            instance_count=1,
            sagemaker_session=session,
            settings=sandbox.settings,
        )
        remove(estimator.training_image_uri())
        estimator.fit()
        assert model_file(estimator, "facts.json") == 7


@pytest.fixture(scope="module")
def means():
    """A model: the mean image of each digit, in whole numbers."""
    train, labels, _, _ = digits()
    return {str(digit): train[labels == digit].mean(axis=0).round().astype(int).tolist() for digit in range(10)}


class TestOwnServer:
    """Multi Model Server with a handler, in an image with an entry point of its own."""

    @pytest.fixture
    def make(self, root, settings, session, remove, means, tmp_path):
        folder = tmp_path / "server"
        folder.mkdir()
        for path in (SEEDS / "server").iterdir():
            (folder / path.name).write_text(path.read_text())
        # What is in the image knows two digits only.
        (folder / "means.json").write_text(json.dumps({digit: means[digit] for digit in "01"}))

        def model(**arguments):
            made = CustomModel(
                dockerfile=folder,
                build_args={"BASE": root},
                extras=["pip:multi-model-server==1.1.11", "pip:sagemaker-inference==1.10.1", "pip:setuptools<82"],
                env={"SAGEMAKER_MODEL_SERVER_WORKERS": "1"},
                sagemaker_session=session,
                settings=settings,
                **arguments,
            )
            remove(made.serving_image_uri(None, "local"))
            return made

        return model

    def test_answers_predict_and_invoke_endpoint(self, make, session, means, tmp_path):
        text = json.dumps(means).encode()
        with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
            entry = tarfile.TarInfo("means.json")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text))
        model = make(model_data=f"file://{tmp_path / 'model.tar.gz'}")
        predictor = model.deploy(1, "local", serializer=DataSerializer(PAYLOAD), deserializer=JSONDeserializer())
        try:
            _, _, test, labels = digits()
            answers = [int(predictor.predict(picture(row))["digit"]) for row in test[:50]]
            assert np.mean(answers == labels[:50]) > 0.85
            answer = session.sagemaker_runtime_client.invoke_endpoint(
                EndpointName=predictor.endpoint_name,
                Body=picture(test[0]),
                ContentType=PAYLOAD,
                Accept="application/json",
            )
            assert json.loads(answer["Body"].read()) == {"digit": str(answers[0]), "type": PAYLOAD}
            assert answer["ContentType"] == "application/json"
        finally:
            predictor.delete_endpoint()

    def test_without_model_data_serves_what_is_in_the_image(self, make):
        predictor = make(model_data=None).deploy(1, "local", serializer=DataSerializer(PAYLOAD))
        try:
            _, _, test, labels = digits()
            some = [row for row, label in zip(test, labels, strict=True) if label == 1][:5]
            assert {predictor.predict(picture(row))["digit"] for row in some} == {"1"}
        finally:
            predictor.delete_endpoint()


def picture(row):
    """Return eight rows of eight pixels as a file."""
    return b"P5 8 8 16\n" + row.astype(np.uint8).tobytes()


def test_training_and_serving_are_tried_on_this_machine(sandbox, session, tmp_path):
    train, train_labels, test, test_labels = digits()
    np.savez(tmp_path / "train.npz", images=train, labels=train_labels)
    estimator = CustomPyTorch(
        "train.py",
        source_dir=str(SEEDS / "debug-locally"),
        framework_version="2.3",
        extras=["faiss"],
        hyperparameters={"epochs": 6, "batch-size": 16},
        instance_type="local",
        instance_count=1,
        sagemaker_session=session,
        settings=sandbox.settings,
    )
    estimator.fit({"training": f"file://{tmp_path}"})
    predictor = estimator.deploy(1, "local", entry_point="inference.py")
    try:
        payload = io.BytesIO()
        np.save(payload, test)
        answer = requests.post(
            f"{session._url_of(predictor.endpoint_name)}/invocations",
            data=payload.getvalue(),
            headers={"Content-Type": "application/x-npy", "Accept": "application/json"},
            timeout=60,
        )
        assert np.mean(np.array(answer.json()) == test_labels) > 0.95
    finally:
        predictor.delete_endpoint()


@pytest.mark.heavy
def test_framework_that_the_sdk_has_no_class_for(root, settings, session, remove):
    class CustomLightGBM(CustomFramework):
        """Boosted trees on an image of one's own."""

        def __init__(self, *args, extras=("pip:lightgbm", "pip:scikit-learn", "apt:libgomp1"), **kwargs):
            super().__init__(*args, base_image=root, toolkit="add", extras=extras, **kwargs)

    estimator = CustomLightGBM(
        "train.py",
        str(SEEDS / "lightgbm"),
        {"rounds": 40},
        repository_name="lightgbm",
        instance_type="local",
        instance_count=1,
        sagemaker_session=session,
        settings=settings,
    )
    remove(estimator.training_image_uri())
    estimator.fit()
    measured = model_file(estimator, "accuracy.json")
    assert measured > 0.93
    remove(str(estimator.plan_image("inference", "local").reference))
    predictor = estimator.deploy(1, "local", entry_point="inference.py")
    try:
        features, labels = load_breast_cancer(return_X_y=True)
        _, test, _, test_labels = train_test_split(features, labels, random_state=7)
        answer = np.array(predictor.predict(test.tolist()))
        assert np.mean((answer > 0.5) == test_labels) == pytest.approx(measured)
    finally:
        predictor.delete_endpoint()


@pytest.mark.heavy
def test_text_classification_in_script_mode(sandbox, session, remove, tmp_path):
    sandbox.ensure_bases(frameworks=["huggingface"])
    tmp_path.joinpath("train.json").write_text(json.dumps(sentences.TRAIN))
    tmp_path.joinpath("test.json").write_text(json.dumps(sentences.TEST))
    estimator = CustomHuggingFace(
        entry_point="train.py",
        source_dir=str(SCRIPTS / "huggingface"),
        transformers_version="4.46.1",
        pytorch_version="2.3.0",
        py_version="py311",
        extras=["pip:einops==0.8.0"],
        hyperparameters={"epochs": 15},
        instance_type="local",
        instance_count=1,
        sagemaker_session=session,
        settings=sandbox.settings,
    )
    remove(estimator.training_image_uri())
    estimator.fit({"sentences": f"file://{tmp_path}"})
    measured = model_file(estimator, "accuracy.json")
    assert measured >= 0.9
    predictor = estimator.create_model(entry_point="inference.py").deploy(1, "local")
    remove(str(estimator.plan_image("inference", "local").reference))
    try:
        answers = predictor.predict({"inputs": [entry["text"] for entry in sentences.TEST]})
        truth = [("complaint", "praise")[entry["label"]] for entry in sentences.TEST]
        right = [answer["label"] == label for answer, label in zip(answers, truth, strict=True)]
        assert np.mean(right) == pytest.approx(measured)
    finally:
        predictor.delete_endpoint()
