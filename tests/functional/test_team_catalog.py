"""Team catalogs through the public API: folders, S3, named images and what is told when one is wrong."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import boto3
import pytest

from sagemaker_custom import image_uris
from sagemaker_custom.aws import Aws
from sagemaker_custom.catalog_sources import open_catalog
from sagemaker_custom.errors import AwsError, CatalogError, ImageNotInCatalogError, SettingsError
from sagemaker_custom.resolve import resolve
from sagemaker_custom.s3_catalogs import S3Catalogs
from sagemaker_custom.wiring import Parts

RECIPE = """
schema_version: 1
name: acme-tools
summary: What every Acme model needs
homepage: https://acme.example
verify: ["python -c 'import acme_tools'"]
variants:
  - when: {framework: pytorch}
    version: "1.0"
    pip: {packages: ["acme-tools=={version}"]}
"""
HARDENED = """
schema_version: 1
framework: pytorch
images:
  - version: "2.3.0"
    image_scope: training
    processor: gpu
    py_version: py311
    cuda_version: cu121
    layout: conda
    os: ubuntu20.04
    repository: hardened/pytorch-training
    tag: 2.3.0-gpu
    accounts: acme
"""
ACCOUNTS = """
schema_version: 1
account_sets:
  acme: {us-east-1: "111122223333"}
