"""Images without Docker: moto, a real registry, a base made by hand and wheels in a folder; no engine answers."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import replace

import pytest
from fakes import base_images
from fakes.base_images import CONDA, conda, config_of, layer, push_image
from fakes.command_line import run_cli
from fakes.tiny_wheels import make_wheel

from sagemaker_custom import CustomPyTorch, oci
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.errors import (
    EngineUnavailableError,
    NotAppendableError,
    RegistryUnavailableError,
    TagConflictError,
    UsageError,
)
from sagemaker_custom.evidence import KINDS, subject_of
from sagemaker_custom.evidence.artifact import tag_of
from sagemaker_custom.extended_tags import mirrored_tag
from sagemaker_custom.plan import WHEELS_LABEL
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.wiring import Parts

ROLE = "arn:aws:iam::123456789012:role/SageMakerRole"
STOCK = "763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3.0-cpu-py311-ubuntu20.04-sagemaker"


@pytest.fixture(autouse=True)
def _no_engine(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")


@pytest.fixture
def wheels(tmp_path, monkeypatch):
    """A folder of wheels, which is the only place where packages are looked for."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    make_wheel(folder, "tiny", "1.0", requires=("numpy<2", "helper"))
    make_wheel(folder, "helper", "2.1", entry_points="[console_scripts]\nhelp-me = helper:main\n")
    make_wheel(folder, "other", "3.0", requires=("helper",))
    make_wheel(folder, "modern", "1.0", requires=("numpy>=2",))
    make_wheel(folder, "numpy", "2.0.0", {"numpy/__init__.py": b"", "numpy/new.py": b""})
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    return folder


@pytest.fixture
def client(cloud):
    return Parts(session=cloud.boto_session, settings=cloud.settings).registry


@pytest.fixture
def base(client):
    """Put a base where AWS would publish it."""
    packages = {
        **base_images.package(CONDA, "torch", "2.3.0+cpu"),
        **base_images.package(CONDA, "numpy", "1.26.4", record=("numpy/__init__.py", "numpy/old.py")),
        f"{CONDA}/numpy/__init__.py": "",
        f"{CONDA}/numpy/old.py": "",
    }
    layers = [conda(), packages]
    config = {
        **config_of(),
        "created": "2026-01-02T03:04:05Z",
        "rootfs": {
            "type": "layers",
            "diff_ids": [base_images.digest_of(base_images.archive(entries)) for entries in layers],
        },
    }
    return push_image(client, ImageReference.parse(STOCK), tuple(map(layer, layers)), config=config)


@pytest.fixture
def make(cloud, code, base, wheels):
    def estimator(**arguments):
        return CustomPyTorch(
            **{
                "entry_point": "train.py",
                "source_dir": str(code),
                "framework_version": "2.3",
                "py_version": "py311",
                "extras": ["pip:tiny"],
                "builder": "append",
                "role": ROLE,
                "instance_type": "ml.m5.xlarge",
                "instance_count": 1,
                "sagemaker_session": cloud.session,
                "settings": cloud.settings,
                **arguments,
            }
        )

    return estimator


def labels(client, uri):
    return RegistryStore(client).find(ImageReference.parse(uri)).labels


def manifest_of(client, uri):
    manifest = client.manifest(ImageReference.parse(uri))
    assert manifest.media_type == oci.DOCKER_MANIFEST
    return oci.parse_manifest(manifest.media_type, manifest.content)


class TestFit:
    def test_image_is_built_pushed_and_used(self, cloud, client, make):
        estimator = make()

        estimator.fit(wait=False)

        image = cloud.training_job(estimator)["AlgorithmSpecification"]["TrainingImage"]
        assert image == str(estimator.plan_image().reference)
        said = labels(client, image)
        assert json.loads(said["sagemaker-custom.lock"]) == {
            "installed": {"helper": "2.1", "tiny": "1.0"},
            "removed": [],
        }
        assert said["sagemaker-custom.builder"] == "append"
        assert said["sagemaker-custom.verified"] == "static"
        assert len(manifest_of(client, image).layers) == 3

    def test_auto_appends_too(self, client, make):
        image = make(builder="auto").build_image()
        assert labels(client, image)["sagemaker-custom.builder"] == "append"

    def test_it_is_not_built_twice(self, client, make):
        first = client.find(ImageReference.parse(make().build_image()))
        assert client.find(ImageReference.parse(make().build_image())) == first

    def test_base_is_beside_it_and_read_once(self, client, make, base):
        uri = make().build_image()
        tags = client.tags(ImageReference.parse(uri))
        assert mirrored_tag(make().plan_image().base) in tags
        assert [tag for tag in tags if tag.startswith("inventory-")]

    def test_base_is_brought_under_a_lock_of_its_own(self, cloud, make):
        make(settings=replace(cloud.settings, lease_bucket=cloud.bucket)).build_image()
        kept = [key for key in cloud.objects() if key.startswith("leases/")]
        assert len(kept) == 2
        assert len([key for key in kept if key.startswith("leases/base-")]) == 1
        assert {json.loads(cloud.download(key).read())["state"] for key in kept} == {"done"}

    def test_processor_and_second_image_share_the_layer(self, client, make):
        first = manifest_of(client, make().build_image())
        second = manifest_of(client, make(extras=["pip:tiny", "pip:helper"]).build_image())
        assert first.layers[:2] == second.layers[:2]
        assert first.config != second.config


