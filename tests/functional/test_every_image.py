"""Every image for SageMaker that is known of, in every region: ``retrieve`` names exactly it.

The table is written by tools/write_image_table.py, which reads the facts by other rules than the catalog's writer.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from sagemaker_custom import catalog
from sagemaker_custom.errors import ImageNotInCatalogError
from sagemaker_custom.image_uris import retrieve
from sagemaker_custom.settings import Settings

TABLE = json.loads((Path(__file__).parents[1] / "data" / "images.json").read_text("utf-8"))
ACCOUNTS = TABLE["accounts"]
SUFFIXES = TABLE["suffixes"]
ANSWER = ("repository", "tag", "accounts")
ROWS = [dict(zip(TABLE["columns"], row, strict=True)) for row in TABLE["rows"]]
SETTINGS = Settings()

BY_FRAMEWORK = defaultdict(list)
for row in ROWS:
    BY_FRAMEWORK[row["framework"]].append(row)


def question(row):
    return {name: value for name, value in row.items() if name not in ANSWER and value is not None}


def expected(row, region):
    account = ACCOUNTS[row["accounts"]][region]
    return f"{account}.dkr.ecr.{region}.{SUFFIXES[region]}/{row['repository']}:{row['tag']}"


def answer(asked, region):
    try:
        return retrieve(**asked, region=region, settings=SETTINGS)
    except ImageNotInCatalogError as error:
        return str(error)


@pytest.mark.parametrize("framework", sorted(BY_FRAMEWORK))
def test_exact_tag_account_and_suffix_in_every_region(framework):
    wrong = []
    for row in BY_FRAMEWORK[framework]:
        asked = question(row)
        for region in ACCOUNTS[row["accounts"]]:
            given = answer(asked, region)
            if given != expected(row, region):
                wrong.append((asked, expected(row, region), given))
                break
    assert wrong == []


@pytest.mark.parametrize("accounts", sorted(ACCOUNTS))
def test_regions_without_the_images_are_refused(accounts):
    elsewhere = SUFFIXES.keys() - ACCOUNTS[accounts].keys()
    frameworks = {row["framework"]: row for row in ROWS if row["accounts"] == accounts}
    assert frameworks
    for row in frameworks.values():
        for region in elsewhere:
            with pytest.raises(ImageNotInCatalogError) as caught:
                retrieve(**question(row), region=region, settings=SETTINGS)
            assert caught.value.message == f"AWS does not publish {row['repository']} in {region}"


def test_table_covers_every_image_of_the_catalog():
    known = {(image.repository, image.tag) for group in catalog.load().frameworks.values() for image in group.images}
    assert known == {(row["repository"], row["tag"]) for row in ROWS}
    assert len(ROWS) >= 1201 - len(TABLE["misspelt"])


def test_words_of_the_sdks_configuration_are_in_no_tag():
    # The SDK's retrieve writes "neuronx" for them; most of these images stand in the table by their full tags anyway.
    known = {(image.repository, image.tag) for group in catalog.load().frameworks.values() for image in group.images}
    assert len(TABLE["misspelt"]) == 23
    for repository, tag, spelling in TABLE["misspelt"]:
        assert {"inf2", "trn"} & set(tag.split("-"))
        assert (repository, tag) not in known
        assert spelling == "another row has it" or (repository, spelling) in known


def test_images_that_are_not_for_sagemaker_are_left_out():
    reasons = Counter(reason for _, _, reason in TABLE["left_out"])
    assert reasons == {
        "for EC2, ECS and EKS: lacks what SageMaker starts in a container": 241,
        "for EC2, ECS and EKS, by an older name": 42,
        "to build upon: has no framework": 1,
    }
    known = {(image.repository, image.tag) for group in catalog.load().frameworks.values() for image in group.images}
    assert not known & {(repository, tag) for repository, tag, _ in TABLE["left_out"]}
