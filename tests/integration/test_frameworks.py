"""Every framework's stand-in, in local mode: what is trained on real data is served, and answers as it was measured."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentences
from sklearn.datasets import dump_svmlight_file, load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from sagemaker_custom import CustomHuggingFace, CustomSKLearn, CustomTensorFlow, CustomXGBoost
from sagemaker_custom.progress import LineProgress
from sagemaker_custom.sandbox.frameworks import FRAMEWORKS

pytestmark = [
    pytest.mark.docker,
    pytest.mark.heavy,
    # The SDK leaves the pipes of the Compose processes open that it starts.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

SCRIPTS = Path(__file__).parent / "scripts"
SEED = 7


def digits() -> tuple[Any, Any, Any, Any]:
    """Return features and labels to train with, then to test with."""
    data = load_digits()
    train, test, train_labels, test_labels = train_test_split(data.data, data.target, random_state=SEED)
    return train.astype(np.float32), train_labels, test.astype(np.float32), test_labels


def tumours() -> tuple[Any, Any, Any, Any]:
    """Return features and labels to train with, then to test with."""
    data = load_breast_cancer()
    train, test, train_labels, test_labels = train_test_split(data.data, data.target, random_state=SEED)
    return train, train_labels, test, test_labels


def write_digits(folder: Path) -> None:
    """Write the channel of scikit-learn and TensorFlow."""
    train, train_labels, test, test_labels = digits()
    np.savez(folder / "train.npz", features=train, labels=train_labels)
    np.savez(folder / "test.npz", features=test, labels=test_labels)


def write_tumours(folder: Path) -> None:
    """Write the channel of XGBoost."""
    train, train_labels, test, test_labels = tumours()
    dump_svmlight_file(train, train_labels, str(folder / "train.libsvm"))
    dump_svmlight_file(test, test_labels, str(folder / "test.libsvm"))


def write_sentences(folder: Path) -> None:
    """Write the channel of Hugging Face."""
    folder.joinpath("train.json").write_text(json.dumps(sentences.TRAIN))
    folder.joinpath("test.json").write_text(json.dumps(sentences.TEST))


def ask_for_digits(predictor: Any, folder: Path) -> float:
    """Return the share of right answers; features and labels go as NumPy files."""
    _, _, test, labels = digits()
    return float(np.mean(predictor.predict(test) == labels))


def ask_for_tumours(predictor: Any, folder: Path) -> float:
    """Return the share of right answers; features go as LIBSVM, probabilities come as CSV."""
    _, _, _, labels = tumours()
    answer = predictor.predict((folder / "test.libsvm").read_text())
    return float(np.mean((np.array(answer, dtype=float).ravel() > 0.5) == labels))


def ask_for_opinions(predictor: Any, folder: Path) -> float:
    """Return the share of right answers; JSON both ways."""
    answers = predictor.predict({"inputs": [entry["text"] for entry in sentences.TEST]})
    truth = [("complaint", "praise")[entry["label"]] for entry in sentences.TEST]
    return float(np.mean([answer["label"] == label for answer, label in zip(answers, truth, strict=True)]))


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    """One framework."""

    name: str
    estimator: type
    channel: str
    write: Callable[[Path], None]
    accuracy: float
    """What is reached at least."""
    ask: Callable[[Any, Path], float] | None = None
    """``None``: the stand-in does not serve."""
    arguments: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)


CASES = (
    Case(
        name="huggingface",
        estimator=CustomHuggingFace,
        arguments={"transformers_version": "4.46.1", "pytorch_version": "2.3.0", "py_version": "py311"},
        hyperparameters={"epochs": 15},
        channel="sentences",
        write=write_sentences,
        ask=ask_for_opinions,
        accuracy=0.9,
    ),
    Case(
        name="sklearn",
        estimator=CustomSKLearn,
        arguments={"framework_version": "1.2-1"},
        hyperparameters={"trees": 60},
        channel="digits",
        write=write_digits,
        ask=ask_for_digits,
        accuracy=0.95,
    ),
    Case(
        name="xgboost",
        estimator=CustomXGBoost,
        arguments={"framework_version": "3.0-5"},
        hyperparameters={"rounds": 25, "max_depth": 3},
        channel="tumours",
        write=write_tumours,
        ask=ask_for_tumours,
        accuracy=0.93,
    ),
    Case(
        name="tensorflow",
        estimator=CustomTensorFlow,
        arguments={"framework_version": "2.19.0", "py_version": "py312"},
        hyperparameters={"epochs": 20},
        channel="digits",
        write=write_digits,
        accuracy=0.93,
    ),
)


@pytest.fixture(scope="module")
def settings(sandbox):
    """Send every ECR host to the registry that has the stand-ins."""
    sandbox.ensure_bases(LineProgress(), frameworks=[case.name for case in CASES])
    return sandbox.settings


@pytest.fixture(scope="module")
def bases(sandbox, settings):
    """Give the addresses of a framework's stand-ins in the sandbox's registry: what trains, then what serves."""
    registry = sandbox.registry_url.removeprefix("http://")
    return {
        name: [f"{registry}/{item.repository}:{item.tag}" for item in publications]
        for name, publications in FRAMEWORKS.items()
    }


def estimator_for(case, settings):
    return case.estimator(
        entry_point="train.py",
        source_dir=str(SCRIPTS / case.name),
        hyperparameters=case.hyperparameters,
        instance_type="local",
        instance_count=1,
        extras=["pip:einops"],
        settings=settings,
        **case.arguments,
    )


def measured_in(model_data):
    with tarfile.open(model_data.removeprefix("file://")) as archive:
        return json.loads(archive.extractfile("accuracy.json").read())


@pytest.mark.parametrize(
    ("name", "program", "said"),
    [
        ("huggingface", "import accelerate, datasets, transformers as framework", ["4.46.1", "4.46.1"]),
        ("sklearn", "import pandas, sklearn as framework", ["1.2.1"]),
        ("xgboost", "import sklearn, xgboost as framework", ["3.0.5"]),
        ("tensorflow", "import sagemaker_tensorflow_container.training, tensorflow as framework", ["2.19.0"]),
    ],
)
def test_stand_ins_hold_the_real_framework_and_nothing_of_the_making(docker_engine, bases, name, program, said):
    versions = []
    for image in bases[name]:
        imports = program if image == bases[name][0] else "import sagemaker_inference, transformers as framework"
        printed = docker_engine.containers.run(
            image,
            entrypoint=["/opt/conda/bin/python", "-c"],
            command=[f"{imports}; import os; print(framework.__version__, os.listdir('/tmp'))"],
            remove=True,
            network_disabled=True,
        )
        versions.append(printed.decode().splitlines()[-1])
    assert versions == [f"{version} []" for version in said]


def test_tensorflow_is_where_the_stock_image_has_it(docker_engine, bases):
    said = docker_engine.containers.run(
        bases["tensorflow"][0],
        entrypoint=["/usr/local/bin/python", "-c"],
        command=["import sys, importlib.util as util; print(sys.executable, util.find_spec('tensorflow') is not None)"],
        remove=True,
    )
    assert said.decode().split() == ["/opt/conda/bin/python", "True"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_trains_on_real_data_and_serves_what_it_trained(case, settings, tmp_path):
    case.write(tmp_path)
    estimator = estimator_for(case, settings)
    estimator.fit({case.channel: f"file://{tmp_path}"})
    measured = measured_in(estimator.model_data)
    assert measured >= case.accuracy
    if case.ask is None:
        return
    predictor = estimator.deploy(1, "local", entry_point="inference.py")
    try:
        assert case.ask(predictor, tmp_path) == pytest.approx(measured)
    finally:
        predictor.delete_endpoint()
