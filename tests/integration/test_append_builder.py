"""Images that are appended, beside images that Docker builds, on the stand-in of AWS's PyTorch image."""

from __future__ import annotations

import json
import secrets
import tarfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import docker
import numpy as np
import pytest
from sklearn.datasets import load_digits

from sagemaker_custom import CustomPyTorch
from sagemaker_custom.builders.lock import listing_command, read_listing
from sagemaker_custom.errors import VerificationError
from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.wiring import Parts

pytestmark = pytest.mark.docker

DEMO = Path(__file__).parents[2] / "examples" / "digits" / "code"
EXTRAS = ("faiss", "pip:einops==0.8.0", "pip:jinja2-cli==0.8.2")
VERIFY = "import faiss, numpy, torch; faiss.IndexFlatL2(4); print(torch.zeros(2).sum().item())"


@pytest.fixture(scope="module")
def bench(sandbox, docker_engine, ca_bundle, tmp_path_factory):
    """The sandbox's account, repositories of this run's own, and a cache that is empty."""
    settings = replace(
        sandbox.settings,
        repository_prefix=f"sagemaker-append-{secrets.token_hex(4)}",
        cache_dir=str(tmp_path_factory.mktemp("cache")),
        ca_bundle=ca_bundle,
    )
    return Bench(sandbox, settings, docker_engine)


class Bench:
    def __init__(self, sandbox, settings, engine):
        self.sandbox = sandbox
        self.settings = settings
        self.engine = engine

    def parts(self, **changes):
        return Parts(session=self.sandbox.boto_session(), settings=replace(self.settings, **changes))

    def plan(self, extras=EXTRAS, **arguments):
        return self.parts().plan(image_spec("pytorch", version="2.3", py_version="py311", extras=extras, **arguments))

    def build(self, builder, plan=None, policy="always", **changes):
        return self.parts(**changes).ensure(plan or self.plan(), policy=policy, builder=builder)

    def labels(self, reference):
        return self.parts().registry.image_config(reference)["config"]["Labels"]

    def pulled(self, reference):
        """Pull an image of the sandbox's registry."""
        host = self.settings.endpoint_for(reference.registry).removeprefix("http://")
        return self.engine.images.pull(f"{host}/{reference.repository}", tag=reference.tag)

    def run(self, reference, *command):
        image = self.pulled(reference)
        try:
            return self.engine.containers.run(image.id, list(command[1:]), entrypoint=command[0], remove=True).decode()
        finally:
            for name in (*image.tags, *image.attrs["RepoDigests"]):
                # With the last tag of a repository the engine forgets the digest, too.
                with suppress(docker.errors.NotFound):
                    if self.settings.repository_prefix in name:
                        self.engine.api.remove_image(name, noprune=True)

    def installed(self, reference):
        python = self.plan().base.python
        lines = self.run(reference, *listing_command(python)).splitlines()
        return read_listing(lines, image=str(reference))


@pytest.fixture(scope="module")
def appended(bench):
    return bench.build("append")


@pytest.fixture(scope="module")
def built(bench):
    return bench.build("docker")


def test_python_in_both_sees_the_same_packages(bench, appended, built):
    assert bench.installed(appended) == bench.installed(built)
    assert bench.labels(appended)["sagemaker-custom.spec"] == bench.labels(built)["sagemaker-custom.spec"]


@pytest.mark.parametrize("image", ["appended", "built"])
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_both_train_the_demo(bench, request, image, tmp_path):
    reference = request.getfixturevalue(image)
    digits = load_digits()
    for name in ("train", "test"):
        np.savez_compressed(tmp_path / f"{name}.npz", images=digits.images.astype("float32"), labels=digits.target)
    estimator = CustomPyTorch(
        entry_point="train.py",
        source_dir=str(DEMO),
        image_uri=bench.pulled(reference).tags[0],
        instance_type="local",
        instance_count=1,
        hyperparameters={"epochs": 2},
        settings=bench.settings,
    )

    estimator.fit({"train": tmp_path.as_uri()})

    with tarfile.open(estimator.model_data.removeprefix("file://")) as model:
        assert "embeddings.faiss" in "".join(model.getnames())