class TestRefusals:
    def test_what_needs_docker_says_both_reasons(self, make):
        with pytest.raises(EngineUnavailableError) as caught:
            make(builder="auto", extras=["apt:tree"]).build_image()
        assert "packages of the distribution have to be installed (tree)" in caught.value.message
        assert "the Docker Engine at tcp://127.0.0.1:1 cannot be reached" in caught.value.message

    def test_append_that_is_asked_for_says_why_not(self, make):
        with pytest.raises(NotAppendableError, match=r"packages of the distribution have to be installed \(tree\)"):
            make(extras=["apt:tree"]).build_image()

    def test_conflict_names_the_package_of_the_base(self, make):
        with pytest.raises(NotAppendableError) as caught:
            make(extras=["pip:modern"]).build_image()
        assert "numpy" in str(caught.value)
        assert "1.26.4" in str(caught.value)
        assert "replace" in str(caught.value)


class TestReplace:
    def test_old_files_are_hidden(self, client, make):
        image = make(extras=["pip:modern"], replace=["numpy"]).build_image()

        said = labels(client, image)
        assert json.loads(said["sagemaker-custom.lock"])["installed"] == {"modern": "1.0", "numpy": "2.0.0"}
        assert said["sagemaker-custom.replace"] == "numpy"
        assert len(manifest_of(client, image).layers) == 4


class TestLock:
    @pytest.fixture
    def lock(self, client, make, tmp_path):
        file = tmp_path / "image.lock"
        file.write_text(labels(client, make().build_image())[WHEELS_LABEL])
        return file

    def test_it_gives_the_same_image_bit_for_bit(self, cloud, client, make, lock, wheels):
        first = client.find(make().plan_image().reference)
        make_wheel(wheels, "helper", "2.2")
        shutil.rmtree(cloud.settings.cache_dir)

        again = make(lock=lock, build="always").build_image()

        assert again != str(make().plan_image().reference)
        assert client.find(ImageReference.parse(again)) == first

    def test_without_it_newer_wheels_are_taken(self, client, make, lock, wheels):
        make_wheel(wheels, "helper", "2.2")
        again = make(build="always").build_image()
        assert '"helper":"2.2"' in labels(client, again)["sagemaker-custom.lock"]

    def test_image_of_other_wheels_is_not_taken_for_it(self, client, make, lock, wheels):
        document = json.loads(lock.read_text())
        document["wheels"][0]["version"] = "2.0"
        lock.write_text(json.dumps(document))
        with pytest.raises(TagConflictError, match="was not made from the lock"):
            make(lock={"training": lock}).build_image()

    def test_lock_of_other_extras_does_not_fit(self, make, lock):
        with pytest.raises(UsageError, match="other is asked for, and neither the lock nor the base has it"):
            make(extras=["pip:other"]).build_image(lock=lock)

    def test_docker_cannot_follow_one_with_files_of_a_machine(self, cloud, make, lock):
        cloud.remove(make().plan_image())
        with pytest.raises(UsageError, match=r"tiny-1\.0-py3-none-any\.whl from a folder of the machine"):
            make(lock=lock, builder="docker").build_image()


class TestInterruption:
    def test_registry_that_goes_away_is_no_reason_for_docker(self, cloud, make):
        estimator = make(builder="auto")
        estimator.plan_image()
        cloud.stop_registry()
        with pytest.raises(RegistryUnavailableError):
            estimator.build_image()


