"""What the append builder puts into a registry, in which order, and what is left when that is cut off."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from fakes.append_parts import (
    CREATED,
    FakeCheck,
    FakeInventories,
    FakeLayers,
    FakeResolver,
    FakeWheels,
    a_lock,
    locked,
    put_base,
)
from fakes.builders import RecordingProgress
from fakes.example_plan import BASE, ECR_HOST, example_plan, with_steps
from fakes.fake_registry import FakeRegistry

from sagemaker_custom import oci
from sagemaker_custom.builders.append import AppendBuilder, AppendParts
from sagemaker_custom.builders.append_bases import BaseLibrary
from sagemaker_custom.builders.blob_places import BlobPlaces
from sagemaker_custom.builders.store import RegistryStore
from sagemaker_custom.errors import (
    BaseImageError,
    NotAppendableError,
    RegistryError,
    RegistryUnavailableError,
    TagConflictError,
    UsageError,
    VerificationError,
)
from sagemaker_custom.extended_tags import mirrored_tag
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.plan import WHEELS_LABEL
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import digest_of
from sagemaker_custom.resolve import PackagesStep, PipStep

_REPOSITORY = "sagemaker-custom-pytorch"
_TINY, _SMALL = locked("tiny"), locked("small")


class Bench:
    """A builder of fakes on a registry in memory."""

    def __init__(self, folder, registry=None):
        self.registry = registry or FakeRegistry()
        self.folder = folder
        self.inventories = FakeInventories(numpy="1.26.4", torch="2.3.0")
        self.resolver = FakeResolver(_TINY)
        self.layers = FakeLayers(folder)
        self.check = FakeCheck()
        self.static_failure = None
        self.lock = None
        self.repositories = []
        self.progress = RecordingProgress()

    def build(self, plan, *, client=None, fresh=False):
        client = client or self.registry.client()

        def mirror(source, target, platform):
            mirrored = mirror_image(
                source,
                target,
                source_registry=client,
                target_registry=client,
                progress=NoProgress(),
                workers=1,
                platform=platform,
            )
            return mirrored.reference

        def check_statically(*given):
            if self.static_failure:
                raise self.static_failure

        parts = AppendParts(
            registry=client,
            bases=BaseLibrary(
                client,
                ensure_repository=lambda reference: self.repositories.append(reference.repository),
                mirror=mirror,
            ),
            inventories=self.inventories,
            resolver=self.resolver,
            wheels=FakeWheels(self.folder),
            layers=self.layers,
            places=BlobPlaces(self.folder / "places"),
            check=self.check,
            check_statically=check_statically,
        )
        builder = AppendBuilder(parts, version="1.2.3", lock=self.lock, progress=self.progress)
        return builder.build(plan, fresh=fresh)

    @property
    def tags(self):
        return self.registry.tags(_REPOSITORY)

    def manifest(self, plan):
        media_type, content = self.registry.manifests[_REPOSITORY][self.tags[plan.reference.tag]]
        assert media_type == oci.DOCKER_MANIFEST
        return oci.parse_manifest(media_type, content)

    def config(self, plan):
        return json.loads(self.registry.blobs[_REPOSITORY][self.manifest(plan).config.digest])

    def is_whole(self, plan):
        manifest = self.manifest(plan)
        return all(blob.digest in self.registry.blobs[_REPOSITORY] for blob in (manifest.config, *manifest.layers))


@pytest.fixture
def bench(tmp_path):
    bench = Bench(tmp_path)
    put_base(bench.registry)
    return bench


class TestImage:
    def test_layers_come_on_top_of_those_of_the_base(self, bench):
        plan = example_plan()
        bench.resolver.wheels = (_TINY, _SMALL)

        assert bench.build(plan) == plan.reference

        manifest, config = bench.manifest(plan), bench.config(plan)
        assert len(manifest.layers) == len(config["rootfs"]["diff_ids"]) == 4
        assert config["rootfs"]["diff_ids"][2:] == [
            digest_of(f"wheel {wheel.filename}".encode()) for wheel in (_SMALL, _TINY)
        ]
        assert [entry["created_by"] for entry in config["history"] if not entry.get("empty_layer")][2:] == [
            f"wheel {_SMALL.filename}",
            f"wheel {_TINY.filename}",
        ]

    def test_what_the_base_starts_and_its_time_stay(self, bench):
        plan = example_plan()

        bench.build(plan)

        config = bench.config(plan)
        assert config["config"]["Entrypoint"] == ["bash", "-m"]
        assert config["config"]["Env"] == ["PATH=/opt/conda/bin:/bin"]
        assert config["created"] == CREATED

    def test_labels_say_what_the_docker_builder_says_and_the_lock(self, bench):
        plan = example_plan()

        bench.build(plan)

        labels = RegistryStore(bench.registry.client()).find(plan.reference).labels
        published = bench.registry.tags(BASE.repository)[BASE.tag]
        assert labels == {
            "of": "aws",
            **plan.labels,
            "sagemaker-custom.base-digest": published,
            "sagemaker-custom.lock": '{"installed":{"tiny":"1.0"},"removed":[]}',
            "sagemaker-custom.wheels": a_lock(published, _TINY).to_json(),
            "sagemaker-custom.builder": "append",
            "sagemaker-custom.version": "1.2.3",
            "sagemaker-custom.verified": "static",
        }

    @pytest.mark.parametrize("media_type", [oci.OCI_MANIFEST, oci.OCI_INDEX, oci.DOCKER_INDEX])
    def test_oci_and_index_bases_become_schema2(self, bench, media_type):
        published = put_base(bench.registry, media_type=media_type)
        plan = example_plan()

        bench.build(plan)

        assert {layer.media_type for layer in bench.manifest(plan).layers} == {oci.DOCKER_LAYER}
        assert bench.config(plan)["config"]["Labels"]["sagemaker-custom.base-digest"] == published

    def test_equal_locks_give_equal_digests_in_any_registry(self, bench, tmp_path):
        plan = example_plan()
        bench.build(plan)
        folder = tmp_path / "other"
        folder.mkdir()
        other = Bench(folder)
        put_base(other.registry)
        other.resolver.failure = AssertionError("a lock was given")
        other.lock = a_lock(bench.registry.tags(BASE.repository)[BASE.tag], _TINY)

        other.build(replace(plan, reference=plan.reference.with_tag("again")), fresh=True)

        assert other.tags["again"] == bench.tags[plan.reference.tag]

    def test_history_of_a_base_without_any_is_filled_up(self):
        manifest = oci.ImageManifest(
            media_type=oci.DOCKER_MANIFEST,
            config=oci.Descriptor(media_type=oci.DOCKER_CONFIG, digest=digest_of(b"c"), size=1),
            layers=(oci.Descriptor(media_type=oci.DOCKER_LAYER, digest=digest_of(b"l"), size=1),),
        )
        layer = oci.AddedLayer(digest=digest_of(b"n"), diff_id=digest_of(b"m"), size=1, created_by="new")

        config, _ = oci.append_layers(manifest, {"rootfs": {"diff_ids": [digest_of(b"x")]}}, [layer], {})

        assert len(json.loads(config)["history"]) == 2

    @pytest.mark.parametrize(
        ("config", "message"),
        [
            ({"rootfs": {"diff_ids": []}}, "lists 0 layers, its manifest 1"),
            ({}, "diff_ids: Input should be a valid list"),
        ],
    )
    def test_config_and_manifest_of_different_images_are_refused(self, config, message):
        manifest = oci.ImageManifest(
            media_type=oci.DOCKER_MANIFEST,
            config=oci.Descriptor(media_type=oci.DOCKER_CONFIG, digest=digest_of(b"c"), size=1),
            layers=(oci.Descriptor(media_type=oci.DOCKER_LAYER, digest=digest_of(b"l"), size=1),),
        )
        with pytest.raises(RegistryError, match=message):
            oci.append_layers(manifest, config, [], {}, name="x:1")


class TestBase:
    def test_it_is_brought_once_beside_the_extended_images(self, bench):
        bench.build(example_plan())
        assert bench.tags[mirrored_tag(BASE)] == bench.registry.tags(BASE.repository)[BASE.tag]
        assert bench.repositories == [_REPOSITORY]
        bench.registry.calls.clear()

        bench.build(example_plan(fingerprint="f" * 64))

        assert bench.repositories == [_REPOSITORY]
        assert bench.registry.count("GET", f"/{BASE.repository}/blobs/") == 0

    def test_one_that_is_published_anew_gets_a_tag_of_its_own(self, bench):
        bench.build(example_plan())
        before = bench.tags[mirrored_tag(BASE)]
        published = put_base(bench.registry, content=b"patched")

        bench.build(example_plan(fingerprint="f" * 64))

        assert bench.tags[mirrored_tag(BASE)] == before
        assert bench.tags[f"{mirrored_tag(BASE)}-{published[7:19]}"] == published

    def test_a_mirrored_one_is_taken_from_its_mirror(self, bench):
        mirrored = put_base(bench.registry, _REPOSITORY, mirrored_tag(BASE))
        plan = replace(example_plan(), base_reference=example_plan().reference.with_tag(mirrored_tag(BASE)))

        bench.build(plan)

        assert bench.registry.count("GET", f"/{BASE.repository}/") == 0
        assert bench.config(plan)["config"]["Labels"]["sagemaker-custom.base-digest"] == mirrored

    def test_one_that_is_not_published_is_named(self, tmp_path):
        with pytest.raises(BaseImageError, match=f"the base image .*{BASE.tag} does not exist"):
            Bench(tmp_path).build(example_plan())

    def test_a_refusal_to_read_it_is_told_with_the_rights_it_takes(self, bench):
        bench.registry.fail(403, times=9, path=BASE.repository, code="DENIED", message="not yours")
        with pytest.raises(BaseImageError, match="no access to the base image"):
            bench.build(example_plan())


class TestRequests:
    def test_second_image_of_the_same_wheels_sends_config_and_manifest_alone(self, bench):
        bench.build(example_plan())
        bench.registry.calls.clear()

        bench.build(example_plan(fingerprint="f" * 64))

        calls = [(call.method, call.path.rpartition("/v2/")[2]) for call in bench.registry.calls]
        assert [call for call in calls if call[0] == "PUT" and "/blobs/" in call[1]] == [
            ("PUT", next(path for method, path in calls if method == "PUT"))
        ]
        # base: published digest, manifest, config; layer: HEAD; config: HEAD, POST, PUT; tag: HEAD, PUT, HEAD.
        assert len(calls) == 10

    def test_no_blob_of_the_base_is_asked_for_again(self, bench):
        bench.build(example_plan())
        bench.registry.calls.clear()

        bench.build(example_plan(fingerprint="f" * 64))

        heads = [call.path for call in bench.registry.calls if call.method == "HEAD" and "/blobs/" in call.path]
        assert len(heads) == 2


class TestMount:
    def other(self):
        plan = example_plan(fingerprint="f" * 64)
        return replace(plan, reference=replace(plan.reference, repository="sagemaker-custom-other"))

    def uploads(self, bench):
        """What was sent to the other repository, apart from the base."""
        return [call for call in bench.registry.calls if call.method == "PUT" and "custom-other/blobs" in call.path]

    def test_a_layer_of_another_repository_is_not_sent_again(self, bench):
        bench.build(example_plan())
        bench.registry.calls.clear()

        bench.build(self.other())

        mounts = [call for call in bench.registry.calls if "mount" in call.query]
        assert [call.query["from"] for call in mounts] == [[_REPOSITORY]]
        assert len(self.uploads(bench)) == 4  # three of the base, and the config

    def test_a_registry_that_does_not_mount_is_sent_it(self, bench):
        bench.build(example_plan())
        bench.registry.mounts = False
        bench.registry.calls.clear()

        bench.build(self.other())

        assert len(self.uploads(bench)) == 5

    def test_what_is_remembered_wrongly_does_no_harm(self, bench):
        bench.build(example_plan())
        for blobs in (bench.registry.blobs[_REPOSITORY], bench.registry.blobs[BASE.repository]):
            for digest in bench.manifest(example_plan()).layers[2:]:
                blobs.pop(digest.digest, None)

        assert bench.build(self.other())

    def test_a_cache_that_cannot_be_written_to_is_no_error(self, tmp_path):
        file = tmp_path / "places"
        file.write_text("not a folder")
        places, reference = BlobPlaces(file), example_plan().reference
        places.remember(reference, digest_of(b"x"))
        assert places.other_repository(reference, digest_of(b"x")) is None


class TestTag:
    def test_another_process_with_the_same_fingerprint_was_first(self, bench):
        plan = example_plan()
        theirs = bench.registry.put_image(_REPOSITORY, plan.reference.tag, labels=plan.labels)

        assert bench.build(plan) == plan.reference

        assert bench.tags[plan.reference.tag] == theirs

    def test_another_image_under_the_tag_is_a_conflict(self, bench):
        plan = example_plan()
        bench.registry.put_image(_REPOSITORY, plan.reference.tag, labels={"sagemaker-custom.fingerprint": "other"})

        with pytest.raises(TagConflictError, match="holds an image with the fingerprint other"):
            bench.build(plan)

    def test_failed_upload_leaves_no_tag_and_is_taken_up_where_it_ended(self, bench):
        plan = example_plan()
        bench.resolver.wheels = (_TINY, _SMALL)
        bench.build(example_plan(fingerprint="f" * 64))
        bench.resolver.wheels = (_TINY, _SMALL, locked("third"), locked("fourth"))
        bench.registry.fail(403, method="PUT", path="/blobs/uploads/", code="DENIED", message="no")

        with pytest.raises(RegistryError, match="no"):
            bench.build(plan)
        assert plan.reference.tag not in bench.tags

        bench.build(plan)
        assert bench.is_whole(plan)

    def test_cut_off_at_any_request_a_further_build_ends_it(self, tmp_path):
        """The tag never names less than everything."""
        plan = example_plan()
        for number in range(1000):
            registry = FakeRegistry()
            put_base(registry)
            bench = Bench(tmp_path, registry)
            cut = _Cut(registry, number)
            try:
                bench.build(plan, client=registry.client(transport=cut, attempts=1))
            except RegistryUnavailableError:
                assert plan.reference.tag not in bench.tags or bench.is_whole(plan)
            bench.build(plan)
            assert bench.is_whole(plan)
            if not cut.was_cut:
                break
        assert 15 < number < 100


class _Cut:
    """A network that is gone after some requests."""

    def __init__(self, registry, after):
        self._registry = registry
        self._left = after
        self.was_cut = False

    def send(self, request):
        if not self._left:
            self.was_cut = True
            raise RegistryUnavailableError("the connection failed")
        self._left -= 1
        return self._registry.send(request)


class TestCheck:
    def test_commands_run_in_the_image_before_it_has_its_tag(self, bench):
        plan = example_plan()
        bench.check.kind_of_check = "run"

        bench.build(plan)

        [image] = bench.check.ran
        assert (image.tag, image.digest) == (None, bench.tags[plan.reference.tag])
        assert bench.config(plan)["config"]["Labels"]["sagemaker-custom.verified"] == "run"

    @pytest.mark.parametrize(
        ("kind", "lacks", "label"),
        [("run", (), "yes"), ("run", ("tar", "gzip"), "lacks tar gzip"), ("static", (), None)],
    )
    def test_image_says_what_the_sdk_v3_misses_in_it_if_that_is_known(self, bench, kind, lacks, label):
        plan = example_plan()
        bench.check.kind_of_check, bench.check.lacks = kind, lacks

        bench.build(plan)

        assert bench.config(plan)["config"]["Labels"].get("sagemaker-custom.starts-scripts") == label
        assert bench.is_whole(plan)

    def test_failed_command_leaves_no_tag(self, bench):
        plan = example_plan()
        bench.check.kind_of_check = "run"
        bench.check.failure = VerificationError("the built image does not pass 'python'")

        with pytest.raises(VerificationError, match="does not pass"):
            bench.build(plan)

        assert plan.reference.tag not in bench.tags

    def test_wheels_that_do_not_fit_are_not_even_uploaded(self, bench):
        plan = example_plan()
        bench.static_failure = VerificationError("tiny needs what is not there")

        with pytest.raises(VerificationError, match="needs what is not there"):
            bench.build(plan)

        assert bench.registry.count("PUT", "/uploads/") == 3  # those of the base


class TestRefusals:
    @pytest.mark.parametrize(
        ("step", "reason"),
        [
            (PackagesStep(packages=("tree",)), r"packages of the distribution have to be installed \(tree\)"),
            (PipStep(packages=("apex",), no_build_isolation=True), "apex is compiled in the image"),
            (PipStep(packages=("x",), uninstall=("y",)), "pip has to uninstall y first"),
        ],
    )
    def test_what_has_to_be_run_is_named_before_anything_is_asked(self, bench, step, reason):
        with pytest.raises(NotAppendableError, match=reason):
            bench.build(with_steps(example_plan(), step))
        assert not bench.registry.calls

    def test_local_images_are_the_engines(self, bench):
        with pytest.raises(NotAppendableError, match="local mode"):
            bench.build(example_plan(local=True))

    def test_too_many_layers_are_told_before_they_are_uploaded(self, bench):
        bench.resolver.wheels = tuple(locked(f"package{number}") for number in range(126))
        with pytest.raises(NotAppendableError, match="would have 128 layers, more than 127"):
            bench.build(example_plan())


class TestReplace:
    def test_files_of_replaced_packages_are_removed(self, bench):
        plan = with_steps(example_plan(), PipStep(packages=("numpy==2.0.0",), replaces=("numpy",)))
        bench.resolver.wheels, bench.resolver.replaced = (locked("numpy", "2.0.0"),), ("numpy",)

        bench.build(plan)

        assert bench.resolver.asked[0][2] == ("numpy",)
        assert bench.layers.removed == [{"numpy": ("/site/numpy/__init__.py",)}]

    def test_records_are_read_for_nothing_else(self, bench):
        bench.build(example_plan())
        assert bench.inventories.asked_records == 0

    def test_a_package_without_a_list_of_its_files_cannot_be_replaced(self, bench):
        plan = with_steps(example_plan(), PipStep(packages=("old==2",), replaces=("old",)))
        bench.resolver.wheels, bench.resolver.replaced = (locked("old", "2"),), ("old",)
        with pytest.raises(NotAppendableError, match="does not say which files belong to old"):
            bench.build(plan)


class TestLock:
    def test_it_is_installed_without_resolving(self, bench):
        plan = example_plan()
        bench.resolver.failure = AssertionError
        bench.lock = a_lock(bench.registry.tags(BASE.repository)[BASE.tag], _TINY, _SMALL)

        bench.build(plan)

        assert bench.config(plan)["config"]["Labels"][WHEELS_LABEL] == bench.lock.to_json()

    def test_one_of_an_earlier_publication_takes_the_base_that_it_was_made_for(self, bench):
        bench.build(example_plan())
        bench.lock = a_lock(bench.registry.tags(BASE.repository)[BASE.tag], _TINY)
        put_base(bench.registry, content=b"patched")
        again = replace(example_plan(), reference=example_plan().reference.with_tag("again"))

        bench.build(again)

        assert bench.tags["again"] == bench.tags[example_plan().reference.tag]

    def test_one_of_another_base_is_refused(self, bench):
        bench.lock = a_lock(digest_of(b"elsewhere"), _TINY)
        with pytest.raises(UsageError, match=r"the lock was made for the base sha256:.*, and pytorch-training:"):
            bench.build(example_plan())

    @pytest.mark.parametrize(
        ("arguments", "wheels", "message"),
        [
            ({"python_version": "3.10"}, (_TINY,), "it is for Python 3.10, the base has 3.11.9"),
            ({"platform": "linux/arm64"}, (_TINY,), "it is for linux/arm64, the base for linux/amd64"),
            ({}, (_SMALL,), "tiny is asked for, and neither the lock nor the base has it"),
            ({}, (_TINY, locked("numpy", "2.0.0")), r"it replaces numpy 1.26.4 of the base, .*replace=\['numpy'\]"),
            ({"replaced": ("torch",)}, (_TINY,), "it removes torch of the base"),
        ],
    )
    def test_one_that_does_not_fit_says_why(self, bench, arguments, wheels, message):
        bench.lock = a_lock(bench.registry.tags(BASE.repository)[BASE.tag], *wheels, **arguments)
        with pytest.raises(UsageError, match=message):
            bench.build(example_plan())
        assert list(bench.tags) == [mirrored_tag(BASE)]

    def test_another_version_than_asked_for_is_named(self, bench):
        bench.lock = a_lock(bench.registry.tags(BASE.repository)[BASE.tag], _TINY)
        with pytest.raises(UsageError, match=r"tiny==2 is asked for, and the lock has 1\.0"):
            bench.build(example_plan(packages=("tiny==2",)))


def test_progress_says_what_is_done(bench):
    bench.build(example_plan())
    assert bench.progress.steps[-1].startswith(f"{ECR_HOST}/{_REPOSITORY}:")
