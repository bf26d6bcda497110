"""Where an inventory is taken from, what is kept where, and what is said when something is wrong."""

from __future__ import annotations

import gzip
import logging
import threading
from contextlib import contextmanager

import pytest
from fakes.base_images import CONDA, conda, config_of, layer, package, push_image
from fakes.fake_registry import FakeRegistry

from sagemaker_custom import oci
from sagemaker_custom.errors import BaseImageError, DigestMismatchError, RegistryError, RegistryUnavailableError
from sagemaker_custom.inventories import Inventories
from sagemaker_custom.inventories.artifact import slug, tag_of
from sagemaker_custom.inventories.reading import LayerReader
from sagemaker_custom.mirror import mirror_image
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference, digest_of

REFERENCE = ImageReference.parse("target.example.com/sagemaker-custom-pytorch:base-2.3")
SOURCE = ImageReference.parse("source.example.com/pytorch-training:2.3")
PYTHON = "/opt/conda/bin/python"
LAYERS = (layer(conda()), layer(package(CONDA, "torch", "2.3.0", record=("torch/a.py",))))


class Machine:
    """A registry, and the cache folder of somebody."""

    def __init__(self, folder, registry=None):
        self.registry = registry or FakeRegistry()
        self.folder = folder

    def push(self, layers=LAYERS, reference=REFERENCE, **changes):
        return push_image(self.registry.client(), reference, layers, **changes)

    def inventories(self):
        return Inventories(self.registry.client(), self.folder, NoProgress())

    def of(self, reference, **changes):
        return self.inventories().of(reference, **{"python": PYTHON, **changes})

    def other(self, name):
        """Return another machine with the same registry."""
        return Machine(self.folder / name, self.registry)

    @property
    def tags(self):
        return [tag for tag in self.registry.tags(REFERENCE.repository) if tag.startswith("inventory-")]

    def files(self):
        return sorted(path for path in self.folder.rglob("*.gz"))


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


class TestWhereItIsTakenFrom:
    def test_layers_are_read_once_and_then_the_registry_is_not_even_asked(self, machine):
        base = machine.push()
        found = machine.of(base)
        assert [package.name for package in found.packages] == ["torch"]
        machine.registry.calls.clear()
        assert machine.of(base) == found
        assert not machine.registry.calls

    def test_another_machine_reads_what_lies_beside_the_image(self, machine):
        base = machine.push()
        found = machine.of(base)
        assert machine.tags == [tag_of(base.digest, PYTHON)]
        machine.registry.calls.clear()
        other = machine.other("other")
        assert other.of(base) == found
        assert machine.registry.count("GET", "/blobs/") == 1
        machine.registry.calls.clear()
        assert other.of(base) == found
        assert not machine.registry.calls

    def test_records_are_read_only_when_asked_for(self, machine):
        base = machine.push()
        machine.of(base)
        other = machine.other("other")
        assert other.inventories().records(base, python=PYTHON)["torch"][0] == f"{CONDA}/torch/a.py"
        assert [path.name for path in other.files()] == ["opt.conda.bin.python.records.json.gz"]
        machine.registry.calls.clear()
        other.inventories().records(base, python=PYTHON)
        assert not machine.registry.count("GET", "/blobs/")

    def test_records_of_a_base_that_nobody_has_read(self, machine):
        assert set(machine.inventories().records(machine.push(), python=PYTHON)) == {"torch"}

    def test_another_python_is_another_inventory(self, machine):
        base = machine.push()
        assert machine.of(base, python="python3").python == "/opt/conda/bin/python3"
        assert machine.of(base).python == PYTHON
        assert len(machine.tags) == 2

    def test_tag_alone_is_looked_up(self, machine):
        base = machine.push()
        assert machine.of(REFERENCE).base == base.digest

    def test_what_is_published_is_one_image_that_hosting_would_take(self, machine):
        base = machine.push()
        machine.of(base)
        client, tagged = machine.registry.client(), REFERENCE.with_tag(tag_of(base.digest, PYTHON))
        manifest = client.manifest(tagged)
        assert manifest.media_type == oci.DOCKER_MANIFEST
        config = client.image_config(tagged)
        assert oci.labels(config) == {"sagemaker-custom.inventory-of": base.digest}
        assert len(config["rootfs"]["diff_ids"]) == 2


