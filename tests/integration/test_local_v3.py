"""Local mode on the SDK v3 in real containers: what scripts get, what endpoints do, and that nothing stays."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import boto3
import pytest
from fakes.tiny_wheels import make_wheel
from local_programs import SERVE, TRAIN, left_in, text_below

from sagemaker_custom.installed_sdk import adapter

if adapter().endswith("v2"):
    pytest.skip("needs the SDK v3", allow_module_level=True)

from sagemaker_custom import CustomFramework, CustomLocalSession, CustomModel
from sagemaker_custom.errors import EngineUnavailableError, LocalContainerError, UsageError

pytestmark = pytest.mark.docker

SECRET = "s3cret-k3y-of-this-test"
KEY = "AKIAOFTHISTEST"
WORDS = 'two $HOME `x` "q" ü'
SCRIPT = """
import json, os, shutil, socket, sys, time
if os.environ.get("FAIL"):
    print("rows are counted")
    sys.exit(int(os.environ["FAIL"]))
if os.environ.get("SLEEP"):
    print("training has begun", flush=True)
    time.sleep(600)
import helper
data = "/opt/ml/input/data/"
hosts = json.loads(os.environ["SM_HOSTS"])
facts = {
    "arguments": sys.argv[1:],
    "environment": dict(os.environ),
    "files": {name: sorted(os.listdir(data + name)) for name in ("train", "test") if os.path.exists(data + name)},
    "found": [bool(socket.gethostbyname(host)) for host in hosts],
    "shm": shutil.disk_usage("/dev/shm").total,
    "value": helper.VALUE,
}
try:
    import demo
    facts["demo"] = demo.VALUE
except ImportError:
    pass
host = os.environ["SM_CURRENT_HOST"]
with open(f"{os.environ['SM_MODEL_DIR']}/{host}.json", "w") as file:
    json.dump(facts, file)
open("/opt/ml/input/data/code/written-by-root", "w").close()
# The first container that ends is the end of all; they have this folder in common.
while len([name for name in os.listdir(os.environ["SM_MODEL_DIR"]) if name.startswith("algo-")]) < len(hosts):
    time.sleep(0.1)
