"""Local jobs from the SDK's own classes down to Docker Compose, for which a script stands in."""

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
from urllib.parse import quote

import boto3
import pytest
import urllib3
import yaml
from fakes.canary import Canary
from fakes.canary import files_below as canary_files_below
from moto import mock_aws
from moto.server import ThreadedMotoServer
from sagemaker.estimator import Estimator
from sagemaker.local.local_session import LocalSagemakerClient
from sagemaker.model import Model
from sagemaker.utils import repack_model

from sagemaker_custom import CustomLocalSession
from sagemaker_custom.errors import EngineUnavailableError, InterruptedRunError, LocalContainerError
from sagemaker_custom.sdk.compose import ComposeProject
from sagemaker_custom.sdk.local_folders import remove_folder
from sagemaker_custom.sdk.local_session import MachineEngine
from sagemaker_custom.sdk.rules import LOCAL_ROLE

SECRET = "s3cret-k3y"
KEY = "AKIAEXAMPLE"
_NO_PLUGIN = "#!/bin/sh\nexit 1\n"
_COMPOSE = """#!/bin/sh
cd {folder}
echo "$5 $2 $6 $7 $8 $9" >> calls
[ "$5" = up ] || exit 0
cp "$4" compose.yaml
env > environment
stat -c %a "$4" > mode
model=$(sed -n 's|^ *- \\(.*\\):/opt/ml/model$|\\1|p' "$4")
output=$(sed -n 's|^ *- \\(.*\\):/opt/ml/output$|\\1|p' "$4")
{body}
"""


class Compose:
    """A docker-compose of our own, and what it was told."""

    def __init__(self, folder):
        self.folder = folder

    def does(self, body):
        (self.folder / "docker-compose").write_text(_COMPOSE.format(folder=self.folder, body=body))
        (self.folder / "docker-compose").chmod(0o755)

    @property
    def calls(self):
        return [line.split() for line in (self.folder / "calls").read_text().splitlines()]

    def was_told(self, name):
        return (self.folder / name).read_text()

    @property
    def service(self):
        [service] = yaml.safe_load(self.was_told("compose.yaml"))["services"].values()
        return service


@pytest.fixture
def compose(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "docker").write_text(_NO_PLUGIN)
    (folder / "docker").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    compose = Compose(folder)
    compose.does('echo weights > "$model/weights"; echo trained')
    return compose


@pytest.fixture
def root(tmp_path):
    """The only place where local mode may leave something."""
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def session(root):
    engine = SimpleNamespace(address="unix:///var/run/docker.sock", info=dict)
    session = CustomLocalSession(boto3.Session(region_name="us-east-1"), serving_port=0, engine=engine)
    session.config = {"local": {"local_code": True, "container_root": str(root)}}
    return session


@pytest.fixture
def keys(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)


def estimator(session, **arguments):
    return Estimator("team:1", LOCAL_ROLE, 1, "local", sagemaker_session=session, **arguments)