def test_both_record_the_same_versions(bench, appended):
    said = json.loads(bench.labels(appended)["sagemaker-custom.lock"])
    assert {"einops", "faiss-cpu", "jinja2-cli"} <= said["installed"].keys()
    assert said["removed"] == []


def test_compiled_packages_and_scripts_run(bench, appended):
    python = bench.plan().base.python
    assert bench.run(appended, python, "-c", VERIFY).splitlines()[-1] == "0.0"
    assert "0.8.2" in bench.run(appended, "jinja2", "--version")


def test_pip_finds_nothing_wrong_with_what_was_added(bench, appended):
    python = bench.plan().base.python
    found = bench.run(appended, "sh", "-c", f"{python} -m pip check || true")
    assert not [line for line in found.splitlines() if line.startswith(("einops", "faiss", "jinja2-cli"))]
    assert "Successfully uninstalled" in bench.run(
        appended, python, "-m", "pip", "uninstall", "-y", "faiss-cpu", "jinja2-cli"
    )


def test_it_was_run_since_the_engine_has_the_base(bench, appended):
    base = bench.plan().base_reference
    bench.build("docker", bench.plan(("pip:einops==0.8.0",)), policy="if-missing")
    image = bench.build("append", bench.plan(("pip:einops==0.7.0",)))
    assert bench.labels(image)["sagemaker-custom.verified"] == "run"
    assert bench.labels(image)["sagemaker-custom.starts-scripts"] == "yes"
    assert bench.labels(appended)["sagemaker-custom.verified"] in {"run", "static"}
    assert base.ecr.account != image.ecr.account


def test_command_that_fails_leaves_no_tag(bench):
    plan = replace(bench.plan(("pip:einops==0.6.1",)), verify=("python -c 'import einops; raise SystemExit(7)'",))
    with pytest.raises(VerificationError, match=r"does not pass .* \(exit code 7\)"):
        bench.build("append", plan, policy="if-missing", verify="run")
    assert bench.parts().registry.find(plan.reference) is None


def test_nothing_is_left_in_the_engine_by_running_it(bench):
    plan = bench.plan(("pip:einops==0.6.0",))
    image = bench.build("append", plan, policy="if-missing", verify="run")
    assert bench.labels(image)["sagemaker-custom.verified"] == "run"
    digest = bench.parts().registry.find(image)
    # By the low-level API: the other one asks for each image again, which somebody may have removed by then.
    names = [name for found in bench.engine.api.images() for name in found["RepoDigests"] or ()]
    assert not [name for name in names if digest in name]


def test_replaced_package_is_gone_and_the_new_one_is_there(bench):
    old = bench.installed(bench.build("append", bench.plan(("pip:einops==0.8.1",)), policy="if-missing"))
    wanted = "3.2.1" if old["networkx"] != "3.2.1" else "3.1"
    plan = bench.plan((f"pip:networkx=={wanted}",), replace=["networkx"])
    image = bench.build("append", plan, policy="if-missing", verify="run")
    program = "import glob, os, networkx; print(networkx.__version__); d = os.path.dirname(networkx.__path__[0])\n"
    program += "print(len(glob.glob(d + '/networkx-*.dist-info')))"
    assert bench.run(image, plan.base.python, "-c", program).split() == [wanted, "1"]


def test_lock_gives_the_same_digest_from_an_empty_cache(bench, appended, tmp_path):
    from sagemaker_custom.wheels.lock import read_lock

    lock = read_lock(bench.labels(appended)["sagemaker-custom.wheels"])
    verified = bench.labels(appended)["sagemaker-custom.verified"]
    parts = bench.parts(cache_dir=str(tmp_path), verify=verified)
    again = parts.ensure(bench.plan(), policy="always", lock=lock)
    registry = parts.registry
    assert registry.find(again) == registry.find(appended)
    assert isinstance(again, ImageReference)


def test_auto_takes_docker_for_what_has_no_wheel(bench):

    # Source alone, and pure Python: pip builds it in the image.
    plan = bench.plan(("pip:docopt==0.6.2",))
    image = bench.build("auto", plan, policy="if-missing")
    assert bench.labels(image)["sagemaker-custom.builder"].startswith("docker")
