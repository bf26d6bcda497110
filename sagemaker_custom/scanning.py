"""An image in Amazon ECR, and what may be in it → what its scan found; or an error where that forbids to use it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from sagemaker_custom.aws.scans import Finding, ImageScan
from sagemaker_custom.errors import AwsError, ScanError
from sagemaker_custom.progress import Progress
from sagemaker_custom.reference import Digest, ImageReference

SEVERITIES = ("CRITICAL", "HIGH", "MEDIUM", "LOW")
"""Worst first; what nobody has rated is none of them."""
_BLOCK = "block:"
_POLL_S = 5.0
_SHOWN = 5
_CLEAN = "no findings"


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanPolicy:
    """What is done with what scans find."""

    blocks: str | None = None
    """Severity from which on an image is not used; ``None`` to only report."""
    ignored: frozenset[str] = frozenset()
    """Names of findings that do not count."""
    timeout_s: float = 900.0
    """How long a scan is waited for."""

    @property
    def blocking(self) -> tuple[str, ...]:
        """The severities that forbid to use an image."""
        return SEVERITIES[: SEVERITIES.index(self.blocks) + 1] if self.blocks else ()


def read_policy(scan: str, *, ignored: tuple[str, ...] = (), timeout_s: float = 900.0) -> ScanPolicy:
    """Read the settings; what does not block reports."""
    blocks = scan.removeprefix(_BLOCK) if scan.startswith(_BLOCK) else None
    return ScanPolicy(blocks=blocks, ignored=frozenset(ignored), timeout_s=timeout_s)


class ScanSource(Protocol):
    """Knows the scans of a registry."""

    def find(self, repository: str, digest: Digest) -> ImageScan | None:
        """Return the scan of an image; ``None`` when none was ever begun."""

    def start(self, repository: str, digest: Digest) -> ImageScan:
        """Have an image scanned."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ScanReport:
    """What a finished scan says of an image, without what is ignored."""

    image: ImageReference
    findings: tuple[Finding, ...]
    """Worst first."""
    counts: Mapping[str, int]
    """By severity."""
    ignored: int
    """How many findings do not count."""
    of_base: frozenset[Finding] | None = None
    """Those that its base has as well; ``None`` where no scan of the base is known."""

    @property
    def summary(self) -> str:
        """Return how many there are of each severity, worst first."""
        order = [*SEVERITIES, *sorted(set(self.counts) - set(SEVERITIES))]
        told = ", ".join(f"{self.counts[name]} {name}" for name in order if self.counts.get(name)) or _CLEAN
        added = [finding for finding in self.findings if self.of_base is not None and finding not in self.of_base]
        whose = f"; {len(added)} of them are not in its base" if self.of_base is not None and self.findings else ""
        return f"{told}{whose}" + (f"; {self.ignored} ignored" if self.ignored else "")


