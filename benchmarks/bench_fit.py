"""A warm ``fit()``: the SDK's ``PyTorch`` and our ``CustomPyTorch`` with an extra, on one moto.

``python benchmarks/bench_fit.py`` needs the SDK and ``docker-registry``. Image and source are there already; each
``fit()`` is one of a new estimator, and does not wait for the job. The registry is on loopback and asks for no login;
what ours asks it is counted.
"""

from __future__ import annotations

import argparse
import io
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

os.environ["SAGEMAKER_SUPPRESS_V2_WARNING"] = "1"

from moto_process import aws_process
from results import Row, save

from sagemaker_custom import oci
from sagemaker_custom.plan import BuildPlan
from sagemaker_custom.reference import digest_of
from sagemaker_custom.registry import Manifest, RegistryClient, RequestsTransport
from sagemaker_custom.sandbox.aws import ACCOUNT
from sagemaker_custom.sandbox.registry import LocalRegistry
from sagemaker_custom.settings import RegistryEndpoint, Settings

CODE = Path(__file__).parents[1] / "examples" / "digits" / "code"
ASKED = {
    "entry_point": "train.py",
    "source_dir": str(CODE),
    "framework_version": "2.3",
    "py_version": "py311",
    "instance_type": "ml.m5.xlarge",
    "instance_count": 1,
    "role": f"arn:aws:iam::{ACCOUNT}:role/SageMakerRole",
}


class Requests(logging.Handler):
    """Counts what goes to one host, as urllib3 tells of it."""

    def __init__(self, address: str) -> None:
        super().__init__(logging.DEBUG)
        self.count = 0
        self._address = address

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of a request; other lines have no status in them."""
        self.count += self._address in record.getMessage() and "HTTP/1.1" in record.getMessage()


def put_image(registry: LocalRegistry, plan: BuildPlan) -> None:
    """Put an image of no layers, but with the labels of the plan, where the plan wants one."""
    client = RegistryClient(
        transport=RequestsTransport(), credentials=lambda _host: None, endpoint_for=lambda _host: registry.url
    )
    inner = {"Labels": dict(plan.labels)}
    rootfs = {"type": "layers", "diff_ids": []}
    config = json.dumps({"architecture": "amd64", "os": "linux", "config": inner, "rootfs": rootfs}).encode()
    client.upload_blob(plan.reference, digest_of(config), len(config), lambda: io.BytesIO(config))
    described = {"mediaType": oci.DOCKER_CONFIG, "size": len(config), "digest": digest_of(config)}
    document = {"schemaVersion": 2, "mediaType": oci.DOCKER_MANIFEST, "config": described, "layers": []}
    client.put_manifest(plan.reference, Manifest(media_type=oci.DOCKER_MANIFEST, content=json.dumps(document).encode()))


def fit(estimator_class: Callable[..., Any], session: Any, **more: Any) -> float:
    """Return the seconds of a new estimator and its ``fit()``."""
    begin = time.perf_counter()
    estimator_class(sagemaker_session=session, **ASKED, **more).fit(wait=False)
    return time.perf_counter() - begin


def main() -> None:
    """Measure in turns, and save the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    for name in ("sagemaker", "sagemaker_custom"):
        logging.getLogger(name).setLevel(logging.ERROR)

    from sagemaker.pytorch import PyTorch
    from sagemaker.session import Session

    from sagemaker_custom import CustomPyTorch

    with (
        tempfile.TemporaryDirectory() as name,
        LocalRegistry(Path(name, "registry")) as registry,
        aws_process() as boto_session,
    ):
        endpoint = RegistryEndpoint(pattern="*.dkr.ecr.*", url=registry.url)
        settings = Settings(
            account=ACCOUNT,
            region=boto_session.region_name,
            registry_endpoints=(endpoint,),
            cache_dir=str(Path(name, "cache")),
        )
        session = Session(boto_session=boto_session)
        boto_session.client("s3").create_bucket(Bucket=session.default_bucket())
        ours = {"extras": ["faiss"], "settings": settings}
        put_image(registry, CustomPyTorch(sagemaker_session=session, **ASKED, **ours).plan_image())
        fit(PyTorch, session)
        fit(CustomPyTorch, session, **ours)
        stock, extended = [], []
        for _ in range(repeats):
            stock.append(fit(PyTorch, session))
            extended.append(fit(CustomPyTorch, session, **ours))
        requests = counted(registry, lambda: fit(CustomPyTorch, session, **ours))
    save(
        "fit",
        [
            Row(
                what="warm fit() with an extra",
                against="SDK: PyTorch.fit()",
                ours=median(extended),
                theirs=median(stock),
                below=round(median(stock) + 0.1, 2),
                note=f"may take 100 ms more; median of {repeats}",
                chart=True,
            ),
            Row(
                what="its requests to the registry",
                against="SDK: PyTorch.fit(), which does not ask",
                ours=requests,
                theirs=0,
                unit="requests",
                below=1,
            ),
        ],
    )


def counted(registry: LocalRegistry, work: Callable[[], object]) -> int:
    """Return how many requests reach the registry meanwhile."""
    handler, logger = Requests(registry.address), logging.getLogger("urllib3.connectionpool")
    level, logger.propagate = logger.level, False
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    try:
        work()
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
    return handler.count


if __name__ == "__main__":
    main()
