"""An image in Amazon ECR → what its scan found, for people or programs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from sagemaker_custom.cli.output import json_option, print_document, print_table, say

if TYPE_CHECKING:
    from sagemaker_custom.aws import Finding
    from sagemaker_custom.scanning import ScanReport


@click.command()
@click.argument("reference", metavar="REFERENCE")
@json_option
def scan(reference: str, as_json: bool) -> None:
    """Print what the scan of an image found.

    REFERENCE is the URI of an image in Amazon ECR, as `build` and `resolve` print it. An image that was never scanned
    is scanned now. The exit code is 9 where the setting `scan` forbids to use the image.
    """
    from sagemaker_custom.builders.store import RegistryStore
    from sagemaker_custom.errors import ImageMissingError
    from sagemaker_custom.plan import BASE_DIGEST_LABEL
    from sagemaker_custom.reference import Digest, ImageReference
    from sagemaker_custom.wiring import Parts

    parts, image = Parts(), ImageReference.parse(reference)
    found = RegistryStore(parts.registry).find(image)
    if found is None:
        raise ImageMissingError(f"there is no image {image}", hint="sagemaker-custom images lists those that there are")
    base = found.labels.get(BASE_DIGEST_LABEL)
    with parts.progress() as progress:
        gate = parts.workbench(progress).scan_gate()
        report = gate.report(image.with_digest(found.digest), base=Digest(base) if base else None)
    if as_json:
        print_document(_document(report))
    else:
        say(f"scan of {report.image}: {report.summary}")
        if report.findings:
            print_table(_COLUMNS, [_row(report, finding) for finding in report.findings])
    gate.refuse(report)


_COLUMNS = ("severity", "finding", "package", "version", "fixed in", "from", "link")


def _row(report: ScanReport, finding: Finding) -> list[object]:
    return [
        finding.severity,
        finding.id,
        finding.package,
        finding.version,
        finding.fixed_in,
        _origin(report, finding),
        finding.link,
    ]


def _origin(report: ScanReport, finding: Finding) -> str | None:
    if report.of_base is None:
        return None
    return "base" if finding in report.of_base else "added"


def _document(report: ScanReport) -> dict[str, object]:
    return {
        "image": str(report.image),
        "counts": dict(report.counts),
        "ignored": report.ignored,
        "findings": [asdict(finding) | {"from": _origin(report, finding)} for finding in report.findings],
    }
