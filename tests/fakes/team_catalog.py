"""A team catalog with one named image, written to a folder."""

from __future__ import annotations

NAMED = """\
schema_version: 1
name: shop
summary: What the shop trains with
framework: pytorch
versions: ["2.3", "2.2"]
processors: [gpu, cpu]
extras: [faiss]
regions: [eu-west-1, us-east-1]
"""


def write_team(folder):
    """Write the catalog; return the document of the named image."""
    (folder / "images").mkdir(parents=True)
    document = folder / "images/shop.yaml"
    document.write_text(NAMED)
    return document
