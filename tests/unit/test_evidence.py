"""Bills of materials and provenances: what they say, by whose schema, and where they are kept."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from fakes.builders import RecordingProgress
from fakes.example_plan import ECR_HOST, FINGERPRINT, example_plan
from fakes.fake_registry import FakeRegistry

from sagemaker_custom.errors import BaseImageError, ImageMissingError, RegistryError, UsageError
from sagemaker_custom.evidence import Evidence, RecordingBuilder, subject_of
from sagemaker_custom.evidence.artifact import KINDS, PROVENANCE, SBOM, tag_of
from sagemaker_custom.inventory import InstalledPackage, Inventory
from sagemaker_custom.plan import FINGERPRINT_LABEL, LOCK_LABEL, WHEELS_LABEL
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.wheels.lock import Lock, LockedWheel

REPOSITORY = "sagemaker-custom-pytorch"
IMAGE = ImageReference(registry=ECR_HOST, repository=REPOSITORY, tag="t")
BASE_DIGEST = "sha256:" + "b" * 64
BASE = "pytorch-training:2.3.0-cpu"
CREATED = "2026-01-02T03:04:05.123456789Z"
NOW = datetime(2026, 11, 21, 10, 15, tzinfo=timezone.utc)
TINY = LockedWheel(
    name="tiny",
    version="1.0+cpu",
    filename="tiny-1.0+cpu-py3-none-any.whl",
    url="https://index.example.com/tiny-1.0.whl",
    sha256="a" * 64,
    size=10,
    index="https://index.example.com/simple",
)
MINE = LockedWheel(
    name="mine",
    version="2.0",
    filename="mine-2.0-py3-none-any.whl",
    url="file:///home/ann/wheels/mine-2.0-py3-none-any.whl",
    sha256="c" * 64,
    size=None,
    index=None,
)
INVENTORY = Inventory(
    base=BASE_DIGEST,
    platform="linux/amd64",
    python="/opt/conda/bin/python",
    python_version="3.11",
    site_packages="/opt/conda/lib/python3.11/site-packages",
    scripts="/opt/conda/bin",
    glibc="2.31",
    packages=tuple(
        InstalledPackage(name=name, version=version, location=f"/opt/{name}")
        for name, version in (("Mine", "1.0"), ("old", "0.1"), ("ruamel.yaml", "0.18"), ("torch", "2.3.0+cpu"))
    ),
)


class Known:
    """Inventories that were found out before."""

    def __init__(self, inventory=INVENTORY):
        self.inventory = inventory
        self.asked = []

    def known(self, reference, *, python, platform="linux/amd64"):
        self.asked.append((reference, python, platform))
        if isinstance(self.inventory, Exception):
            raise self.inventory
        return self.inventory


def labels(**others):
    lock = Lock(
        python_version="3.11", platform="linux/amd64", wheels=(MINE, TINY), replaced=("mine",), base=BASE_DIGEST
    )
    return {
        FINGERPRINT_LABEL: FINGERPRINT,
        "sagemaker-custom.spec": json.dumps({"python": "/opt/conda/bin/python", "platform": "linux/amd64"}),
        "sagemaker-custom.base": BASE,
        "sagemaker-custom.base-digest": BASE_DIGEST,
        LOCK_LABEL: json.dumps({"installed": {"tiny": "1.0+cpu", "mine": "2.0"}, "removed": ["old"]}),
        WHEELS_LABEL: lock.to_json(),
        "sagemaker-custom.builder": "append",
        "sagemaker-custom.version": "1.2.3",
        "sagemaker-custom.verified": "static",
        **others,
    }


class Bench:
    def __init__(self, inventory=INVENTORY, *, created=CREATED, **others):
        self.registry = FakeRegistry()
        said = {name: value for name, value in labels(**others).items() if value is not None}
        self.digest = self.registry.put_image(REPOSITORY, "t", labels=said, created=created)
        self.known = Known(inventory)
        self.evidence = Evidence(self.registry.client(), lambda: self.known)

    def bill(self):
        return json.loads(self.evidence.computed(IMAGE, SBOM))

    def provenance(self):
        return json.loads(self.evidence.computed(IMAGE, PROVENANCE))

    def tags(self):
        return sorted(self.registry.tags(REPOSITORY))


def libraries(bill):
    return {component["purl"]: component for component in bill["components"] if component["type"] == "library"}


class TestBill:
    @pytest.mark.parametrize(
        "bench",
        [
            Bench(),
            Bench(None),
            Bench(created=""),
            Bench(**{WHEELS_LABEL: None, "sagemaker-custom.base-digest": None, LOCK_LABEL: None}),
        ],
        ids=["appended", "base unknown", "without time", "by docker, long ago"],
    )
    def test_is_valid_by_the_schema_of_cyclonedx(self, bench):
        text = bench.evidence.computed(IMAGE, SBOM).decode()
        assert JsonStrictValidator(SchemaVersion.V1_5).validate_str(text) is None

    def test_names_what_was_added_with_hash_and_place_and_what_the_base_has(self):
        bill = Bench().bill()
        found = libraries(bill)
        assert set(found) == {
            "pkg:pypi/tiny@1.0%2Bcpu",
            "pkg:pypi/mine@2.0",
            "pkg:pypi/ruamel-yaml@0.18",
            "pkg:pypi/torch@2.3.0%2Bcpu",
        }
        tiny = found["pkg:pypi/tiny@1.0%2Bcpu"]
        assert tiny["hashes"] == [{"alg": "SHA-256", "content": "a" * 64}]
        assert tiny["externalReferences"] == [{"type": "distribution", "url": TINY.url}]
        origins = {name: item["properties"][0]["value"] for name, item in found.items()}
        assert [name for name, origin in origins.items() if origin == "added"] == [
            "pkg:pypi/mine@2.0",
            "pkg:pypi/tiny@1.0%2Bcpu",
        ]

    def test_image_depends_on_base_and_additions_and_the_base_on_its_own(self):
        bench = Bench()
        bill = bench.bill()
        image, base = bill["metadata"]["component"], bill["components"][0]
        assert image["purl"] == (
            f"pkg:oci/{REPOSITORY}@sha256%3A{bench.digest[7:]}?repository_url={ECR_HOST}/{REPOSITORY}&tag=t"
        )
        assert (
            base["purl"]
            == f"pkg:oci/pytorch-training@sha256%3A{'b' * 64}?repository_url=pytorch-training&tag=2.3.0-cpu"
        )
        depends = {item["ref"]: item["dependsOn"] for item in bill["dependencies"]}
        assert depends[image["bom-ref"]] == sorted([base["purl"], "pkg:pypi/mine@2.0", "pkg:pypi/tiny@1.0%2Bcpu"])
        assert depends[base["bom-ref"]] == ["pkg:pypi/ruamel-yaml@0.18", "pkg:pypi/torch@2.3.0%2Bcpu"]

    def test_is_the_same_bytes_each_time_and_another_one_for_another_image(self):
        first, second, other = Bench(), Bench(), Bench(**{"sagemaker-custom.verified": "run"})
        assert first.evidence.computed(IMAGE, SBOM) == second.evidence.computed(IMAGE, SBOM)
        assert first.bill()["serialNumber"] != other.bill()["serialNumber"]
        assert first.bill()["metadata"]["timestamp"] == CREATED

    def test_no_path_of_the_machine_that_built_it_is_told(self):
        bench = Bench()
        for kind in KINDS:
            assert b"/home/ann" not in bench.evidence.computed(IMAGE, kind)

    def test_base_that_is_not_beside_it_is_left_out_and_the_bill_says_that_it_is_incomplete(self):
        bill = Bench(BaseImageError("there is none")).bill()
        assert sorted(libraries(bill)) == ["pkg:pypi/mine@2.0", "pkg:pypi/tiny@1.0%2Bcpu"]
        assert [item["aggregate"] for item in bill["compositions"]] == ["incomplete"]

    def test_inventory_is_asked_for_the_base_beside_the_image(self):
        bench = Bench()
        bench.bill()
        [(reference, python, platform)] = bench.known.asked
        assert (reference.name, reference.digest) == (IMAGE.name, BASE_DIGEST)
        assert (python, platform) == ("/opt/conda/bin/python", "linux/amd64")

    def test_image_of_somebody_else_has_none(self):
        with pytest.raises(UsageError, match="was not built by this package"):
            Bench(**{FINGERPRINT_LABEL: None}).bill()

    @pytest.mark.parametrize("lock", ["not JSON", "[]"])
    def test_labels_that_cannot_be_read_are_told(self, lock):
        with pytest.raises(UsageError, match=r"the lock of .* is not"):
            Bench(**{LOCK_LABEL: lock}).bill()


class TestProvenance:
    def test_says_what_was_built_of_what_and_by_whom(self):
        bench = Bench()
        statement = bench.provenance()
        assert statement["_type"] == "https://in-toto.io/Statement/v1"
        assert statement["predicateType"] == "https://slsa.dev/provenance/v1"
        assert statement["subject"] == [{"name": IMAGE.name, "digest": {"sha256": bench.digest[7:]}}]
        definition = statement["predicate"]["buildDefinition"]
        assert definition["buildType"] == "urn:sagemaker-custom:build:append:v1"
        assert definition["externalParameters"]["spec"]["platform"] == "linux/amd64"
        assert definition["internalParameters"] == {"fingerprint": FINGERPRINT, "verified": "static"}
        base, mine, tiny = definition["resolvedDependencies"]
        assert (base["name"], base["digest"]) == (BASE, {"sha256": "b" * 64})
        assert mine == {"name": MINE.filename, "uri": "pkg:pypi/mine@2.0", "digest": {"sha256": "c" * 64}}
        assert (tiny["downloadLocation"], tiny["digest"]) == (TINY.url, {"sha256": "a" * 64})
        run = statement["predicate"]["runDetails"]
        assert run["builder"] == {"id": "urn:sagemaker-custom:builder:append", "version": {"sagemaker-custom": "1.2.3"}}
        assert run["metadata"] == {}

    def test_packages_without_a_known_file_have_no_hash(self):
        [_, *packages] = Bench(**{WHEELS_LABEL: None}).provenance()["predicate"]["buildDefinition"][
            "resolvedDependencies"
        ]
        assert packages[1] == {"name": "tiny", "uri": "pkg:pypi/tiny@1.0%2Bcpu"}


class TestStoring:
    def test_both_are_tags_beside_the_image_that_name_it(self):
        bench = Bench()
        places = bench.evidence.store(IMAGE)
        assert [place.tag for place in places] == [tag_of(bench.digest, kind) for kind in KINDS]
        assert bench.tags() == sorted(["t", *(place.tag for place in places)])
        assert {subject_of(place.tag) for place in places} == {bench.digest}
        manifest = json.loads(bench.registry.client().manifest(places[0]).content)
        assert manifest["subject"]["digest"] == bench.digest
        assert manifest["artifactType"] == manifest["layers"][0]["mediaType"] == SBOM.media_type
        assert bench.evidence.stored(IMAGE, SBOM) == bench.evidence.computed(IMAGE, SBOM)

    def test_storing_costs_few_requests(self):
        bench = Bench()
        bench.registry.calls.clear()
        bench.evidence.store(IMAGE)
        assert len(bench.registry.calls) == 17

    def test_what_is_there_is_left_and_costs_no_upload(self):
        bench = Bench()
        bench.evidence.store(IMAGE)
        before = bench.registry.count("PUT")
        assert bench.evidence.store(IMAGE) == ()
        assert bench.registry.count("PUT") == before

    def test_somebody_who_is_faster_wins(self):
        bench = Bench()
        bench.registry.immutable = True
        bench.evidence.store(IMAGE)
        first = bench.evidence.stored(IMAGE, PROVENANCE)
        # The question whether it is there is answered before the other one has put it.
        for kind in KINDS:
            bench.registry.fail(404, method="HEAD", path=tag_of(bench.digest, kind), code="MANIFEST_UNKNOWN")
            bench.registry.fail(404, method="GET", path=tag_of(bench.digest, kind), code="MANIFEST_UNKNOWN")
        bench.evidence.store(IMAGE)
        assert bench.evidence.stored(IMAGE, PROVENANCE) == first

    def test_nothing_stored_is_none_and_no_image_is_an_error(self):
        bench = Bench()
        assert bench.evidence.stored(IMAGE, SBOM) is None
        for ask in (bench.evidence.stored, bench.evidence.computed):
            with pytest.raises(ImageMissingError, match="there is no image"):
                ask(IMAGE.with_tag("gone"), SBOM)

    def test_something_else_under_its_tag_is_refused(self):
        bench = Bench()
        bench.registry.put_image(REPOSITORY, tag_of(bench.digest, SBOM))
        with pytest.raises(RegistryError, match="is no sbom of that image"):
            bench.evidence.stored(IMAGE, SBOM)

    @pytest.mark.parametrize(
        "tag", ["sha256-" + "a" * 63 + ".sbom", "sha256-" + "a" * 64 + ".sig", "inventory-x", "x.sbom"]
    )
    def test_other_tags_are_about_nothing(self, tag):
        assert subject_of(tag) is None


class TestRecordingBuilder:
    class Inner:
        def __init__(self, bench):
            self.bench = bench

        def build(self, plan, *, fresh=False):
            return IMAGE

    def test_every_build_stores_both_with_its_times(self):
        bench, progress = Bench(), RecordingProgress()
        builder = RecordingBuilder(self.Inner(bench), bench.evidence, clock=lambda: NOW, progress=progress)
        assert builder.build(example_plan()) == IMAGE
        statement = json.loads(bench.evidence.stored(IMAGE, PROVENANCE))
        assert statement["predicate"]["runDetails"]["metadata"] == {
            "startedOn": "2026-11-21T10:15:00Z",
            "finishedOn": "2026-11-21T10:15:00Z",
        }
        assert progress.steps == []

    def test_registry_that_refuses_it_leaves_the_image_and_is_told(self):
        bench, progress = Bench(), RecordingProgress()
        bench.registry.fail(403, times=99, method="POST", code="DENIED")
        builder = RecordingBuilder(self.Inner(bench), bench.evidence, clock=lambda: NOW, progress=progress)
        assert builder.build(example_plan()) == IMAGE
        [warning] = progress.steps
        assert warning.startswith(f"warning: what is in {IMAGE} was not stored beside it: ")
        assert warning.endswith(f"sagemaker-custom sbom --store {IMAGE}")
