"""The main job, for real, without an AWS account: build, train, serve and predict in containers, then as on AWS.

Run it with ``make demo``. Everything happens in the sandbox: moto stands in for AWS's services, a registry process for
ECR, and images with the real SageMaker toolkits for AWS's PyTorch 2.3.0 images.
"""

from __future__ import annotations

import io
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import docker
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sagemaker_custom import CustomLocalSession, CustomPyTorch
from sagemaker_custom.installed_sdk import adapter
from sagemaker_custom.progress import terminal_progress
from sagemaker_custom.sandbox import Sandbox

# The one thing that differs between the two lines of the SDK: where its own names are.
if adapter().endswith("v2"):
    from sagemaker.deserializers import JSONDeserializer
    from sagemaker.session import Session
else:
    from sagemaker.core.deserializers import JSONDeserializer
    from sagemaker.core.helper.session_helper import Session

CODE = Path(__file__).parent / "code"
LEAST_ACCURACY = 0.95
BATCH = 120
console = Console(width=None if Console().is_terminal else 120)


@dataclass
class Step:
    """A line of the closing table."""

    name: str
    seconds: float = 0.0
    image: str = ""
    to_s3: int = 0
    to_registry: int = 0


@dataclass
class Report:
    """Measures each step: its time, and what it added to S3 and to the registry."""

    sandbox: Sandbox
    steps: list[Step] = field(default_factory=list)

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        console.rule(f"[bold]{len(self.steps) + 1}. {name}", align="left")
        step = Step(name)
        stored, pushed, start = self.s3_bytes(), self.registry_bytes(), time.monotonic()
        yield step
        step.seconds = time.monotonic() - start
        step.to_s3, step.to_registry = self.s3_bytes() - stored, self.registry_bytes() - pushed
        self.steps.append(step)

    def s3_bytes(self) -> int:
        s3 = self.sandbox.boto_session().client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=self.sandbox.bucket)
        return sum(item["Size"] for page in pages for item in page.get("Contents", []))

    def registry_bytes(self) -> int:
        return sum(path.stat().st_size for path in self.sandbox.registry_folder.rglob("data") if path.is_file())

    def print(self) -> None:
        table = Table("step", "seconds", "image", "bytes to S3", "bytes to the registry", title="What happened")
        for number, step in enumerate(self.steps, 1):
            row = (
                f"{number}. {step.name}",
                f"{step.seconds:.1f}",
                step.image,
                f"{step.to_s3:,}",
                f"{step.to_registry:,}",
            )
            table.add_row(*row)
        console.print(table)


def main() -> None:
    """Run the whole job; raises if any part of it does not hold."""
    # The SDK warns at each local prediction that Docker does not run rootless, and local mode turns all logs on.
    logging.getLogger("sagemaker.local.utils").setLevel(logging.ERROR)
    for name in ("botocore", "sagemaker.telemetry"):
        logging.getLogger(name).setLevel(logging.WARNING)
    started = time.monotonic()
    with Sandbox() as sandbox:
        os.environ.update(sandbox.environment)
        report = Report(sandbox)
        with report.step("sandbox: stand-in base images"), terminal_progress() as progress:
            sandbox.ensure_bases(progress)
        with report.step("data: 1,797 handwritten digits to S3"):
            train, held_out = upload_digits(sandbox)
        estimator = local_job(report, sandbox, train, held_out)
        cloud_job(report, sandbox, train, estimator)
        report.print()
    console.print(f"all of it in {time.monotonic() - started:.0f} s", highlight=False)


def upload_digits(sandbox: Sandbox) -> tuple[str, tuple[np.ndarray, np.ndarray]]:
    """Split the digits that come with scikit-learn, and put them where the training channel looks."""
    digits = load_digits()
    images = digits.images.astype("float32")
    split = train_test_split(images, digits.target, test_size=0.2, random_state=0, stratify=digits.target)
    train_images, test_images, train_labels, test_labels = split
    s3 = sandbox.boto_session().client("s3")
    for name, x, y in (("train", train_images, train_labels), ("test", test_images, test_labels)):
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=x, labels=y)
        s3.put_object(Bucket=sandbox.bucket, Key=f"digits/{name}.npz", Body=buffer.getvalue())
    return f"s3://{sandbox.bucket}/digits", (test_images, test_labels)


def estimator_for(sandbox: Sandbox, instance_type: str) -> CustomPyTorch:
    """The one line that all of this is about."""
    boto_session = sandbox.boto_session()
    local = instance_type == "local"
    return CustomPyTorch(
        entry_point="train.py",
        source_dir=str(CODE),
        extras=["faiss"],
        framework_version="2.3",
        py_version="py311",
        instance_type=instance_type,
        instance_count=1,
        role=sandbox.role,
        hyperparameters={"epochs": 12},
        sagemaker_session=CustomLocalSession(boto_session) if local else Session(boto_session),
    )