"""
FIT = """
import signal, sys
# Whoever runs the tests in the background ignores it.
signal.signal(signal.SIGINT, signal.default_int_handler)
from sagemaker_custom import CustomFramework, CustomLocalSession
from sagemaker_custom.sdk_v3.local import LocalClient
image, code, root, what = sys.argv[1:]
session = CustomLocalSession(serving_port=0)
session.config = {"local": {"local_code": True, "container_root": root}}
sleeps = {"SLEEP": "1"} if what == "fit" else {}
estimator = CustomFramework(
    "train.py", code, image_uri=image, instance_type="local", sagemaker_session=session, environment=sleeps
)
estimator.fit()
predictor = estimator.deploy(1, "local", endpoint_name="left")
print(f"endpoint at {LocalClient.find_endpoint('left').server.url}", flush=True)
"""


@pytest.fixture(scope="module")
def image(image_with):
    return image_with({"train": TRAIN, "serve": SERVE})


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Where runs have their folders; tests run elsewhere, to see what is left there."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def code(tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    (folder / "helper.py").write_text("VALUE = 7\n")
    return folder


@pytest.fixture
def open_session(root):
    def open_one(boto_session=None, **arguments):
        session = CustomLocalSession(boto_session, **{"serving_port": 0, **arguments})
        session.config = {"local": {"local_code": True, "container_root": str(root)}}
        return session

    return open_one


@pytest.fixture
def make(image, code, open_session):
    def estimator(**arguments):
        given = {"image_uri": image, "entry_point": "train.py", "source_dir": str(code), "instance_type": "local"}
        given |= {} if "sagemaker_session" in arguments else {"sagemaker_session": open_session()}
        return CustomFramework(**given | arguments)

    return estimator


@pytest.fixture
def model(tmp_path):
    archive = tmp_path / "weights.tar.gz"
    (tmp_path / "weights").write_text("1 2 3")
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(tmp_path / "weights", "weights")
    return f"file://{archive}"


def facts_of(estimator, host="algo-1"):
    with tarfile.open(estimator.model_data.removeprefix("file://")) as archive:
        return json.loads(archive.extractfile(f"{host}.json").read())


def is_gone(engine, image, root, seconds=60):
    """Whether nothing is left of an image's containers and in the folder, at the latest in a minute."""
    deadline = time.monotonic() + seconds
    while engine.api.containers(all=True, filters={"ancestor": image}) or any(root.iterdir()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


class TestTraining:
    def test_script_gets_what_it_was_given(self, make, code, root, open_session, tmp_path, docker_engine, image, capfd):
        make_wheel(code, "demo", "1.0", {"demo.py": b"VALUE = 42\n"})
        (code / "requirements.txt").write_text("--no-index\n./demo-1.0-py3-none-any.whl\n")
        for name in ("train", "test"):
            (tmp_path / name).mkdir()
            (tmp_path / name / f"{name}.csv").write_text("1\n")
        estimator = make(
            instance_count=2,
            hyperparameters={
                "epochs": 3,
                "lr": 0.1,
                "batch-size": 16,
                "words": 'two $HOME `x` "q" ü',
                "list": [1, "a"],
            },
            environment={"PASSWORD": "pa$word${HOME}$$", "NUMBER": 3},
            sagemaker_session=open_session(shm_size="3g"),
        )
        estimator.fit({"train": f"file://{tmp_path}/train", "test": f"{tmp_path}/test"}, wait=False, job_name="mine")
        facts = facts_of(estimator)
        assert facts["arguments"] == [
            *("--epochs", "3", "--lr", "0.1", "--batch-size", "16"),
            *("--words", WORDS, "--list", '[1, "a"]'),
        ]
        assert facts["environment"]["PASSWORD"] == "pa$word${HOME}$$"
        assert facts["environment"]["NUMBER"] == "3"
        assert facts["environment"]["TRAINING_JOB_NAME"] == estimator.latest_training_job.name == "mine"
        assert facts["files"] == {"train": ["train.csv"], "test": ["test.csv"]}
        assert facts["found"] == [True, True]
        assert facts["shm"] == 3 * 1024**3
        assert (facts["value"], facts["demo"]) == (7, 42)
        assert facts_of(estimator, "algo-2")["environment"]["SM_CURRENT_HOST"] == "algo-2"
        assert {path.name for path in root.rglob("*") if path.is_file()} == {"model.tar.gz", "output.tar.gz"}
        assert list(Path().iterdir()) == []
        assert not (code / "written-by-root").exists()
        assert left_in(docker_engine, image, capfd.readouterr().out) == []

    def test_model_goes_where_it_is_told_to(self, make, root, tmp_path):
        estimator = make(output_path=f"file://{tmp_path}/models")
        estimator.fit()
        assert estimator.model_data.startswith(f"file://{tmp_path}/models/")
        assert facts_of(estimator)["value"] == 7
        assert list(root.iterdir()) == []

    def test_image_with_a_program_of_its_own_needs_no_script(self, make, tmp_path, model):
        estimator = make(entry_point=None, source_dir=None, model_uri=model)
        estimator.fit()
        with tarfile.open(estimator.model_data.removeprefix("file://")) as archive:
            assert archive.getnames() == ["facts.json"]

    def test_failed_script_is_told_with_its_last_lines_and_code(self, make, root, docker_engine, image, capfd):
        estimator = make(environment={"FAIL": "3"})
        with pytest.raises(LocalContainerError, match="rows are counted") as failed:
            estimator.fit()
        assert "exit code is 3" in failed.value.hint
        assert estimator.latest_training_job is None
        assert list(root.iterdir()) == []
        assert left_in(docker_engine, image, capfd.readouterr().out) == []

    def test_two_at_once_do_not_meet(self, make):
        estimators = [make(environment={"NUMBER": str(number)}) for number in range(2)]
        threads = [threading.Thread(target=estimator.fit) for estimator in estimators]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [facts_of(estimator)["environment"]["NUMBER"] for estimator in estimators] == ["0", "1"]

    def test_no_file_has_the_keys_that_a_container_gets(self, make, open_session, root, docker_engine, image):
        keys = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="eu-west-1")
        estimator = make(sagemaker_session=open_session(keys))
        seen = []

        def watch():
            while not seen:
                seen.extend(docker_engine.api.containers(filters={"ancestor": image}))
            seen.append(text_below(root))

        watching = threading.Thread(target=watch)
        watching.start()
        estimator.fit()
        watching.join()
        assert image.encode() in seen[-1]
        assert SECRET.encode() not in seen[-1]
        assert KEY.encode() not in seen[-1]
        assert facts_of(estimator)["environment"]["AWS_SECRET_ACCESS_KEY"] == SECRET
        assert facts_of(estimator)["environment"]["AWS_REGION"] == "eu-west-1"


