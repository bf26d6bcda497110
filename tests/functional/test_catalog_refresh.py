"""The catalog renewed from ECR (moto, as AWS's own account) and from the SDK: what is shown, and what is written."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import boto3
import moto
import pytest
from moto.core import set_initial_no_auth_action_count

from sagemaker_custom.aws import Aws
from sagemaker_custom.catalog import Catalog, load
from sagemaker_custom.catalog.images import read_framework
from sagemaker_custom.catalog.sdk_config import installed_sdk
from sagemaker_custom.catalog.writing import canonical, framework_document
from sagemaker_custom.catalog_refresh import refresh
from sagemaker_custom.errors import AccessDeniedError, CredentialsError, ImageNotInCatalogError, UsageError
from sagemaker_custom.reference import digest_of

REGION = "us-east-1"
AWS_ACCOUNT = "763104351884"
TODAY = date(2026, 11, 21)
SHIPPED = Path(__file__).parents[2] / "image_catalog" / "frameworks"

KNOWN = {
    "image_scope": "training",
    "architecture": "x86_64",
    "py_version": "py312",
    "repository": "pytorch-training",
    "accounts": "dlc",
}
DOCUMENT = {
    "schema_version": 1,
    "framework": "pytorch",
    "provenance": "available_images.md",
    "version_aliases": {"1.9": "1.9.0"},
    "repositories": [
        {
            "repository": "pytorch-training",
            "accounts": "dlc",
            "image_scopes": ["training"],
            "architecture": "x86_64",
            "tags": [
                {"template": "{version}-{processor}-{py_version}-{cuda_version}-{os}-sagemaker"},
                {"template": "{version}-{processor}-{py_version}-{os}-sagemaker"},
                {"template": "{version}-{processor}-{py_version}-{cuda_version}-{os}-sagemaker-v{build}"},
                {"template": "{version}-{processor}-{py_version}"},
            ],
        },
        {
            "repository": "pytorch",
            "accounts": "dlc",
            "image_scopes": ["training"],
            "architecture": "x86_64",
            "tags": [
                {"template": "{version}-{cuda_version}-{os}-sagemaker", "values": {"processor": "gpu"}},
                {"template": "{version}-cpu-{os}-sagemaker", "values": {"processor": "cpu"}},
            ],
        },
    ],
    "images": [
        {
            **KNOWN,
            "version": "2.7.1",
            "processor": "gpu",
            "cuda_version": "cu128",
            "os": "ubuntu22.04",
            "tag": "2.7.1-gpu-py312-cu128-ubuntu22.04-sagemaker",
            "layout": "usrlocal",
            "end_of_patch": "2026-04-23",
        },
        {**KNOWN, "version": "2.8.0", "processor": "cpu", "tag": "2.8.0-cpu-py312", "origin": "sagemaker 2.257.7"},
        {
            **KNOWN,
            "version": "2.13.0",
            "processor": "cpu",
            "os": "amzn2023",
            "repository": "pytorch",
            "tag": "2.13-cpu-amzn2023-sagemaker",
            "layout": "venv",
            "end_of_patch": "2027-07-20",
        },
    ],
}


def catalog_of(document):
    partitions = json.loads((SHIPPED.parent / "partitions.json").read_text())
    return Catalog.from_documents(frameworks={"pytorch.json": document}, recipes={}, partitions=partitions)


@pytest.fixture
def catalog():
    return catalog_of(DOCUMENT)


class Ecr:
    """AWS's own registry, as moto plays it, and those who list it."""

    def __init__(self):
        self.client = boto3.client("ecr", region_name=REGION)
        self.aws = Aws(boto3.Session(region_name=REGION))

    def publish(self, repository, *tags):
        """Push one image under some tags."""
        with suppress(self.client.exceptions.RepositoryAlreadyExistsException):
            self.client.create_repository(repositoryName=repository)
        kind = "application/vnd.docker.distribution.manifest.v2+json"
        # Moto takes the layers' digests for the image's.
        layers = [{"digest": digest_of(tags[0].encode())}]
        manifest = {"schemaVersion": 2, "mediaType": kind, "config": {}, "layers": layers}
        pushed = [
            self.client.put_image(repositoryName=repository, imageTag=tag, imageManifest=json.dumps(manifest))
            for tag in tags
        ]
        return pushed[0]["image"]["imageId"]["imageDigest"]