"""
RANKING = """
schema_version: 1
name: ranking
summary: Ranking models
framework: pytorch
versions: ["2.3"]
processors: [gpu]
extras: [acme-tools, "pip:umap-learn", ranking.txt]
"""
DOCUMENTS = {
    "extras/acme-tools.yaml": RECIPE,
    "frameworks/pytorch.yaml": HARDENED,
    "partitions.yaml": ACCOUNTS,
    "images/ranking.yaml": RANKING,
    "images/ranking.txt": "lightgbm\n",
}
GPU = {"version": "2.3", "instance_type": "ml.g5.xlarge", "region": "us-east-1", "image_scope": "training"}


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "team"
    for name, text in DOCUMENTS.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def upload(cloud, documents, prefix="catalog"):
    for name, text in documents.items():
        cloud.s3.put_object(Bucket=cloud.bucket, Key=f"{prefix}/{name}", Body=text.encode())
    return f"s3://{cloud.bucket}/{prefix}"


class TestFolder:
    def test_base_image_of_a_team_is_retrieved(self, folder):
        uri = image_uris.retrieve("pytorch", **GPU, catalog=folder)
        assert uri == "111122223333.dkr.ecr.us-east-1.amazonaws.com/hardened/pytorch-training:2.3.0-gpu"
        assert image_uris.retrieve("pytorch", **GPU) != uri

    def test_recipe_of_a_team_is_an_extra(self, folder):
        uri = image_uris.retrieve("pytorch", **GPU, extras=["acme-tools"], account="123456789012", catalog=[folder])
        assert uri.startswith("123456789012.dkr.ecr.us-east-1.amazonaws.com/sagemaker-custom-pytorch:2.3.0-")
        with pytest.raises(ImageNotInCatalogError, match="there is no recipe 'acme-tools'"):
            image_uris.retrieve("pytorch", **GPU, extras=["acme-tools"], account="123456789012")

    def test_environment_names_it_too(self, folder, monkeypatch):
        monkeypatch.setenv("SAGEMAKER_CUSTOM_CATALOG", f"{folder}{os.pathsep}{folder}")
        assert "/hardened/" in image_uris.retrieve("pytorch", **GPU)

    def test_named_image_resolves_with_the_teams_base_and_recipe(self, folder):
        catalog = Parts(catalog=folder).catalog
        spec = catalog.images["ranking"].spec_for(image_scope="training")
        resolution = resolve(spec, catalog)
        assert resolution.base.repository == "hardened/pytorch-training"
        packages = {package for step in resolution.steps for package in step.packages}
        assert packages == {"acme-tools==1.0", "umap-learn", "lightgbm"}

    def test_missing_folder(self, folder):
        with pytest.raises(SettingsError, match="'/nowhere' is not a folder"):
            image_uris.retrieve("pytorch", **GPU, catalog=[folder, "/nowhere"])

    def test_malformed_document_tells_all_when_it_is_needed(self, folder):
        (folder / "extras/acme-tools.yaml").write_text(
            RECIPE.replace("name: acme", "nam: acme").replace("verify", "verfy")
        )
        assert "/hardened/" in image_uris.retrieve("pytorch", **GPU, catalog=folder)
        with pytest.raises(CatalogError) as caught:
            image_uris.retrieve("pytorch", **GPU, extras=["acme-tools"], account="123456789012", catalog=folder)
        lines = caught.value.message.splitlines()
        assert all(line.startswith(f"{folder}/extras/acme-tools.yaml: ") for line in lines)
        assert len(lines) == 4
        assert "did you mean 'name'?" in caught.value.message
        assert "did you mean 'verify'?" in caught.value.message


class TestS3:
    def test_catalog_of_a_bucket(self, cloud):
        settings = replace(cloud.settings, catalog=(upload(cloud, DOCUMENTS),))
        catalog = open_catalog(settings, store=lambda: Aws(cloud.boto_session))
        assert catalog.frameworks["pytorch"].images[0].repository == "hardened/pytorch-training"
        assert catalog.images["ranking"].extras
        assert catalog.origins["image", "ranking"].file == f"s3://{cloud.bucket}/catalog/images/ranking.yaml"

    def test_settings_reach_the_estimators_parts(self, cloud):
        settings = replace(cloud.settings, catalog=(upload(cloud, DOCUMENTS),))
        parts = Parts(session=cloud.boto_session, settings=settings)
        assert "acme-tools" in parts.catalog.recipes

    def test_changes_are_seen_by_the_next_process(self, cloud, tmp_path):
        catalogs = S3Catalogs(folder=tmp_path / "copies", store=lambda: Aws(cloud.boto_session))
        uri = upload(cloud, DOCUMENTS)
        before = catalogs.fetch(uri)
        assert catalogs.fetch(uri) == before
        upload(cloud, {"extras/acme-tools.yaml": RECIPE.replace("every", "each")})
        cloud.s3.delete_object(Bucket=cloud.bucket, Key="catalog/images/ranking.txt")
        after = catalogs.fetch(uri)
        assert "each Acme" in (after.root / "extras/acme-tools.yaml").read_text()
        assert "every Acme" in (before.root / "extras/acme-tools.yaml").read_text()
        assert not (after.root / "images/ranking.txt").exists()

    def test_bucket_that_is_not_there(self, cloud):
        settings = replace(cloud.settings, catalog=("s3://nobodys-bucket/catalog",))
        with pytest.raises(AwsError) as caught:
            open_catalog(settings, store=lambda: Aws(cloud.boto_session))
        assert "there is no bucket for s3://nobodys-bucket/catalog/" in str(caught.value)

    def test_without_s3_the_copy_is_used_only_when_asked_to(self, cloud, monkeypatch):
        uri = upload(cloud, DOCUMENTS)
        folder = S3Catalogs(
            folder=Path(cloud.settings.cache_dir, "catalogs"), store=lambda: Aws(cloud.boto_session)
        ).fetch(uri)
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        session = boto3.Session(aws_access_key_id="a", aws_secret_access_key="b", region_name="us-east-1")
        settings = replace(cloud.settings, catalog=(uri,))
        with pytest.raises(AwsError, match=r"cannot be renewed: .*\n  -> .*catalog_offline=true"):
            open_catalog(settings, store=lambda: Aws(session))
        offline = open_catalog(replace(settings, catalog_offline=True), store=lambda: Aws(session))
        assert offline.origins["recipe", "acme-tools"].layer == uri == folder.origin