class TestImagesOfOnesOwn:
    def test_base_in_the_engine_trains_and_serves(self, image, code, open_session):
        given = {"base_image": image, "instance_type": "local_auto", "sagemaker_session": open_session()}
        estimator = CustomFramework("train.py", str(code), **given)
        assert estimator.instance_type == "local"
        estimator.fit()
        predictor = estimator.deploy(1, "local_auto")
        try:
            assert "/opt/ml/model/algo-1.json" in predictor.predict("x")["model"]
        finally:
            predictor.delete_endpoint()

    def test_folder_with_a_dockerfile_is_built(self, image, code, open_session, tmp_path, docker_engine):
        folder = tmp_path / "mine"
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM {image}\nENV FROM_THE_FOLDER=yes\n")
        session = open_session()
        estimator = CustomFramework(
            "train.py", str(code), dockerfile=folder, instance_type="local", sagemaker_session=session
        )
        estimator.fit()
        try:
            assert facts_of(estimator)["environment"]["FROM_THE_FOLDER"] == "yes"
        finally:
            docker_engine.api.remove_image(estimator.training_image_uri(), noprune=True)

    def test_model_alone_is_served(self, image, model, open_session, tmp_path):
        served = CustomModel(base_image=image, model_data=model, sagemaker_session=open_session(), env={"WORD": "a$b"})
        predictor = served.deploy(1, "local")
        try:
            facts = predictor.predict("x")
        finally:
            predictor.delete_endpoint()
        assert facts["environment"]["WORD"] == "a$b"
        assert facts["model"] == ["/opt/ml/model/weights"]
        assert sorted(path.name for path in tmp_path.iterdir()) == ["here", "root", "weights", "weights.tar.gz"]