class ScanGate:
    """Waits for scans, and lets images pass or not.

    Args:
        policy: What is allowed.
        source: Knows the scans of a registry, by account and region.
        sleep: Waits.
        clock: Seconds, to measure by.
        progress: Told what is waited for and what was found.
    """

    def __init__(
        self,
        policy: ScanPolicy,
        *,
        source: Callable[[str, str], ScanSource],
        sleep: Callable[[float], None],
        clock: Callable[[], float],
        progress: Progress,
    ) -> None:
        self._policy = policy
        self._source = source
        self._sleep = sleep
        self._clock = clock
        self._progress = progress

    def check(self, image: ImageReference, *, base: Digest | None = None) -> ScanReport | None:
        """Let an image pass.

        Args:
            image: With its digest.
            base: Digest of what it was built on, to tell whose findings are whose.

        Returns:
            ``None`` when what it holds is not known, which the policy allows.

        Raises:
            ScanError: The policy forbids to use what was found, or what is not known.
            AwsError: Its scan cannot be asked for.
        """
        try:
            report = self.report(image, base=base)
        except (ScanError, AwsError) as error:
            # A report keeps nobody from working; what blocks takes nothing for clean that it does not know.
            if self._policy.blocks:
                raise
            self._progress.step(f"warning: {error.message}")
            return None
        self._progress.step(f"scan of {image}: {report.summary}")
        self.refuse(report)
        return report

    def check_image_of_aws(self, image: ImageReference) -> None:
        """Let an image pass that is used from AWS's registry, which tells nobody what it finds.

        Raises:
            ScanError: The policy forbids to use what is not known.
        """
        problem = f"what {image} holds is not known: AWS does not tell what scans find in its own images"
        if self._policy.blocks:
            raise ScanError(problem, hint="extend it, and your own registry scans the result; or set scan='report'")
        self._progress.step(f"warning: {problem}")

    def report(self, image: ImageReference, *, base: Digest | None = None) -> ScanReport:
        """Wait for the scan of an image, and return what it found; see :meth:`check` for the arguments.

        Raises:
            ScanError: It is not known what the image holds.
            AwsError: Its scan cannot be asked for.
        """
        if image.ecr is None or image.digest is None:
            raise ScanError(
                f"what {image} holds is not known: only Amazon ECR scans images",
                hint="have your own registry scan it, and set scan='off' for images that are used from there",
            )
        source = self._source(image.ecr.account, image.ecr.region)
        scan = self._finished(source, image, image.digest)
        counted = tuple(finding for finding in scan.findings if finding.id not in self._policy.ignored)
        ignored = len(scan.findings) - len(counted)
        return ScanReport(
            image=image,
            findings=tuple(sorted(counted, key=_order)),
            counts=_counts(scan, counted),
            ignored=ignored,
            of_base=self._of_base(source, image, base, counted) if counted else None,
        )

    def _finished(self, source: ScanSource, image: ImageReference, digest: Digest) -> ImageScan:
        scan = source.find(image.repository, digest)
        if scan is None:
            # A repository that scans on push needs a moment before it says so; asking once more harms nobody.
            scan = source.start(image.repository, digest)
        if scan.is_running:
            scan = self._awaited(source, image, digest, scan)
        if not scan.is_done:
            reason = f": {scan.description}" if scan.description else ""
            raise ScanError(
                f"what {image} holds is not known: its scan is {scan.status}{reason}",
                hint="look at the image in the ECR console; scanning of the registry may be off, or not support it",
            )
        return scan

    def _awaited(self, source: ScanSource, image: ImageReference, digest: Digest, scan: ImageScan) -> ImageScan:
        end = self._clock() + self._policy.timeout_s
        task = self._progress.task(f"waiting for the scan of {image}", unit="steps")
        try:
            while scan.is_running:
                if self._clock() >= end:
                    raise ScanError(
                        f"the scan of {image} is not done after {self._policy.timeout_s:g} s: it is {scan.status}",
                        hint="try again later, or set scan_timeout_s to more seconds",
                    )
                self._sleep(_POLL_S)
                task.advance(1)
                # Until the scan that was asked for shows up there is none to be found.
                scan = source.find(image.repository, digest) or scan
        finally:
            task.finish()
        return scan

    def _of_base(
        self, source: ScanSource, image: ImageReference, base: Digest | None, findings: tuple[Finding, ...]
    ) -> frozenset[Finding] | None:
        scan = source.find(image.repository, base) if base else None
        if scan is None or not scan.is_done:
            return None
        known = {(finding.id, finding.package, finding.version) for finding in scan.findings}
        return frozenset(item for item in findings if (item.id, item.package, item.version) in known)

    def refuse(self, report: ScanReport) -> None:
        """Raise a ``ScanError`` when the policy forbids what was found."""
        blocking = self._policy.blocking
        if not any(report.counts.get(severity) for severity in blocking):
            return
        worst = [finding for finding in report.findings if finding.severity in blocking]
        told = "; ".join(map(_told, worst[:_SHOWN]))
        told += f"; and {len(worst) - _SHOWN} more" if len(worst) > _SHOWN else ""
        raise ScanError(
            f'{report.image} may not be used by scan="block:{self._policy.blocks}": {report.summary}'
            + (f": {told}" if told else ""),
            hint=f"all of them: sagemaker-custom scan {report.image}; build anew on a base that is patched, ask for"
            " fixed versions, or name in scan_ignore what you have looked into",
        )


def _told(finding: Finding) -> str:
    package = " ".join(filter(None, [finding.package, finding.version])) or "an unnamed package"
    fixed = f"fixed in {finding.fixed_in}" if finding.fixed_in else "no fix known"
    return f"{finding.severity} {finding.id} in {package}, {fixed}" + (f", {finding.link}" if finding.link else "")


def _order(finding: Finding) -> tuple[int, str, str]:
    known = finding.severity in SEVERITIES
    rank = SEVERITIES.index(finding.severity) if known else len(SEVERITIES)
    return (rank, finding.id, finding.package or "")


def _counts(scan: ImageScan, counted: tuple[Finding, ...]) -> dict[str, int]:
    """Return how many findings count, of which ECR may list fewer than it knows of."""
    counts = Counter(finding.severity for finding in counted)
    listed = Counter(finding.severity for finding in scan.findings)
    for severity, reported in scan.reported:
        counts[severity] += max(reported - listed[severity], 0)
    return {severity: many for severity, many in counts.items() if many}
