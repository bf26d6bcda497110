"""Local mode in real containers: how soon an endpoint is ready, what its containers get, and that nothing stays."""

from __future__ import annotations

import json
import tarfile
import threading
import time
from pathlib import Path

import boto3
import pytest
from local_programs import SERVE, TRAIN, left_in, text_below
from moto.server import ThreadedMotoServer
from sagemaker.deserializers import JSONDeserializer
from sagemaker.estimator import Estimator
from sagemaker.local.local_session import LocalSagemakerClient
from sagemaker.model import Model
from sagemaker.predictor import Predictor

from sagemaker_custom import CustomLocalSession
from sagemaker_custom.errors import LocalContainerError, UsageError
from sagemaker_custom.sdk.rules import LOCAL_ROLE

pytestmark = pytest.mark.docker

SECRET = "s3cret-k3y-of-this-test"
KEY = "AKIAOFTHISTEST"


@pytest.fixture(scope="module")
def image(image_with):
    """An image with Python that trains and serves by small programs of its own."""
    return image_with({"train": TRAIN, "serve": SERVE})


@pytest.fixture
def root(tmp_path):
    folder = tmp_path / "root"
    folder.mkdir()
    return folder


@pytest.fixture
def open_session(root):
    def open_one(**arguments):
        boto_session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, region_name="us-east-1")
        session = CustomLocalSession(boto_session, **{"serving_port": 0, **arguments})
        session.config = {"local": {"local_code": True, "container_root": str(root)}}
        return session

    return open_one


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    return f"file://{folder}"


def deploy(image, model, session, **environment):
    return Model(
        image, model, LOCAL_ROLE, predictor_cls=Predictor, env=environment or None, sagemaker_session=session
    ).deploy(1, "local", deserializer=JSONDeserializer(), wait=True)


def facts_of(estimator):
    with tarfile.open(estimator.model_data.removeprefix("file://")) as archive:
        return json.loads(archive.extractfile("facts.json").read())


def test_training_gets_its_values_and_leaves_the_model_alone(image, open_session, root, docker_engine, capfd):
    server = ThreadedMotoServer(ip_address="0.0.0.0", port=0, verbose=False)
    server.start()
    try:
        session = open_session(s3_endpoint_url=f"http://localhost:{server.get_host_and_port()[1]}", shm_size="3g")
        estimator = Estimator(
            image, LOCAL_ROLE, 2, "local", sagemaker_session=session, environment={"PASSWORD": "pa$word${HOME}$$"}
        )
        estimator.fit()
    finally:
        server.stop()
    facts = facts_of(estimator)
    assert facts["environment"]["PASSWORD"] == "pa$word${HOME}$$"
    assert facts["environment"]["AWS_SECRET_ACCESS_KEY"] == SECRET
    assert facts["shm"] == 3 * 1024**3
    assert facts["found"] == [True, True]
    assert facts["s3"] == 200
    assert {path.name for path in root.rglob("*") if path.is_file()} == {"model.tar.gz", "output.tar.gz"}
    assert left_in(docker_engine, image, capfd.readouterr().out) == []


def test_failed_training_says_why_and_leaves_nothing(image, open_session, root, docker_engine, capfd):
    estimator = Estimator(image, LOCAL_ROLE, 1, "local", sagemaker_session=open_session(), environment={"FAIL": "1"})
    with pytest.raises(LocalContainerError, match="ValueError: there are no rows"):
        estimator.fit()
    assert list(root.iterdir()) == []
    assert left_in(docker_engine, image, capfd.readouterr().out) == []


def test_endpoint_is_ready_with_its_ping_and_leaves_nothing(image, model, open_session, root, docker_engine, capfd):
    predictor = deploy(image, model, open_session(), LOADING="4", WORD="a$b")
    ready = time.time()
    # Asked once before it is measured: the first answer of any container is a slow one.
    facts = predictor.predict("x")
    assert 0 < ready - facts["answers_since"] < 25, "the thirty seconds of the SDK were waited for"
    assert facts["environment"]["WORD"] == "a$b"
    assert facts["environment"]["AWS_SECRET_ACCESS_KEY"] == SECRET
    assert facts["shm"] == 2 * 1024**3
    running = text_below(root)
    assert image.encode() in running
    assert SECRET.encode() not in running
    assert KEY.encode() not in running
    predictor.delete_endpoint()
    assert list(root.iterdir()) == []
    assert left_in(docker_engine, image, capfd.readouterr().out) == []


def test_two_endpoints_at_once_and_a_third_that_finds_its_port_taken(image, model, open_session):
    first = deploy(image, model, open_session(), NUMBER="1")
    port = int(LocalSagemakerClient._endpoints[first.endpoint_name].server.url.rpartition(":")[2])
    second = deploy(image, model, open_session(), NUMBER="2")
    try:
        with pytest.raises(UsageError, match=rf"port {port} is taken by the container sagemaker-custom-\w+.*{image}"):
            deploy(image, model, open_session(serving_port=port))
        assert [one.predict("x")["environment"]["NUMBER"] for one in (first, second)] == ["1", "2"]
    finally:
        first.delete_endpoint()
        second.delete_endpoint()


def test_container_that_dies_is_told_at_once(image, model, open_session, root, docker_engine, capfd):
    with pytest.raises(LocalContainerError, match=r"(?s)ended before it answered.*ImportError: libcudart"):
        deploy(image, model, open_session(), FAIL="1")
    assert list(root.iterdir()) == []
    assert left_in(docker_engine, image, capfd.readouterr().out) == []


def test_three_trainings_at_once_do_not_meet(image, open_session, capfd):
    estimators = [
        Estimator(image, LOCAL_ROLE, 1, "local", sagemaker_session=open_session(), environment={"NUMBER": str(number)})
        for number in range(3)
    ]
    threads = [threading.Thread(target=estimator.fit) for estimator in estimators]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [facts_of(estimator)["environment"]["NUMBER"] for estimator in estimators] == ["0", "1", "2"]
    assert all(Path(estimator.model_data.removeprefix("file://")).is_file() for estimator in estimators)