def files_below(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


class TestTraining:
    def test_leaves_the_model_and_nothing_else(self, compose, session, root, tmp_path):
        trained = estimator(session)
        trained.fit()
        model = Path(trained.model_data.removeprefix("file://"))
        with tarfile.open(model) as archive:
            assert archive.getnames() == ["weights"]
        assert {path.name for path in root.rglob("*") if path.is_file()} == {"model.tar.gz", "output.tar.gz"}
        assert model.is_relative_to(root)

    def test_credentials_of_indexes_reach_neither_the_container_nor_what_is_left(
        self, compose, session, root, tmp_path, monkeypatch
    ):
        canary = Canary()
        monkeypatch.setenv(
            "SAGEMAKER_CUSTOM_PIP_INDEX_URL", f"https://me:{quote(canary.text, safe='')}@a.example/simple"
        )
        monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"https://me:{canary.text}@b.example/simple")
        (tmp_path / "netrc").write_text(f"machine c.example login me password {canary.text}\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        estimator(session).fit()
        told = {"compose file": compose.was_told("compose.yaml").encode()}
        assert not canary.found_in({**told, **canary_files_below(root)})

    def test_with_an_output_path_leaves_nothing_elsewhere(self, compose, session, root, tmp_path):
        estimator(session, output_path=f"file://{tmp_path}/mine").fit()
        assert files_below(tmp_path / "mine") == ["model.tar.gz", "output.tar.gz"]
        assert files_below(root) == []

    def test_containers_go_by_the_name_under_which_they_came(self, compose, session):
        estimator(session).fit()
        [up, down] = compose.calls
        assert up[:2] == ["up", down[1]]
        assert up[2] == "--abort-on-container-exit"
        assert down[0] == "down"
        assert down[2:] == ["--volumes", "--remove-orphans", "--timeout", "1"]

    def test_keys_are_in_no_file_and_in_the_container(self, compose, session, keys, root, tmp_path):
        estimator(session, output_path=f"file://{tmp_path}/mine").fit()
        assert "AWS_SECRET_ACCESS_KEY" in compose.service["environment"]
        assert f"AWS_SECRET_ACCESS_KEY={SECRET}\n" in compose.was_told("environment")
        (compose.folder / "environment").unlink()
        written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
        assert SECRET.encode() not in written
        assert KEY.encode() not in written
        assert compose.was_told("mode") == "600\n"

    def test_failure_is_told_with_what_the_container_said_last(self, compose, session, root):
        compose.does("echo one; echo 'ValueError: no data'; exit 3")
        with pytest.raises(LocalContainerError) as caught:
            estimator(session).fit(job_name="digits")
        assert str(caught.value) == (
            "the training job digits failed: a container of team:1 ended with an error; its last lines were\n"
            "  one\n  ValueError: no data\n"
            "  -> the whole output stands above (Docker Compose's exit code is 3)"
        )
        assert compose.calls[-1][0] == "down"
        assert list(root.iterdir()) == []
        described = session.describe_training_job("digits")
        assert described["TrainingJobStatus"] == "Failed"

    def test_failure_that_prints_the_keys_does_not_pass_them_on(self, compose, session, keys):
        compose.does(r"printf '\033[36mkey %s\033[0m\n' $AWS_SECRET_ACCESS_KEY; exit 1")
        with pytest.raises(LocalContainerError) as caught:
            estimator(session).fit()
        assert "\n  key <AWS_SECRET_ACCESS_KEY>\n" in str(caught.value)

    def test_output_of_a_failure_is_kept_where_it_was_told_to(self, compose, session, root, tmp_path):
        compose.does('echo reason > "$output/failure"; exit 1')
        with pytest.raises(LocalContainerError):
            estimator(session, output_path=f"file://{tmp_path}/mine").fit()
        with tarfile.open(tmp_path / "mine" / "output.tar.gz") as archive:
            assert "failure" in archive.getnames()
        assert list(root.iterdir()) == []

    def test_output_that_is_no_text_does_not_end_it(self, compose, session, capsys):
        compose.does(r"printf '\377\376 loss 0.1\n'")
        estimator(session).fit()
        assert "loss 0.1" in capsys.readouterr().out

    def test_last_lines_are_shown_too(self, compose, session, capsys):
        compose.does("seq 1 2000; echo the-end")
        estimator(session).fit()
        assert "the-end" in capsys.readouterr().out

    def test_ctrl_c_ends_it_and_is_not_taken_for_success(self, compose, session, root):
        compose.does("echo begun; sleep 600")

        def interrupt():
            while not (compose.folder / "mode").exists():
                time.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)

        pressing = threading.Thread(target=interrupt)
        pressing.start()
        begun = time.monotonic()
        with pytest.raises(KeyboardInterrupt) as caught:
            estimator(session).fit()
        pressing.join()
        assert isinstance(caught.value, InterruptedRunError)
        assert "was interrupted; its containers are removed" in str(caught.value)
        assert time.monotonic() - begun < 300, "the container was waited for"
        assert compose.calls[-1][0] == "down"
        assert list(root.iterdir()) == []

    def test_two_with_the_same_seed_have_names_of_their_own(self, session, compose):
        import random

        names = set()
        for _ in range(2):
            random.seed(0)
            names.add(tuple(session.local_container("local", 2, "team:1").hosts))
        assert len({host for hosts in names for host in hosts}) == 4

    def test_values_with_dollars_reach_compose_doubled(self, compose, session):
        estimator(session, environment={"PASSWORD": "pa$word"}).fit()
        assert "PASSWORD=pa$$word" in compose.service["environment"]

    def test_without_an_engine_says_so_before_compose_does(self, compose, root, monkeypatch):
        monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
        session = CustomLocalSession(engine=MachineEngine())
        session.config = {"local": {"container_root": str(root)}}
        with pytest.raises(EngineUnavailableError, match=r"/nowhere\.sock"):
            estimator(session, output_path="file:///tmp/x").fit()
        assert not (compose.folder / "calls").exists()

    def test_without_compose_says_what_to_install(self, session, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        with pytest.raises(EngineUnavailableError, match="docker-compose-plugin"):
            estimator(session).fit()


class TestProcessing:
    """Through the client: the SDK's own ``Processor`` knows nothing but S3 for its outputs."""

    def run(self, session, *, outputs=(), program):
        session.sagemaker_client.create_processing_job(
            "clean",
            {"ImageUri": "team:1", **program},
            {"ClusterConfig": {"InstanceType": "local", "InstanceCount": 1}},
            Environment={"PASSWORD": "pa$word"},
            ProcessingOutputConfig={
                "Outputs": [
                    {
                        "OutputName": f"out-{number}",
                        "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": "EndOfJob"},
                    }
                    for number, (path, uri) in enumerate(outputs)
                ]
            },
        )

    def test_brings_its_outputs_and_leaves_nothing(self, compose, session, root, tmp_path):
        compose.does(
            """out=$(sed -n 's|^ *- \\(.*\\):/opt/ml/processing/out$|\\1|p' "$4"); echo clean > "$out/table.csv" """
        )
        self.run(
            session,
            outputs=[("/opt/ml/processing/out", f"file://{tmp_path}/mine")],
            program={"ContainerEntrypoint": ["sh", "-c", "echo $HOME"], "ContainerArguments": ["$1"]},
        )
        assert files_below(tmp_path / "mine") == ["table.csv"]
        assert compose.service["entrypoint"] == ["sh", "-c", "echo $$HOME", "$$1"]
        assert list(root.iterdir()) == []
        assert session.wait_for_processing_job("clean")["ProcessingJobStatus"] == "Completed"

    def test_its_own_configuration_has_the_values_as_they_are(self, compose, session):
        compose.does("""config=$(sed -n 's|^ *- \\(.*\\):/opt/ml/config$|\\1|p' "$4"); cp "$config"/processing* . """)
        self.run(session, program={})
        assert json.loads(compose.was_told("processingjobconfig.json"))["Environment"] == {"PASSWORD": "pa$word"}

    def test_failure_is_told(self, compose, session, root):
        compose.does("echo 'no such table'; exit 1")
        with pytest.raises(LocalContainerError, match="processing job clean failed") as caught:
            self.run(session, program={"ContainerArguments": ["--day", "1"]})
        assert "no such table" in str(caught.value)
        assert list(root.iterdir()) == []


