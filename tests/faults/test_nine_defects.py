"""Nine defects that were reproduced in other tools that build images: one test each, so that none comes back here."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest
from fakes.example_plan import BASE, example_plan
from fakes.fake_object_store import FakeObjectStore
from registry_process import running_registry
from whole_flow import REPOSITORY, WholeFlow

from sagemaker_custom import catalog, oci
from sagemaker_custom.builders.context_archive import context_archive
from sagemaker_custom.builders.engine import BuildContext
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.dockerfile_folder import DockerfileFolder, copy_context, read_context
from sagemaker_custom.errors import BuildError, RegistryError, RegistryUnavailableError
from sagemaker_custom.plan import FINGERPRINT_LABEL, RegistryTarget, make_plan, plan_fingerprint
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.requirements import read_extras
from sagemaker_custom.resolve import resolve
from sagemaker_custom.source import SourceDestination, bundle, upload
from sagemaker_custom.spec import ImageSpec

MIB = 1024 * 1024


@pytest.fixture
def flow(tmp_path):
    return WholeFlow(tmp_path)


def plan_for(extras, py_version="py311", version="2.3"):
    known = catalog.load()
    spec = ImageSpec(framework="pytorch", version=version, py_version=py_version, extras=read_extras(extras))
    return make_plan(
        spec,
        resolve(spec, known),
        partitions=known.partitions,
        region="eu-west-1",
        target=RegistryTarget(account="123456789012"),
        repository_prefix="sagemaker-custom",
    )


def test_1_existence_that_is_unknown_is_not_existence(flow):
    """Flytekit and flyte-sdk take an image for present when they cannot ask; a job then starts that cannot run."""
    flow.registry.refuse_connections(times=1000)
    for policy in ("if-missing", "never"):
        with pytest.raises(RegistryUnavailableError):
            flow.ensure(example_plan(), policy)
    assert flow.engine.effects == []


def test_2_the_target_s_python_is_in_the_key_and_the_client_s_is_not():
    """Flytekit builds for the Python of the client without hashing it: two clients share a tag for two images."""
    plan = plan_for(["pip:zarr"])
    other = replace(plan.base, py_version="py312", tag=plan.base.tag.replace("py311", "py312"))
    assert plan_fingerprint(plan.base, plan.steps, plan.held, plan.verify, plan.pip_indexes) == plan.fingerprint
    assert plan_fingerprint(other, plan.steps, plan.held, plan.verify, plan.pip_indexes) != plan.fingerprint
    assert plan.document["python"] == plan.base.python
    # The same from another process, which hashes, lives and is called otherwise.
    command = "import test_nine_defects as t; print(t.plan_for(['pip:zarr']).reference)"
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1]), str(Path(__file__).parents[1] / "functional")]
    environment = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONHASHSEED": "1", "HOME": "/", "PATH": os.defpath}
    told = subprocess.run(
        [sys.executable, "-O", "-c", command],
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
        env=environment,
        cwd="/",
    )
    assert told.stdout.strip() == str(plan.reference)


def test_3_unequal_requests_never_share_a_key_and_equal_ones_always_do():
    """flyte-sdk hashes concatenated texts, so 'ab'+'c' is 'a'+'bc'; flytekit and ZenML hash order and spelling too."""
    unequal = [
        ["pip:ab", "pip:c"],
        ["pip:a", "pip:bc"],
        ["pip:abc"],
        ["pip:a==1", "pip:bc"],
        ["pip:a", "pip:bc==1"],
        ["pip:a==1.1"],
        ["pip:a[b]==1.1"],
        ["apt:ab", "apt:cd"],
        ["apt:abc", "apt:dd"],
        ["apt:ab", "pip:cd"],
    ]
    tags = [plan_for(extras).reference.tag for extras in unequal]
    assert len(set(tags)) == len(unequal)
    assert len({plan_for(extras).fingerprint for extras in unequal}) == len(unequal)
    spelled = ["pip:Umap_Learn >= 0.5", "faiss", "pip:zarr"]
    respelled = ["pip:umap-learn>=0.5", "faiss", "pip:ZARR"]
    keys = {plan_for(order).reference for extras in (spelled, respelled) for order in permutations(extras)}
    assert len(keys) == 1


@pytest.mark.parametrize("breaks", ["the build", "a verify command", "the push", "a push that sends nothing"])
def test_4_a_build_that_failed_is_never_reported_as_success(flow, breaks):
    """sm-docker ends with 0 after a build whose status is FAILED."""
    plan = example_plan()
    if breaks == "the build":
        flow.route.error = BuildError("step 2 of 3 failed")
    elif breaks == "a verify command":
        flow.engine.exit_codes["python -c 'import tiny'"] = 1
    elif breaks == "the push":
        flow.engine.fail("push")
    else:
        flow.engine.push = lambda *arguments, **more: None
    with pytest.raises((BuildError, RegistryError)) as caught:
        flow.ensure(plan)
    assert caught.value.exit_code > 0
    assert flow.tags == []


def test_5_the_context_is_filtered_and_small_and_git_is_not_in_it(tmp_path):
    """sm-docker sends the folder uncompressed and whole, with .git and whatever else lies there."""
    folder = tmp_path / "code"
    for name, size in ((".git/objects/pack", MIB), ("__pycache__/train.pyc", MIB), ("data.bin", MIB)):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"\0" * size)
    (folder / "train.py").write_text("print('hello')")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    (folder / ".dockerignore").write_text(".git\n*.bin\n__pycache__\n")
    store = FakeObjectStore()

    upload(
        bundle("train.py", folder),
        SourceDestination(bucket="code", prefix=""),
        store=store,
        progress=NoProgress(),
    )
    copied = tmp_path / "context"
    copied.mkdir()
    copy_context(read_context(DockerfileFolder(path=str(folder))), copied)
    with (
        context_archive(BuildContext(files={}, platform="linux/amd64", folder=copied)) as stream,
        tarfile.open(fileobj=stream) as archive,
    ):
        in_context = set(archive.getnames())

    [packed] = store.objects.values()
    with tarfile.open(fileobj=io.BytesIO(packed.content), mode="r:gz") as archive:
        in_source = set(archive.getnames())
    assert not [name for name in in_source | in_context if ".git" in name or name.endswith(".pyc")]
    assert "data.bin" not in in_context
    assert "train.py" in in_source & in_context
    assert len(packed.content) < 10_000


def test_6_a_base_that_moved_under_its_tag_is_seen_and_never_mixed_in(flow):
    """Flytekit, flyte-sdk and metaflow-prebuilt keep one key for what is built on two bases, and nobody can tell."""
    plan = example_plan()
    old = flow.registry.tags(BASE.repository)[BASE.tag]
    flow.ensure(plan)
    new = flow.registry.put_image(BASE.repository, BASE.tag, layers=(b"patched",))

    flow.ensure(plan)
    fresh = flow.ensure(plan, "always")
    pinned = replace(plan, base=replace(BASE, digest=new))

    bases = [
        RegistryStore(flow.client).find(reference).labels["sagemaker-custom.base-digest"]
        for reference in (plan.reference, fresh)
    ]
    assert bases == [old, new]
    assert plan.document != pinned.document


def test_7_the_registry_is_asked_so_nothing_is_built_twice_and_nothing_deleted_is_used(flow):
    """metaflow-prebuilt does not ask ECR and builds each time; ZenML and flyte-sdk use what was deleted meanwhile."""
    plan = example_plan()
    for _ in range(3):
        flow.ensure(plan)
    assert flow.builds == 1
    assert "is there, nothing to build" in flow.progress.steps[-1]
    flow.client.remove_tag(plan.reference)
    flow.ensure(plan)
    assert flow.builds == 2
    assert flow.client.find(plan.reference)


@pytest.mark.parametrize("pushed", [oci.OCI_INDEX, oci.OCI_MANIFEST, oci.DOCKER_MANIFEST])
def test_8_what_hosting_refuses_is_never_under_a_final_tag(flow, pushed):
    """MLflow pushes the OCI index that buildx makes; CreateModel refuses it, minutes later and elsewhere."""
    plan = example_plan()
    flow.engine.media_type = pushed

    flow.ensure(plan)

    manifest = flow.client.manifest(plan.reference)
    assert manifest.media_type == oci.DOCKER_MANIFEST
    parsed = oci.parse_manifest(manifest.media_type, manifest.content)
    assert {layer.media_type for layer in parsed.layers} == {oci.DOCKER_LAYER}
    assert RegistryStore(flow.client).find(plan.reference).labels[FINGERPRINT_LABEL] == plan.fingerprint
    assert list(flow.registry.tags(REPOSITORY)) == [plan.reference.tag]


def test_9_512_mib_are_pushed_in_a_small_part_of_that_memory(tmp_path):
    """oras-py, pyoci and google/containerregistry read a blob whole before they send it."""
    blob = tmp_path / "blob"
    with blob.open("wb") as file:
        file.truncate(512 * MIB)
    folder = tmp_path / "registry"
    folder.mkdir()
    with running_registry(folder) as registry:
        command = [sys.executable, str(Path(__file__).parent / "blob_process.py"), registry.host, str(blob)]
        ended = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)

    told = json.loads(ended.stdout)
    assert told["sent"]
    assert told["there"]
    assert told["peak_rss"] < 100 * MIB