class Bar(NoProgress):
    """Remembers what it was told."""

    def __init__(self):
        self.told = []

    def step(self, text):
        self.told.append(text)

    def task(self, text, *, total=None, unit="bytes"):
        self.told.append((total, unit))
        return self

    def advance(self, amount):
        self.told.append(amount)

    def finish(self):
        self.told.append("finished")


class TestProgress:
    def test_one_bar_for_all_bytes_that_are_read(self, machine):
        base, bar = machine.push(), Bar()
        inventories = Inventories(machine.registry.client(), machine.folder, bar)
        inventories.of(base, python=PYTHON)
        total = sum(map(len, LAYERS))
        assert bar.told[:2] == [f"reading what {base} has installed", (total, "bytes")]
        assert sum(bar.told[2:-1]) == total
        assert bar.told[-1] == "finished"
        inventories.of(base, python=PYTHON)
        assert bar.told[-1] == "finished"
        assert bar.told.count("finished") == 1

    def test_bar_is_gone_and_no_thread_is_left_after_a_failure(self, machine):
        bar = Bar()
        base = machine.push((*LAYERS, b"no gzip"))
        with pytest.raises(RegistryError):
            Inventories(machine.registry.client(), machine.folder, bar).of(base, python=PYTHON)
        assert bar.told[-1] == "finished"
        for thread in threading.enumerate():
            if thread.name.startswith("inventory-"):
                thread.join(10)
                assert not thread.is_alive()


class TestPlatforms:
    @pytest.mark.parametrize("media_type", [oci.OCI_MANIFEST, oci.DOCKER_MANIFEST])
    def test_index_gives_the_image_of_the_platform(self, machine, media_type):
        base = machine.push(media_type=media_type, platforms=("linux/amd64", "linux/arm64"))
        ours, others = machine.of(base), machine.of(base, platform="linux/arm64")
        assert (ours.platform, others.platform) == ("linux/amd64", "linux/arm64")
        assert len({ours.base, others.base, base.digest}) == 3

    def test_image_for_another_platform_is_refused(self, machine):
        base = machine.push(config=config_of(architecture="arm64"))
        with pytest.raises(RegistryError) as caught:
            machine.of(base)
        assert str(caught.value) == (
            f"{base} is for linux/arm64, not for linux/amd64\n  -> choose the image for that one"
        )

    def test_image_for_another_platform_is_refused_also_when_its_inventory_is_known(self, machine):
        base = machine.push(config=config_of(architecture="arm64"))
        machine.of(base, platform="linux/arm64")
        with pytest.raises(RegistryError, match=r"is for linux/arm64, not for linux/amd64"):
            machine.of(base)


class TestBadImages:
    def test_image_that_is_not_there(self, machine):
        with pytest.raises(BaseImageError, match=rf"^the base image {REFERENCE} does not exist, or not as a whole\n"):
            machine.of(REFERENCE)

    def test_layer_that_is_not_gzip(self, machine):
        with pytest.raises(RegistryError, match=r"^this is not a gzip file"):
            machine.of(machine.push((*LAYERS, b"no gzip")))
        assert not machine.tags
        assert not machine.files()

    def test_layer_that_the_registry_lost(self, machine):
        base = machine.push()
        digest = next(
            digest for digest, content in machine.registry.blobs[REFERENCE.repository].items() if content == LAYERS[1]
        )
        del machine.registry.blobs[REFERENCE.repository][digest]
        with pytest.raises(RegistryError, match=digest):
            machine.of(base)

    def test_registry_that_gives_no_answer(self, machine):
        base = machine.push()
        machine.registry.fail(503, times=100)
        with pytest.raises(RegistryUnavailableError):
            machine.of(base)

    def test_base_without_python(self, machine):
        with pytest.raises(BaseImageError, match=r"^the base image has no /opt/conda/bin/python\n"):
            machine.of(machine.push((layer({"/a": b""}),)))