_SERVER = """
port=$(sed -n 's|^ *- \\([0-9]*\\):8080$|\\1|p' "$4")
cd "$model" && exec {python} {folder}/server.py "$port"
"""
_ANSWERS = """
import os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ping" else 404)
        self.end_headers()
    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(" ".join(sorted(os.listdir())).encode())
print("serving", flush=True)
HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


class TestServing:
    @pytest.fixture
    def model(self, tmp_path):
        folder = tmp_path / "models"
        folder.mkdir()
        (folder / "private.txt").write_text("of the user")
        (tmp_path / "weights").write_text("1")
        with tarfile.open(folder / "model.tar.gz", "w:gz") as archive:
            archive.add(tmp_path / "weights", "weights")
        return folder / "model.tar.gz"

    @pytest.fixture
    def served(self, compose):
        (compose.folder / "server.py").write_text(_ANSWERS)
        compose.does(_SERVER.format(python=sys.executable, folder=compose.folder))

    def model_for(self, session, model):
        from sagemaker.predictor import Predictor

        return Model("team:1", f"file://{model}", LOCAL_ROLE, predictor_cls=Predictor, sagemaker_session=session)

    def test_is_ready_with_its_container_without_the_wait_of_the_sdk(self, served, session, model):
        begun = time.monotonic()
        predictor = self.model_for(session, model).deploy(1, "local", wait=True)
        assert time.monotonic() - begun < 25
        assert predictor.predict("x") == b"weights"
        predictor.delete_endpoint()

    def test_unpacks_nothing_among_the_users_files_and_shows_none_of_them(self, served, session, model, root):
        predictor = self.model_for(session, model).deploy(1, "local")
        assert predictor.predict("x") == b"weights"
        predictor.delete_endpoint()
        assert files_below(model.parent) == ["model.tar.gz", "private.txt"]
        assert list(root.iterdir()) == []

    def test_asks_the_engine_nothing_for_an_answer(self, served, session, model):
        asked = []
        session._engine = SimpleNamespace(address="unix:///x", info=lambda: asked.append(1) or {})
        predictor = self.model_for(session, model).deploy(1, "local")
        before = len(asked)
        for _ in range(5):
            predictor.predict("x")
        predictor.delete_endpoint()
        assert len(asked) == before

    def test_two_at_once_are_both_asked(self, served, session, model, tmp_path):
        first = self.model_for(session, model).deploy(1, "local", endpoint_name="first")
        (tmp_path / "other").mkdir()
        (tmp_path / "other" / "second").write_text("2")
        second = Model(
            "team:1", f"file://{tmp_path}/other", LOCAL_ROLE, predictor_cls=type(first), sagemaker_session=session
        ).deploy(1, "local", endpoint_name="second")
        assert [first.predict("x"), second.predict("x")] == [b"weights", b"second"]
        first.delete_endpoint()
        assert second.predict("x") == b"second"
        second.delete_endpoint()

    def test_deleted_endpoint_is_forgotten_and_may_be_deleted_again(self, served, session, model):
        predictor = self.model_for(session, model).deploy(1, "local", endpoint_name="gone")
        predictor.delete_endpoint()
        session.delete_endpoint("gone")
        assert "gone" not in LocalSagemakerClient._endpoints

    def test_container_that_dies_is_told_at_once_and_leaves_nothing(self, compose, session, model, root):
        compose.does("echo 'ImportError: faiss'; exit 1")
        begun = time.monotonic()
        with pytest.raises(
            LocalContainerError, match="ended before it answered /ping; its last lines were\n  ImportError"
        ):
            self.model_for(session, model).deploy(1, "local")
        assert time.monotonic() - begun < 120, "its time for starting was waited for"
        assert compose.calls[-1][0] == "down"
        assert list(root.iterdir()) == []

    def test_endpoint_that_has_died_since_says_so(self, served, compose, session, model):
        (compose.folder / "server.py").write_text(
            _ANSWERS.replace(
                "        self.rfile",
                "        print('MemoryError', flush=True)\n        os._exit(1)\n        self.rfile",
            )
        )
        predictor = self.model_for(session, model).deploy(1, "local")
        with pytest.raises(urllib3.exceptions.HTTPError):
            predictor.predict("x")
        [server] = [LocalSagemakerClient._endpoints[predictor.endpoint_name].server]
        while not server.container.project.ended:
            time.sleep(0.05)
        with pytest.raises(LocalContainerError, match=r"has ended since; its last lines were\n(.*\n)*  MemoryError"):
            predictor.predict("x")
        predictor.delete_endpoint()

    def test_container_that_never_answers_is_given_up_in_the_time_that_the_user_gave(self, compose, root, model):
        compose.does("echo loading; sleep 60")
        engine = SimpleNamespace(address="unix:///x", info=dict)
        session = CustomLocalSession(serving_port=0, endpoint_timeout_s=1, engine=engine)
        session.config = {"local": {"local_code": True, "container_root": str(root)}}
        with pytest.raises(LocalContainerError, match="within 1 s; its last lines were\n  loading"):
            self.model_for(session, model).deploy(1, "local")
        assert list(root.iterdir()) == []

    def test_image_that_has_its_model_needs_none(self, served, session):
        session.sagemaker_client.create_model("whole", {"Image": "team:1"})
        session.sagemaker_client.create_endpoint_config(
            "whole", [{"ModelName": "whole", "InstanceType": "local", "InitialInstanceCount": 1}]
        )
        session.sagemaker_client.create_endpoint("whole", "whole")
        assert session.sagemaker_runtime_client.invoke_endpoint("x", "whole")["Body"].read() == b""
        session.sagemaker_client.delete_endpoint("whole")

    def test_s3_endpoint_reaches_the_container(self, served, compose, root, model):
        engine = SimpleNamespace(address="unix:///x", info=dict)
        boto_session = boto3.Session(region_name="us-east-1")
        session = CustomLocalSession(boto_session, s3_endpoint_url="http://s3.test:9000", serving_port=0, engine=engine)
        session.config = {"local": {"local_code": True, "container_root": str(root)}}
        predictor = self.model_for(session, model).deploy(1, "local")
        predictor.delete_endpoint()
        assert "AWS_ENDPOINT_URL_S3=http://s3.test:9000" in compose.service["environment"]

    def test_transform_job_asks_its_own_server_and_ends_it(self, served, compose, session, model, root, tmp_path):
        data = tmp_path / "data"
        data.mkdir()
        (data / "rows.csv").write_text("1\n2\n")
        self.model_for(session, model).create(instance_type="local")
        transformer = self.model_for(session, model).transformer(
            1, "local", output_path=f"file://{tmp_path}/out", assemble_with="Line", strategy="MultiRecord"
        )
        transformer.transform(f"file://{data}", content_type="text/csv", split_type="Line")
        assert (tmp_path / "out" / "rows.csv.out").read_text() == "weights\n"
        assert "SAGEMAKER_BATCH=True" in compose.service["environment"]
        assert compose.calls[-1][0] == "down"
        assert list(root.iterdir()) == []


_ABANDONS = """
import os, sys, pathlib
from sagemaker_custom.sdk.compose import ComposeProject
folder = pathlib.Path(sys.argv[1])
project = ComposeProject(["docker-compose"], {"one": {}}, folder=folder, secret_environment={})
project.start()
while not (pathlib.Path(sys.argv[2]) / "mode").exists():
    pass