class TestServing:
    def test_code_lies_in_the_model_and_nothing_stays(
        self, image, model, code, open_session, root, docker_engine, capfd
    ):
        session = open_session(shm_size="3g")
        given = {"entry_point": "train.py", "source_dir": str(code), "sagemaker_session": session}
        predictor = CustomModel(image, model, **given).deploy(1, "local", endpoint_name="mine")
        facts = predictor.predict("x")
        with pytest.raises(LocalContainerError, match="the endpoint mine answered 500"):
            predictor.predict("fail")
        predictor.delete_model()
        predictor.delete_endpoint()
        assert facts["environment"]["SAGEMAKER_SUBMIT_DIRECTORY"] == "/opt/ml/model/code"
        assert facts["environment"]["SAGEMAKER_PROGRAM"] == "train.py"
        assert facts["model"] == [f"/opt/ml/model/{name}" for name in ("code/helper.py", "code/train.py", "weights")]
        assert facts["shm"] == 3 * 1024**3
        assert list(root.iterdir()) == []
        assert left_in(docker_engine, image, capfd.readouterr().out) == []

    def test_two_at_once_and_a_third_that_finds_its_port_taken(self, image, model, open_session):
        first, second = (
            CustomModel(image, model, sagemaker_session=open_session(), env={"NUMBER": number}).deploy(1, "local")
            for number in "12"
        )
        try:
            port = int(first.sagemaker_session._url_of(first.endpoint_name).rpartition(":")[2])
            third = CustomModel(image, model, sagemaker_session=open_session(serving_port=port))
            with pytest.raises(
                UsageError, match=rf"port {port} is taken by the container sagemaker-custom-\w+.*{image}"
            ):
                third.deploy(1, "local")
            assert [one.predict("x")["environment"]["NUMBER"] for one in (first, second)] == ["1", "2"]
        finally:
            first.delete_endpoint()
            second.delete_endpoint()

    def test_container_that_dies_is_told(self, image, model, open_session, root):
        failing = CustomModel(image, model, sagemaker_session=open_session(), env={"FAIL": "1"})
        with pytest.raises(LocalContainerError, match=r"(?s)ended before it answered.*ImportError: libcudart"):
            failing.deploy(1, "local")
        slow = CustomModel(image, model, sagemaker_session=open_session(endpoint_timeout_s=2), env={"LOADING": "60"})
        with pytest.raises(LocalContainerError, match="did not answer /ping within 2 s"):
            slow.deploy(1, "local")
        assert list(root.iterdir()) == []

    def test_container_that_has_died_since_is_told(self, image, model, open_session, root):
        predictor = CustomModel(image, model, sagemaker_session=open_session()).deploy(1, "local")
        with pytest.raises(Exception, match=r"Connection aborted|closed connection"):
            predictor.predict("die")
        server = predictor.sagemaker_session.sagemaker_client.find_endpoint(predictor.endpoint_name).server
        while not server.container.project.ended:
            time.sleep(0.05)
        with pytest.raises(LocalContainerError, match="has ended since"):
            predictor.predict("x")
        predictor.delete_endpoint()
        assert list(root.iterdir()) == []


class TestOtherJobs:
    @pytest.fixture
    def data(self, tmp_path):
        folder = tmp_path / "data"
        folder.mkdir()
        (folder / "rows.csv").write_text("1\n2\n")
        return f"file://{folder}"

    def test_processing_leaves_its_output_alone(self, image, open_session, data, root, tmp_path):
        client = open_session().sagemaker_client
        place = "/opt/ml/processing"
        command = f"cat {place}/input/rows.csv > {place}/output/copy.csv"
        source = {"S3Uri": data, "LocalPath": f"{place}/input", "S3DataType": "S3Prefix", "S3InputMode": "File"}
        result = {"S3Uri": f"file://{tmp_path}/out", "LocalPath": f"{place}/output", "S3UploadMode": "EndOfJob"}
        client.create_processing_job(
            ProcessingJobName="copying",
            AppSpecification={
                "ImageUri": image,
                "ContainerEntrypoint": ["bash", "-c"],
                "ContainerArguments": [command],
            },
            ProcessingResources={"ClusterConfig": {"InstanceCount": 1, "InstanceType": "local"}},
            ProcessingInputs=[{"InputName": "rows", "S3Input": source}],
            ProcessingOutputConfig={"Outputs": [{"OutputName": "copy", "S3Output": result}]},
        )
        assert (tmp_path / "out" / "copy.csv").read_text() == "1\n2\n"
        assert list(root.iterdir()) == []

    def test_transform_asks_a_server_that_knows_no_parameters(self, image, open_session, data, root, tmp_path):
        client = open_session().sagemaker_client
        client.create_model("whole", {"Image": image})
        client.create_transform_job(
            TransformJobName="asking",
            ModelName="whole",
            TransformInput={
                "DataSource": {"S3DataSource": {"S3Uri": data, "S3DataType": "S3Prefix"}},
                "ContentType": "text/csv",
                "SplitType": "Line",
            },
            TransformOutput={"S3OutputPath": f"file://{tmp_path}/out", "AssembleWith": "Line"},
            TransformResources={"InstanceType": "local", "InstanceCount": 1},
            BatchStrategy="SingleRecord",
        )
        answers = (tmp_path / "out" / "rows.csv.out").read_text().splitlines()
        assert [json.loads(answer)["environment"]["SAGEMAKER_BATCH"] for answer in answers] == ["True", "True"]
        assert list(root.iterdir()) == []

    def test_model_transforms_batches(self, image, open_session, data, root, tmp_path):
        model = CustomModel(image, sagemaker_session=open_session())
        transformer = model.transformer(
            1, "local", output_path=f"file://{tmp_path}/out", strategy="SingleRecord", assemble_with="Line"
        )
        transformer.transform(data, content_type="text/csv", split_type="Line")
        answers = (tmp_path / "out" / "rows.csv.out").read_text().splitlines()
        assert [json.loads(answer)["environment"]["SAGEMAKER_BATCH"] for answer in answers] == ["True", "True"]
        transformer.delete_model()
        assert list(root.iterdir()) == []