class TestDamage:
    def damage_disk(self, machine, content):
        (path,) = [path for path in machine.files() if "inventory" in path.name]
        path.write_bytes(content)

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"no gzip",
            gzip.compress(b"no json", mtime=0),
            gzip.compress(b"[]", mtime=0),
            gzip.compress(b'{"format": 99}', mtime=0),
            gzip.compress(b'{"format": 1}', mtime=0)[:-4],
        ],
    )
    def test_file_that_is_damaged_is_written_anew(self, machine, content):
        base = machine.push()
        found = machine.of(base)
        self.damage_disk(machine, content)
        assert machine.of(base) == found
        machine.registry.calls.clear()
        assert machine.of(base) == found
        assert not machine.registry.calls

    @pytest.mark.parametrize(
        "layers",
        [
            (),
            (b"no gzip", b"no gzip"),
            (layer({"x": "y"}),) * 2,
            (layer({"inventory.json": "no json"}),) * 2,
            (layer({"inventory.json": "[1]"}),) * 2,
            (layer({"inventory.json": '{"format": 99}'}),) * 2,
            (layer({"inventory.json": '{"format": 1, "base": 2}'}),) * 2,
        ],
    )
    def test_artifact_that_is_damaged_or_of_another_format_is_ignored_and_written_anew(self, machine, layers):
        base = machine.push()
        found = machine.of(base)
        (tag,) = machine.tags
        machine.push(layers, REFERENCE.with_tag(tag))
        assert machine.other("other").of(base) == found
        machine.registry.calls.clear()
        assert machine.other("third").of(base) == found
        assert machine.registry.count("GET", "/blobs/") == 1

    def test_inventory_of_another_image_under_the_tag_is_ignored(self, machine):
        base = machine.push()
        other = machine.push((*LAYERS, layer({"/x": b""})))
        machine.of(base)
        content = machine.registry.client().manifest(REFERENCE.with_tag(tag_of(base.digest, PYTHON)))
        machine.registry.client().put_manifest(REFERENCE.with_tag(tag_of(other.digest, PYTHON)), content)
        assert machine.other("other").of(other).base == other.digest

    def test_damaged_artifact_under_a_tag_that_cannot_be_moved_costs_only_time(self, machine, caplog):
        base = machine.push()
        machine.push((), REFERENCE.with_tag(tag_of(base.digest, PYTHON)))
        machine.registry.immutable = True
        caplog.set_level(logging.INFO)
        assert machine.of(base).base == base.digest
        assert "is not an inventory: it has 0 layers" in caplog.text
        assert "is not kept in the registry" in caplog.text

    def test_no_right_to_write_is_only_logged(self, machine, caplog):
        base = machine.push()
        machine.registry.fail(403, times=100, method="POST", code="DENIED", message="not for you")
        caplog.set_level(logging.INFO)
        assert machine.of(base).base == base.digest
        assert f"the inventory of {base} is not kept in the registry: " in caplog.text
        assert not machine.tags

    def test_cache_folder_that_cannot_be_written_is_only_logged(self, machine, caplog):
        base = machine.push()
        (machine.folder / "inventories").write_text("a file in the place of the folder")
        assert machine.of(base).base == base.digest
        assert f"the inventory of {base.digest} is not kept on disk: " in caplog.text