def local_job(report: Report, sandbox: Sandbox, train: str, held_out: tuple[np.ndarray, np.ndarray]) -> CustomPyTorch:
    """Train twice and serve, in containers on this machine."""
    with report.step("fit() in local mode: image built, network trained") as step:
        estimator = estimator_for(sandbox, "local")
        console.print(estimator.plan_image().reason, highlight=False)
        estimator.fit({"train": train})
        step.image = image_size(estimator.training_image_uri())
    with report.step("fit() again: nothing to build, nothing to upload"):
        estimator_for(sandbox, "local").fit({"train": train})
    with report.step("deploy() to a local endpoint, predict by HTTP") as step:
        predictor = estimator.deploy(1, "local", entry_point="inference.py", deserializer=JSONDeserializer())
        try:
            check_predictions(predictor, *held_out)
        finally:
            predictor.delete_endpoint()
        step.image = image_size(str(estimator.plan_image("inference", "local").reference))
    return estimator


def check_predictions(predictor: object, images: np.ndarray, labels: np.ndarray) -> None:
    """Ask the endpoint for every digit that training has not seen."""
    answers = [
        answer for start in range(0, len(images), BATCH) for answer in predictor.predict(images[start : start + BATCH])
    ]
    correct = np.mean([answer["class"] == label for answer, label in zip(answers, labels, strict=True)])
    by_neighbours = np.mean(
        [
            np.bincount([n["label"] for n in a["neighbours"]]).argmax() == label
            for a, label in zip(answers, labels, strict=True)
        ]
    )
    console.print(
        f"accuracy on {len(labels)} held-out digits: {correct:.3f} by the network, "
        f"{by_neighbours:.3f} by faiss's neighbours"
    )
    console.print("for example:", json.dumps(answers[0]), highlight=False)
    if min(correct, by_neighbours) < LEAST_ACCURACY:
        raise SystemExit(f"accuracy is below {LEAST_ACCURACY}")


def cloud_job(report: Report, sandbox: Sandbox, train: str, trained: CustomPyTorch) -> None:
    """The same estimator on an instance type of AWS; moto records the requests and runs nothing."""
    client = sandbox.boto_session().client("sagemaker")
    with report.step("the same on ml.m5.xlarge: images pushed, job and endpoint created") as step:
        estimator = estimator_for(sandbox, "ml.m5.xlarge")
        estimator.fit({"train": train}, wait=False)
        job = client.describe_training_job(TrainingJobName=estimator.latest_training_job.name)
        show("CreateTrainingJob", job["AlgorithmSpecification"]["TrainingImage"], job["HyperParameters"])
        leave_model(sandbox, trained.model_data, job["ModelArtifacts"]["S3ModelArtifacts"])
        estimator.deploy(1, "ml.m5.xlarge", entry_point="inference.py", endpoint_name="digits", wait=False)
        config = client.describe_endpoint_config(
            EndpointConfigName=client.describe_endpoint(EndpointName="digits")["EndpointConfigName"]
        )
        model = client.describe_model(ModelName=config["ProductionVariants"][0]["ModelName"])["PrimaryContainer"]
        show("CreateEndpoint", model["Image"], model["Environment"])
        step.image = image_size(str(estimator.plan_image("inference").reference))


def leave_model(sandbox: Sandbox, local_model: str, where: str) -> None:
    """Put the model of the local run where the job would have left its own."""
    bucket, _, key = where.removeprefix("s3://").partition("/")
    sandbox.boto_session().client("s3").upload_file(local_model.removeprefix("file://"), bucket, key)


def show(request: str, image: str, values: dict[str, str]) -> None:
    """Print what AWS would have got."""
    console.print(f"[bold]{request}[/bold] {image}", highlight=False, soft_wrap=True)
    for name in sorted(values):
        if name.lower().startswith("sagemaker_"):
            console.print(f"    {name} = {values[name]}", highlight=False, soft_wrap=True)


def image_size(reference: str) -> str:
    """The size of an image in the local Docker Engine."""
    # The list alone: another program may remove an image before it could be asked for more.
    images = docker.from_env().api.images(filters={"label": "sagemaker-custom.fingerprint"})
    tag = reference.rpartition(":")[2]
    sizes = [image["Size"] for image in images if any(name.endswith(tag) for name in image["RepoTags"] or ())]
    return f"{sizes[0] / 1e6:,.0f} MB" if sizes else ""


if __name__ == "__main__":
    main()
