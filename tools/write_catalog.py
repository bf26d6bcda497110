"""Facts about AWS's images, one row a tag → the JSON documents of ``image_catalog``, in canonical form."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from packaging.version import Version

CATALOG = Path(__file__).parent.parent / "image_catalog"
SCHEMA_VERSION = 1
OLDEST = {"pytorch": Version("1.9.0")}
# Where a short version is not simply the newest patch release. The walk-throughs that teams in China follow mean 1.9.0.
ALIASES = {"pytorch": {"1.9": "1.9.0"}}
_SCOPES = ("training", "inference")
_PROCESSORS = ("cpu", "gpu")
_PLATFORMS = ("any", "sagemaker")
# PyTorch 2.14 is known from the SDK's configuration only; every Amazon Linux 2023 image before it has this Python.
_UNTOLD_PYTHON = {"amzn2023": "py312"}


def main() -> None:
    """Write every framework that this package covers, and the partitions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facts", type=Path, help="folder with dlc_images.json and dlc_accounts.json")
    facts = parser.parse_args().facts
    table = json.loads((facts / "dlc_images.json").read_text())
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    for framework in OLDEST:
        write(CATALOG / "frameworks" / f"{framework}.json", framework_document(framework, rows))
    write(CATALOG / "partitions.json", partitions_document(json.loads((facts / "dlc_accounts.json").read_text())))


def framework_document(framework: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the document of one framework."""
    chosen = sorted((row for row in rows if wanted(framework, row)), key=preference)
    return {
        "schema_version": SCHEMA_VERSION,
        "framework": framework,
        "provenance": "available_images.md, release_images*.yml, docs/src/data and the release tags of "
        "aws/deep-learning-containers up to 2026-08-21; image_uri_config of sagemaker 2.257.7 and "
        "sagemaker-core 2.27.0",
        "version_aliases": ALIASES[framework],
        "images": [entry(row) for row in chosen],
    }


def preference(row: dict[str, Any]) -> tuple[Any, ...]:
    """Order images; of several for one combination the first is what AWS's SDK means, or what AWS has documented."""
    undocumented = "md" not in row["src"] and "data" not in row["src"]
    return (Version(row["version"]), row["scope"], row["processor"], row["sm_tag"] is None, undocumented, row["tag"])


def wanted(framework: str, row: dict[str, Any]) -> bool:
    """Tell whether a row is a SageMaker image of the framework that the catalog covers."""
    return (
        row["framework"] == framework
        and row["scope"] in _SCOPES
        and row["processor"] in _PROCESSORS
        and row["arch"] == "x86_64"
        and row["platform"] in _PLATFORMS
        and row["layout"] is not None
        and Version(row["version"]) >= OLDEST[framework]
    )


def entry(row: dict[str, Any]) -> dict[str, Any]:
    """Return one image, without keys that say nothing."""
    image = {
        "version": full_version(row["version"]),
        "image_scope": row["scope"],
        "processor": row["processor"],
        "architecture": row["arch"],
        "py_version": row["py"] or _UNTOLD_PYTHON[row["os"]],
        "cuda_version": row["cuda"],
        "os": row["os"],
        "repository": row["repo"],
        "tag": row["tag"],
        "accounts": row["acct"],
        "layout": row["layout"],
    }
    return image | ({"end_of_patch": row["eop"]} if row["eop"] else {})


def full_version(version: str) -> str:
    """Return ``2.14.0`` for the ``2.14`` that the SDK's configuration says."""
    return version + ".0" if version.count(".") == 1 else version


def partitions_document(facts: dict[str, Any]) -> dict[str, Any]:
    """Return partitions, regions and publishing accounts."""
    return {
        "schema_version": SCHEMA_VERSION,
        "partitions": {
            name: {key: partition[key] for key in ("dns_suffix", "region_regex")}
            for name, partition in sorted(facts["partitions"].items())
        },
        "regions": dict(sorted(facts["regions"].items())),
        "account_sets": {
            name: dict(sorted(accounts["regions"].items())) for name, accounts in sorted(facts["account_sets"].items())
        },
    }


def write(path: Path, document: dict[str, Any]) -> None:
    """Write canonical JSON: one image a line, so that a changed image is a changed line."""
    images = document.pop("images", None)
    text = json.dumps(document, indent=2, ensure_ascii=False)
    if images is not None:
        lines = ",\n".join("    " + json.dumps(image, ensure_ascii=False) for image in images)
        text = text.removesuffix("\n}") + f',\n  "images": [\n{lines}\n  ]\n}}'
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
