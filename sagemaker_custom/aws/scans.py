"""The digest of an image in Amazon ECR → what its basic or enhanced scan found, or how far that scan is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sagemaker_custom.aws.connection import Connection
from sagemaker_custom.aws.failures import Call
from sagemaker_custom.errors import AwsError
from sagemaker_custom.reference import Digest

_RUNNING = frozenset({"PENDING", "IN_PROGRESS"})
# ACTIVE: Inspector has scanned it, and goes on watching.
_DONE = frozenset({"COMPLETE", "ACTIVE"})
# Refusals of StartImageScan which mean that it was, or will be, scanned without it.
_ALREADY = frozenset({"LimitExceededException", "ValidationException"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One vulnerability of one package."""

    id: str
    """For example ``CVE-2024-1234``."""
    severity: str
    """``CRITICAL``, ``HIGH``, ``MEDIUM``, ``LOW``, or what ECR calls what nobody has rated."""
    package: str | None = None
    version: str | None = None
    fixed_in: str | None = None
    """First version without it, where one is known."""
    link: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ImageScan:
    """A scan as it is now."""

    status: str
    """As ECR has it."""
    description: str = ""
    findings: tuple[Finding, ...] = ()
    reported: tuple[tuple[str, int], ...] = ()
    """Severity and how many findings ECR counts of it; more than ``findings`` has where it keeps some back."""

    @property
    def is_running(self) -> bool:
        """Whether to ask again."""
        return self.status in _RUNNING

    @property
    def is_done(self) -> bool:
        """Whether the findings are all there are."""
        return self.status in _DONE


class Scans:
    """Scans of images in one region; every method may raise as those of :class:`~sagemaker_custom.aws.Aws` do.

    Args:
        connection: Whose clients are used.
        region: Of the registry.
        account: Whose registry.
    """

    def __init__(self, connection: Connection, *, region: str, account: str) -> None:
        self._connection = connection
        self._region = region
        self._account = account

    def find(self, repository: str, digest: Digest) -> ImageScan | None:
        """Return the scan of an image; ``None`` when none was ever begun, or there is no such image."""
        pages = self._ask(
            "ecr:DescribeImageScanFindings",
            f"{repository}@{digest}",
            lambda client: list(
                client.get_paginator("describe_image_scan_findings").paginate(
                    registryId=self._account, repositoryName=repository, imageId={"imageDigest": digest}
                )
            ),
            absent=frozenset({"ScanNotFoundException", "ImageNotFoundException", "RepositoryNotFoundException"}),
        )
        return None if pages is None else _scan(pages)

    def start(self, repository: str, digest: Digest) -> ImageScan:
        """Have an image scanned; one that is scanned by itself, or was today, is left to that."""
        answer = self._ask(
            "ecr:StartImageScan",
            f"{repository}@{digest}",
            lambda client: client.start_image_scan(
                registryId=self._account, repositoryName=repository, imageId={"imageDigest": digest}
            ),
            absent=_ALREADY,
        )
        return ImageScan(status="PENDING" if answer is None else answer["imageScanStatus"]["status"])

    def _ask(self, action: str, resource: str, request: Any, *, absent: frozenset[str]) -> Any:
        call = Call(action=action, resource=resource, region=self._region)
        return self._connection.ask(call, lambda: request(self._connection.client("ecr", self._region)), absent=absent)


def _scan(pages: Iterable[Mapping[str, Any]]) -> ImageScan:
    findings: list[Finding] = []
    first: Mapping[str, Any] = {}
    for page in pages:
        first = first or page
        found = page.get("imageScanFindings") or {}
        findings += [_basic(item) for item in found.get("findings") or ()]
        findings += [
            finding for item in found.get("enhancedFindings") or () if _counts(item) for finding in _enhanced(item)
        ]
    status = first.get("imageScanStatus") or {}
    if "status" not in status:
        raise AwsError("ECR told no state of a scan", hint="update boto3, and report this")
    found = first.get("imageScanFindings") or {}
    counts = found.get("findingSeverityCounts") or {}
    return ImageScan(
        status=str(status["status"]),
        description=str(status.get("description") or ""),
        findings=tuple(findings),
        # Inspector counts what it suppresses, too: only the list tells.
        reported=() if found.get("enhancedFindings") else tuple(counts.items()),
    )


def _basic(item: Mapping[str, Any]) -> Finding:
    attributes = {each["key"]: each.get("value") for each in item.get("attributes") or ()}
    return Finding(
        id=str(item.get("name") or "unnamed"),
        severity=str(item.get("severity") or "UNDEFINED"),
        package=attributes.get("package_name"),
        version=attributes.get("package_version"),
        fixed_in=attributes.get("fixed_in_version"),
        link=item.get("uri") or None,
    )


def _counts(item: Mapping[str, Any]) -> bool:
    """Tell whether a finding is open: what Inspector suppresses or has closed is not."""
    return str(item.get("status") or "ACTIVE") == "ACTIVE"


def _enhanced(item: Mapping[str, Any]) -> list[Finding]:
    details = item.get("packageVulnerabilityDetails") or {}
    name = str(details.get("vulnerabilityId") or item.get("title") or item.get("findingArn") or "unnamed")
    severity, link = str(item.get("severity") or "UNTRIAGED"), details.get("sourceUrl")
    packages: Sequence[Mapping[str, Any]] = details.get("vulnerablePackages") or ({},)
    return [
        Finding(
            id=name,
            severity=severity,
            package=package.get("name"),
            version=package.get("version"),
            # Inspector's word for none.
            fixed_in=fixed if (fixed := package.get("fixedInVersion")) != "NotAvailable" else None,
            link=link,
        )
        for package in packages
    ]