@pytest.fixture
def ecr(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    # Moto shows a caller the registry of this account alone.
    monkeypatch.setenv("MOTO_ACCOUNT_ID", AWS_ACCOUNT)
    with moto.mock_aws():
        yield Ecr()


def from_ecr(catalog, ecr, **options):
    found = refresh(catalog=catalog, region=REGION, today=TODAY, listing=ecr.aws.tags, **options)
    return found.frameworks[0]


def publish_what_is_known(ecr):
    """Publish the images of DOCUMENT; of the short tag its full form is there too."""
    return [
        ecr.publish("pytorch-training", "2.7.1-gpu-py312-cu128-ubuntu22.04-sagemaker", "2.7.1-gpu-py312"),
        ecr.publish("pytorch-training", "2.8.0-cpu-py312-ubuntu22.04-sagemaker", "2.8.0-cpu-py312", "2.8-cpu-py312"),
        ecr.publish("pytorch", "2.13-cpu-amzn2023-sagemaker"),
    ]


class TestEcr:
    def test_new_image_is_added_once_by_its_full_tag(self, catalog, ecr):
        publish_what_is_known(ecr)
        full = "2.9.0-gpu-py312-cu130-ubuntu22.04-sagemaker"
        ecr.publish("pytorch-training", full, "2.9.0-gpu-py312", "2.9-gpu-py312", f"{full}-v1")
        ecr.publish("pytorch-training", f"{full}-v1.0")
        (image,) = from_ecr(catalog, ecr).added
        assert (image.tag, image.version, image.processor, image.cuda_version) == (full, "2.9.0", "gpu", "cu130")
        assert (image.os, image.accounts, image.end_of_patch) == ("ubuntu22.04", "dlc", None)

    def test_what_no_tag_says_is_taken_from_the_nearest_older_image_and_told(self, catalog, ecr):
        publish_what_is_known(ecr)
        ecr.publish("pytorch", "2.14-cu133-amzn2023-sagemaker")
        (image,) = from_ecr(catalog, ecr).added
        assert (image.version, image.py_version, image.layout) == ("2.14.0", "py312", "venv")
        assert image.origin == "Amazon ECR; py_version, layout as of 2.13-cpu-amzn2023-sagemaker"

    def test_end_of_patches_is_that_of_the_version(self, catalog, ecr):
        publish_what_is_known(ecr)
        ecr.publish("pytorch", "2.13-cu133-amzn2023-sagemaker")
        (image,) = from_ecr(catalog, ecr).added
        assert image.end_of_patch == "2027-07-20"

    def test_entry_with_a_short_tag_gets_the_full_one(self, catalog, ecr):
        publish_what_is_known(ecr)
        found = from_ecr(catalog, ecr)
        (change,) = found.changed
        assert (change.before.tag, change.after.tag) == ("2.8.0-cpu-py312", "2.8.0-cpu-py312-ubuntu22.04-sagemaker")
        assert (found.added, found.removed) == ((), ())

    def test_image_that_is_gone_is_removed(self, catalog, ecr):
        publish_what_is_known(ecr)
        ecr.client.batch_delete_image(repositoryName="pytorch", imageIds=[{"imageTag": "2.13-cpu-amzn2023-sagemaker"}])
        found = from_ecr(catalog, ecr)
        assert [image.tag for image in found.removed] == ["2.13-cpu-amzn2023-sagemaker"]
        assert "- pytorch:2.13-cpu-amzn2023-sagemaker training 2.13.0 cpu py312" in found.render()

    def test_repository_that_is_not_there_takes_nothing_away(self, catalog, ecr):
        ecr.publish("pytorch-training", "2.7.1-gpu-py312-cu128-ubuntu22.04-sagemaker", "2.8.0-cpu-py312")
        found = from_ecr(catalog, ecr)
        assert not found.is_change
        assert found.notes == (
            f"account {AWS_ACCOUNT} has no repository pytorch in us-east-1: its entries stay as they are",
        )

    def test_region_without_the_framework_takes_nothing_away(self, catalog):
        found = refresh(catalog=catalog, region="xx-nowhere-1", today=TODAY, listing=lambda *_, **__: {})
        assert not found.is_change
        assert "AWS does not publish pytorch in xx-nowhere-1" in found.render()

    def test_tags_of_other_forms_are_counted_and_left_out(self, catalog, ecr):
        publish_what_is_known(ecr)
        ecr.publish("pytorch", "2.14-cu133-amzn2023-ec2", "nightly")
        found = from_ecr(catalog, ecr)
        assert found.added == ()
        assert "2 of 3 tags of pytorch are of no form that is read" in found.notes

    def test_tag_that_is_for_two_processors_is_an_entry_for_each(self, ecr):
        place = {"repository": "sagemaker-xgboost", "accounts": "dlc", "image_scopes": ["training"]}
        parts = [
            {**place, "tags": [{"template": "{version}", "values": {"processor": processor}}]}
            for processor in ("cpu", "gpu")
        ]
        known = {**KNOWN, "repository": "sagemaker-xgboost", "version": "1.7-1", "tag": "1.7-1"}
        images = [{**known, "processor": processor} for processor in ("cpu", "gpu")]
        ecr.publish("sagemaker-xgboost", "1.7-1")
        ecr.publish("sagemaker-xgboost", "3.0-5", "not-read")
        found = from_ecr(catalog_of({**DOCUMENT, "repositories": parts, "images": images}), ecr)
        assert [(image.tag, image.processor) for image in found.added] == [("3.0-5", "cpu"), ("3.0-5", "gpu")]
        assert (found.removed, found.changed) == ((), ())
        assert found.notes == ("1 of 3 tags of sagemaker-xgboost are of no form that is read",)

    def test_tag_of_a_known_scope_is_not_new_for_the_other(self, ecr):
        place = {**DOCUMENT["repositories"][0], "image_scopes": ["training", "inference"]}
        ecr.publish("pytorch-training", "2.7.1-gpu-py312-cu128-ubuntu22.04-sagemaker")
        ecr.publish("pytorch-training", "2.9.0-cpu-py312-ubuntu22.04-sagemaker", "2.9.0-cpu-py3")
        found = from_ecr(catalog_of({**DOCUMENT, "repositories": [place], "images": DOCUMENT["images"][:1]}), ecr)
        assert [(image.version, image.image_scope) for image in found.added] == [
            ("2.9.0", "inference"),
            ("2.9.0", "training"),
        ]

    def test_document_without_repositories_says_that_ecr_was_not_asked(self, ecr):
        found = from_ecr(catalog_of({**DOCUMENT, "repositories": []}), ecr)
        assert found.render() == "pytorch: no change\n  its document names no repositories, so ECR was not asked"

    def test_repository_of_several_frameworks_is_listed_once(self, catalog):
        asked = []

        def listing(repository, *, region, account):
            asked.append((repository, region, account))

        both = replace(catalog, frameworks=dict.fromkeys(("a", "b"), catalog.frameworks["pytorch"]))
        refresh(catalog=both, region=REGION, today=TODAY, listing=listing)
        assert asked == [("pytorch-training", REGION, AWS_ACCOUNT), ("pytorch", REGION, AWS_ACCOUNT)]

    def test_pinned_entries_have_the_digest_of_their_tag(self, catalog, ecr):
        digests = publish_what_is_known(ecr)
        found = from_ecr(catalog, ecr, pin=True)
        assert [image.digest for image in found.framework.images] == digests
        assert f"digest None → {digests[0]}" in found.render()

    def test_pinned_entries_stay_pinned_until_they_are_pinned_anew(self, catalog, ecr):
        publish_what_is_known(ecr)
        pinned = catalog_of(framework_document(from_ecr(catalog, ecr, pin=True).framework))
        old = pinned.frameworks["pytorch"].images[-1].digest
        kept = {"repositoryName": "pytorch", "imageIds": [{"imageTag": "2.13-cpu-amzn2023-sagemaker"}]}
        ecr.client.batch_delete_image(**kept)
        ecr.publish("pytorch", "2.13-built-anew", "2.13-cpu-amzn2023-sagemaker")
        assert not from_ecr(pinned, ecr).is_change
        (change,) = from_ecr(pinned, ecr, pin=True).changed
        assert change.before.digest == old != change.after.digest

    def test_entry_gets_what_its_tag_says_and_it_does_not(self, ecr):
        tag = "2.9.0-gpu-py312-cu130-ubuntu22.04-sagemaker"
        ecr.publish("pytorch-training", tag)
        vague = {**KNOWN, "version": "2.9.0", "processor": "gpu", "tag": tag}
        (change,) = from_ecr(catalog_of({**DOCUMENT, "images": [vague]}), ecr).changed
        assert change.describe() == "cuda_version None → cu130, os None → ubuntu22.04"

    def test_nothing_new_changes_nothing(self, catalog, ecr, tmp_path):
        publish_what_is_known(ecr)
        first = from_ecr(catalog, ecr)
        again = refresh(
            catalog=catalog_of(framework_document(first.framework)),
            region=REGION,
            today=date(2027, 1, 1),
            listing=ecr.aws.tags,
        )
        assert not again.is_change
        assert again.render() == "no change: pytorch"
        assert again.write(tmp_path) == ()
        assert list(tmp_path.iterdir()) == []

    def test_all_pages_are_read(self):
        class Pages:
            """Answers as ECR does when there is more."""

            def get_paginator(self, operation):
                client = boto3.client("ecr", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
                client.meta.events.register("before-call.ecr.ListImages", self.answer)
                return client.get_paginator(operation)

            def answer(self, params, **_):
                page = json.loads(params["body"]).get("nextToken", "0")
                images = {"imageIds": [{"imageTag": f"tag{page}", "imageDigest": f"sha256:{page * 64}"}]}
                return _Ok(), images | ({"nextToken": str(int(page) + 1)} if page < "2" else {})

        class _Ok:
            status_code = 200

        class Session:
            region_name = REGION

            def client(self, *_, **__):
                return Pages()

        assert sorted(Aws(Session()).tags("pytorch", region=REGION, account=AWS_ACCOUNT)) == ["tag0", "tag1", "tag2"]

    @moto.mock_aws
    @set_initial_no_auth_action_count(2)
    def test_without_rights_the_action_is_named(self):
        iam = boto3.client("iam", region_name=REGION, aws_access_key_id="a", aws_secret_access_key="b")
        iam.create_user(UserName="reader")
        key = iam.create_access_key(UserName="reader")["AccessKey"]
        aws = Aws(boto3.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION))
        with pytest.raises(AccessDeniedError, match="user/reader may not ecr:ListImages on") as caught:
            refresh(catalog=catalog_of(DOCUMENT), region=REGION, today=TODAY, listing=aws.tags)
        assert "a registry of another account has to allow it too" in caught.value.hint

    def test_without_credentials_it_says_so(self, catalog):
        with pytest.raises(CredentialsError, match="there are no usable AWS credentials for ecr:ListImages on reposit"):
            refresh(catalog=catalog, region=REGION, today=TODAY, listing=Aws(boto3.Session()).tags)


class TestSdk:
    @pytest.fixture
    def sdk(self):
        return installed_sdk()

    def test_what_the_sdk_lacks_stays(self, catalog, sdk):
        found = refresh(["pytorch"], catalog=catalog, region=REGION, today=TODAY, sdk=sdk).frameworks[0]
        assert (found.removed, found.changed) == ((), ())
        assert set(catalog.frameworks["pytorch"].images) <= set(found.framework.images)

    def test_what_only_the_sdk_has_is_marked_and_placed(self, catalog, sdk):
        found = refresh(["pytorch"], catalog=catalog, region=REGION, today=TODAY, sdk=sdk).frameworks[0]
        image = next(image for image in found.added if image.tag == "2.7.1-cpu-py312")
        assert (image.accounts, image.layout) == ("dlc", "usrlocal")
        assert image.origin.startswith(f"{sdk.version}; layout as of 2.7.1-gpu")
        assert all(image.accounts in catalog.partitions.accounts for image in found.framework.images)

    def test_framework_that_the_catalog_lacks(self, catalog, sdk):
        found = refresh(["linear-learner"], catalog=catalog, region=REGION, today=TODAY, sdk=sdk)
        assert {image.tag for image in found.frameworks[0].added} == {"1"}

    def test_order_is_that_of_the_versions(self, catalog, sdk):
        found = refresh(["pytorch"], catalog=catalog, region=REGION, today=TODAY, sdk=sdk).frameworks[0]
        releases = [image.release for image in found.framework.images]
        assert releases == sorted(releases)


class TestWriting:
    def test_written_document_is_read_back_as_it_was_shown(self, catalog, ecr, tmp_path):
        publish_what_is_known(ecr)
        ecr.publish("pytorch", "2.14-cu133-amzn2023-sagemaker")
        found = refresh(catalog=catalog, region=REGION, today=TODAY, listing=ecr.aws.tags, pin=True)
        (path,) = found.write(tmp_path)
        assert path == tmp_path / "frameworks" / "pytorch.json"
        written = read_framework(json.loads(path.read_text()), path.name)
        shown = found.frameworks[0].framework
        assert (written.images, written.repositories) == (shown.images, shown.repositories)
        assert written.version_aliases == {"1.9": "1.9.0"}
        assert written.provenance == ("available_images.md; refreshed from Amazon ECR in us-east-1 on 2026-11-21")

    def test_refreshed_again_the_provenance_does_not_grow(self, catalog, ecr):
        publish_what_is_known(ecr)
        once = from_ecr(catalog, ecr).framework
        twice = from_ecr(catalog_of(framework_document(once)), ecr, pin=True).framework
        assert twice.provenance == once.provenance

    def test_data_is_json_and_says_the_same(self, catalog, ecr):
        publish_what_is_known(ecr)
        data = refresh(catalog=catalog, region=REGION, today=TODAY, listing=ecr.aws.tags).as_data()
        assert json.loads(json.dumps(data)) == data
        assert data[0]["changed"][0]["after"]["tag"] == "2.8.0-cpu-py312-ubuntu22.04-sagemaker"

    def test_folder_that_cannot_be_written_to(self, catalog, ecr, tmp_path):
        publish_what_is_known(ecr)
        (tmp_path / "frameworks").write_text("")
        found = refresh(catalog=catalog, region=REGION, today=TODAY, listing=ecr.aws.tags)
        with pytest.raises(UsageError, match="cannot be written: File exists"):
            found.write(tmp_path)

    @pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.json")), ids=lambda path: path.stem)
    def test_shipped_documents_are_in_the_form_that_is_written(self, path):
        text = path.read_text("utf-8")
        assert canonical(framework_document(read_framework(json.loads(text), path.name))) == text


class TestArguments:
    def test_no_source_is_refused(self, catalog):
        with pytest.raises(UsageError, match="nothing to refresh the catalog from"):
            refresh(catalog=catalog, region=REGION, today=TODAY)

    def test_unknown_framework_names_those_alike(self, catalog):
        with pytest.raises(ImageNotInCatalogError, match="did you mean pytorch"):
            refresh(["pytroch"], catalog=catalog, region=REGION, today=TODAY, listing=lambda *_, **__: {})

    def test_shipped_catalog_listed_as_it_is_changes_nothing(self):
        tags = {}
        for framework in load().frameworks.values():
            for image in framework.images:
                tags.setdefault(image.repository, {})[image.tag] = "sha256:" + "0" * 64

        def listing(repository, **_):
            return tags.get(repository)

        found = refresh(catalog=load(), region=REGION, today=TODAY, listing=listing)
        assert not found.is_change, found.render()

    def test_shipped_catalog_can_be_refreshed(self):
        found = refresh(catalog=load(), region=REGION, today=TODAY, sdk=installed_sdk())
        assert {changed.framework.name for changed in found.frameworks} == set(load().frameworks)
        assert all(not changed.removed for changed in found.frameworks)
        assert replace(found.frameworks[0]).framework.images