sys.argv[3] == "exit" or os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["exit", "kill"])
def test_containers_go_when_the_process_does_however_it_ends(compose, root, how):
    compose.does("sleep 60")
    subprocess.run([sys.executable, "-c", _ABANDONS, str(root), str(compose.folder), how], check=False, timeout=60)
    deadline = time.monotonic() + 10
    while compose.calls[-1][0] != "down" or list(root.rglob("*.yaml")):
        assert time.monotonic() < deadline, compose.calls
        time.sleep(0.05)


def test_every_project_has_a_name_and_network_of_its_own_and_joins_those_that_are_there(root):
    services = {"one": {"networks": {"sagemaker-local": None, "team": None}}}
    projects = []
    for name in ("a", "b"):
        (root / name).mkdir()
        projects.append(ComposeProject(["docker", "compose"], services, folder=root / name, secret_environment={}))
    assert projects[0].name != projects[1].name
    content = yaml.safe_load((root / "a" / "docker-compose.yaml").read_text())
    assert content == {"services": services, "networks": {"sagemaker-local": {}, "team": {"external": True}}}


class TestWithoutAccount:
    def test_default_bucket_is_not_asked_for(self, session, compose):
        assert session.default_bucket() == "no-aws-credentials"

    def test_bucket_that_the_user_gave_is_the_default(self):
        with mock_aws():
            boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="mine")
            session = CustomLocalSession(boto3.Session(region_name="us-east-1"), default_bucket="mine")
            assert session.default_bucket() == "mine"