class TestReaders:
    def test_skopeo_copies_it(self, cloud, client, make, tmp_path):
        if shutil.which("skopeo") is None:
            pytest.skip("skopeo is not installed")
        reference = ImageReference.parse(make().build_image())
        host = cloud.settings.endpoint_for(reference.registry).removeprefix("http://")
        source = f"docker://{host}/{reference.repository}:{reference.tag}"
        command = ["skopeo", "--insecure-policy", "copy", "--src-tls-verify=false", source, f"dir:{tmp_path / 'copy'}"]
        subprocess.run(command, check=True, capture_output=True)
        assert json.loads((tmp_path / "copy" / "manifest.json").read_text())["mediaType"] == oci.DOCKER_MANIFEST

    def test_dxf_reads_it_back(self, cloud, client, make):
        dxf = pytest.importorskip("dxf")
        reference = ImageReference.parse(make().build_image())
        host = cloud.settings.endpoint_for(reference.registry).removeprefix("http://")
        repository = dxf.DXF(host, reference.repository, insecure=True)
        layers = repository.get_alias(reference.tag)
        assert layers == [blob.digest for blob in manifest_of(client, str(reference)).layers]
        for digest in layers:
            assert b"".join(repository.pull_blob(digest))


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def _environment(self, cloud, monkeypatch, base, wheels):
        for name, value in cloud.environment().items():
            monkeypatch.setenv(name, value)
        [endpoint] = cloud.settings.registry_endpoints
        monkeypatch.setenv("SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS", f"{endpoint.pattern}={endpoint.url}")
        monkeypatch.setenv("SAGEMAKER_CUSTOM_CACHE_DIR", cloud.settings.cache_dir)

    def test_build_lock_build_again(self, tmp_path, client):
        image = ("pytorch", "--version", "2.3", "--extra", "pip:tiny", "--region", "us-east-1")
        before = run_cli("plan", *image, "--delta")
        assert "delta: not known: the base is not in the repository yet" in before.out
        built = run_cli("build", *image, "--builder", "append")
        assert built.code == 0, built.err
        uri = built.out.strip()
        locked = run_cli("lock", uri)
        (tmp_path / "image.lock").write_text(locked.out)
        again = run_cli("build", *image, "--always", "--lock", str(tmp_path / "image.lock"), "--verify", "static")
        assert again.code == 0, again.err
        assert client.find(ImageReference.parse(again.out.strip())) == client.find(ImageReference.parse(uri))

        after = run_cli("plan", *image, "--delta")
        assert "delta: helper 2.1" in after.out
        assert "builder: append: wheels become layers" in after.out
        listed = run_cli("images", "--region", "us-east-1", "--json")
        kinds = sorted(found["kind"] for found in listed.document)
        assert kinds == ["extended", "extended", "mirrored base"]
        assert {found["verified"] for found in listed.document} == {"static", None}


def test_moved_base_is_brought_under_a_tag_of_its_own(client, make, base):
    make().build_image()
    manifest = client.manifest(ImageReference.parse(STOCK))
    parsed = oci.parse_manifest(manifest.media_type, manifest.content)
    config = b"".join(client.read_blob(ImageReference.parse(STOCK), parsed.config.digest))
    layers = tuple(b"".join(client.read_blob(ImageReference.parse(STOCK), blob.digest)) for blob in parsed.layers)
    moved = {**json.loads(config), "created": "2026-05-05T00:00:00Z"}
    pushed = push_image(client, ImageReference.parse(STOCK), layers, config=moved)

    image = make(extras=["pip:other"]).build_image()

    assert labels(client, image)["sagemaker-custom.base-digest"] == pushed.digest
    tag = mirrored_tag(make().plan_image().base)
    tags = client.tags(replace(pushed, repository="sagemaker-custom-pytorch"))
    assert {tag, f"{tag}-{pushed.digest[7:19]}"} <= set(tags)


class TestEvidence:
    """What is in an image, and how it was built, is beside it in a registry that knows nothing of such documents."""

    @pytest.fixture
    def built(self, cloud, make, monkeypatch):
        [endpoint] = cloud.settings.registry_endpoints
        variables = cloud.environment() | {
            "SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS": f"{endpoint.pattern}={endpoint.url}",
            "SAGEMAKER_CUSTOM_CACHE_DIR": cloud.settings.cache_dir,
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)
        return make().build_image()

    def test_build_stores_both_and_the_commands_print_them(self, client, built):
        digest = client.find(ImageReference.parse(built))
        tags = client.tags(ImageReference.parse(built))
        assert {tag for tag in tags if subject_of(tag) == digest} == {tag_of(digest, kind) for kind in KINDS}
        bill = run_cli("sbom", built)
        assert (bill.code, bill.err) == (0, "")
        packages = {item["name"]: item["version"] for item in bill.document["components"] if item["type"] == "library"}
        assert packages == {"helper": "2.1", "tiny": "1.0", "torch": "2.3.0+cpu", "numpy": "1.26.4"}
        assert bill.document["metadata"]["timestamp"] == "2026-01-02T03:04:05Z"
        statement = run_cli("sbom", built, "--provenance").document
        assert statement["subject"][0]["digest"] == {"sha256": digest.removeprefix("sha256:")}
        assert "finishedOn" in statement["predicate"]["runDetails"]["metadata"]
        assert run_cli("sbom", "--store", built).err == f"both are beside {built} already\n"

    def test_they_are_no_images_in_the_list(self, built):
        listed = [image["reference"] for image in run_cli("images", "--json").document]
        assert not [reference for reference in listed if subject_of(ImageReference.parse(reference).tag)]
        assert built in listed