class TestWhileItIsMirrored:
    def mirror(self, source, target, watch):
        arguments = {"source_registry": source.client(), "target_registry": target.client(), "progress": NoProgress()}
        return mirror_image(SOURCE, REFERENCE, workers=1, watch=watch, **arguments).reference

    def test_nothing_is_read_again(self, machine):
        source = Machine(machine.folder / "source")
        source.push(reference=SOURCE)
        inventories = machine.inventories()
        base = self.mirror(source.registry, machine.registry, inventories.watch)
        machine.registry.calls.clear()
        assert [package.name for package in inventories.of(base, python=PYTHON).packages] == ["torch"]
        # The config alone.
        assert machine.registry.count("GET", "/blobs/") == 1
        # What passed by is not kept in memory for ever.
        machine.registry.calls.clear()
        inventories.of(base, python="python3")
        assert machine.registry.count("GET", "/blobs/") == 1 + len(LAYERS)

    def test_only_layers_that_were_there_are_read(self, machine):
        source = Machine(machine.folder / "source")
        source.push(reference=SOURCE)
        present = machine.registry.put_blob(REFERENCE.repository, LAYERS[0])
        inventories = machine.inventories()
        base = self.mirror(source.registry, machine.registry, inventories.watch)
        machine.registry.calls.clear()
        assert inventories.of(base, python=PYTHON).packages
        assert machine.registry.count("GET", f"/blobs/{present}") == 1
        assert machine.registry.count("GET", "/blobs/") == 2

    def test_layer_that_cannot_be_read_does_not_hinder_the_mirror(self, machine, caplog):
        source = Machine(machine.folder / "source")
        pushed = source.push((*LAYERS, b"no gzip", gzip.compress(b"no tar" * 999, mtime=0)), SOURCE)
        caplog.set_level(logging.INFO)
        base = self.mirror(source.registry, machine.registry, machine.inventories().watch)
        assert base.digest == pushed.digest
        assert caplog.text.count("could not be read on its way") == 2

    def test_layer_that_is_cut_off_does_not_hinder_the_mirror(self, machine, caplog):
        source = Machine(machine.folder / "source")
        pushed = source.push((LAYERS[0][:-9],), SOURCE)
        caplog.set_level(logging.INFO)
        assert self.mirror(source.registry, machine.registry, machine.inventories().watch).digest == pushed.digest
        assert "could not be read on its way: this is not a gzip file, or not all of one" in caplog.text

    def test_upload_that_was_begun_anew_is_read_anew(self, machine):
        source = Machine(machine.folder / "source")
        source.push((layer({**conda(), "/noise": bytes(range(256)) * 100}), LAYERS[1]), SOURCE)
        machine.registry.refuse_connections(times=2, method="PUT", path="/blobs/")
        inventories = machine.inventories()
        base = self.mirror(source.registry, machine.registry, inventories.watch)
        machine.registry.calls.clear()
        assert inventories.of(base, python=PYTHON).packages
        assert machine.registry.count("GET", "/blobs/") == 1

    def test_what_turned_out_wrong_is_not_believed(self):
        def chunks():
            yield LAYERS[0]
            raise DigestMismatchError("wrong")

        reader = LayerReader(FakeRegistry().client(), NoProgress())
        blob = oci.Descriptor(media_type=oci.DOCKER_LAYER, digest="sha256:" + "0" * 64, size=len(LAYERS[0]))
        with pytest.raises(DigestMismatchError):
            list(reader.watch(blob, chunks()))
        with pytest.raises(RegistryError):
            reader.facts(REFERENCE, [blob])


class TestNames:
    def test_word_for_a_python(self):
        assert slug("/opt/conda/bin/python3.11") == "opt.conda.bin.python3.11"
        assert slug("python3") == "python3"

    @pytest.mark.parametrize("python", ["/opt/a b/python", "/o.pt/python", "/" + "x" * 99, "é"])
    def test_python_that_no_tag_can_have_is_known_by_its_digest(self, python):
        assert len(slug(python)) == 16

    def test_tag_is_one(self):
        tag = tag_of("sha256:" + "a" * 64, "/" + "x" * 60)
        assert REFERENCE.with_tag(tag).tag.startswith("inventory-" + "a" * 40 + "-v1-x")


class TestTurns:
    def test_two_that_ask_at_the_same_time_read_the_layers_once(self, machine):
        base = machine.push()
        lock, both = threading.Lock(), threading.Barrier(2, timeout=30)
        found = []

        @contextmanager
        def turn(reference, is_known):
            assert reference.digest == base.digest
            both.wait()
            with lock:
                yield

        def ask():
            inventories = Inventories(machine.registry.client(), machine.folder, NoProgress(), turn=turn)
            found.append(inventories.of(base, python=PYTHON))

        threads = [threading.Thread(target=ask) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found[0] == found[1]
        read = [call for call in machine.registry.calls if call.method == "GET" and "/blobs/" in call.path]
        # Each layer, and the config.
        assert len(read) == len(LAYERS) + 1

    def test_what_one_has_seen_on_its_way_to_the_mirror_another_need_not_read(self, machine):
        machine.push(reference=SOURCE)
        passed = {}
        seeing, asking = (
            Inventories(machine.registry.client(), machine.folder, NoProgress(), passed=passed) for _ in range(2)
        )
        client = machine.registry.client()
        mirrored = mirror_image(
            SOURCE,
            REFERENCE,
            source_registry=client,
            target_registry=client,
            progress=NoProgress(),
            watch=seeing.watch,
        )
        machine.registry.calls.clear()
        assert asking.of(mirrored.reference, python=PYTHON).python_version == "3.11.9"
        layers = {digest_of(content) for content in LAYERS}
        assert not [call for call in machine.registry.calls if call.path.rpartition("/")[2] in layers]
        assert passed == {}