class TestBadDays:
    def test_gpu_that_is_not_there_is_told_before_anything(self, make, open_session, root):
        engine = SimpleNamespace(address="tcp://engine:2375", info=dict)
        estimator = make(instance_type="local_gpu", sagemaker_session=open_session(engine=engine))
        with pytest.raises(EngineUnavailableError, match="local_gpu' needs a GPU"):
            estimator.fit()
        assert list(root.iterdir()) == []

    def test_gpu_that_is_there_is_taken(self, make, open_session):
        engine = SimpleNamespace(address="tcp://engine:2375", info=lambda: {"Runtimes": {"nvidia": {}}})
        estimator = make(instance_type="local_auto", sagemaker_session=open_session(engine=engine))
        assert estimator.instance_type == "local_gpu"

    def test_engine_that_is_stopped_is_told(self, make, image, model, open_session, root, monkeypatch):
        monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
        with pytest.raises(EngineUnavailableError):
            make().fit()
        with pytest.raises(EngineUnavailableError):
            CustomModel(image, model, sagemaker_session=open_session()).deploy(1, "local")
        assert list(root.iterdir()) == []

    def test_checkpoints_are_for_aws(self, make):
        with pytest.raises(UsageError, match="checkpoint_s3_uri"):
            make(checkpoint_s3_uri="s3://bucket/checkpoints").fit()

    def test_compose_that_is_not_there_is_told(self, make, open_session, root, tmp_path, monkeypatch):
        programs = tmp_path / "programs"
        programs.mkdir()
        (programs / "docker").write_text("#!/bin/sh\nexit 1\n")
        (programs / "docker").chmod(0o755)
        estimator = make()
        monkeypatch.setenv("PATH", str(programs))
        with pytest.raises(EngineUnavailableError, match="needs Docker Compose, and there is none"):
            estimator.fit()
        assert list(root.iterdir()) == []

    @pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGKILL"])
    def test_training_ends_with_its_process(self, name, image, code, root, docker_engine):
        command = [sys.executable, "-c", FIT, image, str(code), str(root), "fit"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            while "training has begun" not in (line := process.stdout.readline()):
                assert line, process.stderr.read()
            os.kill(process.pid, getattr(signal, name))
            _, said = process.communicate(timeout=120)
        assert process.returncode != 0
        assert ("InterruptedRunError" in said) == (name == "SIGINT")
        assert is_gone(docker_engine, image, root)

    def test_endpoint_ends_with_its_process(self, image, code, root, docker_engine):
        command = [sys.executable, "-c", FIT, image, str(code), str(root), "deploy"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        assert "endpoint at http://localhost:" in done.stdout
        assert docker_engine.api.containers(all=True, filters={"ancestor": image}) == []
        assert {path.name for path in root.rglob("*") if path.is_file()} == {"model.tar.gz", "output.tar.gz"}