def test_models_are_repacked_to_the_s3_that_was_given(tmp_path, keys):
    (tmp_path / "model").mkdir()
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "inference.py").write_text("1\n")
    with tarfile.open(tmp_path / "model.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "model", ".")
    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    try:
        _host, port = server.get_host_and_port()
        session = CustomLocalSession(
            boto3.Session(region_name="us-east-1"), s3_endpoint_url=f"http://localhost:{port}", default_bucket="mine"
        )
        session.s3_client.create_bucket(Bucket="mine")
        uri = "s3://mine/repacked/model.tar.gz"
        repack_model("inference.py", str(tmp_path / "code"), [], f"file://{tmp_path}/model.tar.gz", uri, session)
        listed = session.s3_client.list_objects_v2(Bucket="mine")["Contents"]
        assert [entry["Key"] for entry in listed] == ["repacked/model.tar.gz"]
    finally:
        server.stop()


class TestFilesOfRoot:
    def denied(self, path):
        raise PermissionError(13, "Permission denied", str(path))

    def test_are_removed_by_a_container(self, compose, root):
        script = '#!/bin/sh\necho "$*" > FOLDER/run\nfor last; do :; done\nrm -rf "ROOT/${last#/folder/}"\n'
        (compose.folder / "docker").write_text(script.replace("FOLDER", str(compose.folder)).replace("ROOT", str(root)))
        (root / "run" / "output").mkdir(parents=True)
        remove_folder(root / "run", "team:1", rmtree=self.denied)
        assert list(root.iterdir()) == []
        assert f"--entrypoint=rm --volume {root}:/folder team:1 -rf /folder/run" in compose.was_told("run")

    def test_that_stay_are_told(self, compose, root, caplog):
        (root / "run").mkdir()
        remove_folder(root / "run", "team:1", rmtree=self.denied)
        assert f"{root}/run could not be removed, please do it: [Errno 13] Permission denied" in caplog.text
