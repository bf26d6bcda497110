"""What scans find, and do not tell, decides whether an image may be used."""

from __future__ import annotations

import pytest

from sagemaker_custom.aws import Finding, ImageScan
from sagemaker_custom.errors import AccessDeniedError, ScanError
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.scanning import ScanGate, read_policy

DIGEST = "sha256:" + "1" * 64
BASE = "sha256:" + "2" * 64
IMAGE = ImageReference.parse(f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-custom-pytorch:t@{DIGEST}")
HIGH = Finding(
    id="CVE-2024-1", severity="HIGH", package="openssl", version="1.1", fixed_in="1.2", link="https://example.com/1"
)
LOW = Finding(id="CVE-2024-2", severity="LOW", package="zlib", version="1.0")
UNRATED = Finding(id="CVE-2024-3", severity="UNTRIAGED")


class FakeScans:
    """Answers with the scans it is given, one after the other, the last for good; ``None`` for no scan."""

    def __init__(self, *scans, base=None):
        self._scans = list(scans)
        self._base = base
        self.asked = []
        self.started = []

    def find(self, repository, digest):
        self.asked.append((repository, digest))
        if digest == BASE:
            return self._base
        scan = self._scans[0] if len(self._scans) == 1 else self._scans.pop(0)
        if isinstance(scan, Exception):
            raise scan
        return scan

    def start(self, repository, digest):
        self.started.append((repository, digest))
        return ImageScan(status="PENDING")


class Told(NoProgress):
    def __init__(self):
        self.steps = []
        self.tasks = []

    def step(self, text):
        self.steps.append(text)

    def task(self, text, **arguments):
        self.tasks.append(text)
        return super().task(text, **arguments)


class Bench:
    def __init__(self, scan, *scans, base=None, **policy):
        self.source = FakeScans(*scans, base=base)
        self.told = Told()
        self.now = 0.0
        self.places = []
        self.gate = ScanGate(
            read_policy(scan, **policy), source=self._at, sleep=self._sleep, clock=lambda: self.now, progress=self.told
        )

    def _at(self, account, region):
        self.places.append((account, region))
        return self.source

    def _sleep(self, seconds):
        self.now += seconds


def done(*findings, status="COMPLETE", **arguments):
    return ImageScan(status=status, findings=findings, **arguments)


@pytest.mark.parametrize("status", ["COMPLETE", "ACTIVE"])
def test_image_without_findings_passes(status):
    bench = Bench("block:LOW", done(status=status))
    assert bench.gate.check(IMAGE).findings == ()
    assert bench.told.steps == [f"scan of {IMAGE}: no findings"]
    assert bench.places == [("123456789012", "eu-west-1")]
    assert bench.source.asked == [("sagemaker-custom-pytorch", DIGEST)]


def test_report_tells_counts_worst_first_and_blocks_nothing():
    bench = Bench("report", done(LOW, UNRATED, HIGH))
    assert [finding.id for finding in bench.gate.check(IMAGE).findings] == [HIGH.id, LOW.id, UNRATED.id]
    assert bench.told.steps == [f"scan of {IMAGE}: 1 HIGH, 1 LOW, 1 UNTRIAGED"]


def test_blocked_image_is_refused_with_counts_worst_findings_and_fix():
    with pytest.raises(ScanError) as refused:
        Bench("block:HIGH", done(LOW, HIGH)).gate.check(IMAGE)
    assert refused.value.message == (
        f'{IMAGE} may not be used by scan="block:HIGH": 1 HIGH, 1 LOW: '
        "HIGH CVE-2024-1 in openssl 1.1, fixed in 1.2, https://example.com/1"
    )
    assert f"sagemaker-custom scan {IMAGE}" in refused.value.hint


@pytest.mark.parametrize(
    ("scan", "blocked"), [("block:CRITICAL", 0), ("block:HIGH", 0), ("block:MEDIUM", 1), ("block:LOW", 1)]
)
def test_severity_and_all_that_are_worse_block(scan, blocked):
    bench = Bench(scan, done(Finding(id="CVE-1", severity="MEDIUM")))
    if blocked:
        with pytest.raises(ScanError, match="1 MEDIUM: MEDIUM CVE-1 in an unnamed package, no fix known"):
            bench.gate.check(IMAGE)
    else:
        assert bench.gate.check(IMAGE)


def test_ignored_finding_does_not_count_and_is_told():
    bench = Bench("block:LOW", done(HIGH), ignored=("CVE-2024-1",))
    assert bench.gate.check(IMAGE).ignored == 1
    assert bench.told.steps == [f"scan of {IMAGE}: no findings; 1 ignored"]


def test_many_findings_are_cut_off_and_their_number_told():
    many = [Finding(id=f"CVE-{number}", severity="CRITICAL") for number in range(12)]
    with pytest.raises(ScanError, match=r"12 CRITICAL: .*; and 7 more"):
        Bench("block:HIGH", done(*many)).gate.check(IMAGE)


def test_findings_that_ecr_counts_but_does_not_list_block_too():
    with pytest.raises(ScanError, match="3 HIGH: HIGH CVE-2024-1"):
        Bench("block:HIGH", done(HIGH, reported=(("HIGH", 3),))).gate.check(IMAGE)
    bench = Bench("block:HIGH", done(HIGH, reported=(("HIGH", 1),)), ignored=(HIGH.id,))
    assert bench.gate.check(IMAGE).counts == {}


def test_what_the_base_has_already_is_told_apart():
    bench = Bench("report", done(HIGH, LOW), base=done(HIGH))
    assert bench.gate.check(IMAGE, base=BASE).of_base == {HIGH}
    assert bench.told.steps == [f"scan of {IMAGE}: 1 HIGH, 1 LOW; 1 of them are not in its base"]


@pytest.mark.parametrize("base", [None, ImageScan(status="FAILED")])
def test_nothing_is_told_of_a_base_without_a_scan(base):
    assert Bench("report", done(HIGH), base=base).gate.check(IMAGE, base=BASE).of_base is None


class TestWaiting:
    def test_running_scan_is_waited_for(self):
        bench = Bench("block:HIGH", ImageScan(status="PENDING"), ImageScan(status="IN_PROGRESS"), done())
        assert bench.gate.check(IMAGE)
        assert (bench.now, bench.source.started) == (10.0, [])
        assert bench.told.tasks == [f"waiting for the scan of {IMAGE}"]

    def test_image_that_was_never_scanned_is_scanned_once(self):
        bench = Bench("block:HIGH", None, None, ImageScan(status="IN_PROGRESS"), done(HIGH))
        with pytest.raises(ScanError, match="1 HIGH"):
            bench.gate.check(IMAGE)
        assert bench.source.started == [("sagemaker-custom-pytorch", DIGEST)]

    def test_wait_has_an_end(self):
        bench = Bench("block:HIGH", ImageScan(status="IN_PROGRESS"), timeout_s=30.0)
        with pytest.raises(ScanError, match="is not done after 30 s: it is IN_PROGRESS") as refused:
            bench.gate.check(IMAGE)
        assert bench.now == 30.0
        assert "scan_timeout_s" in refused.value.hint


class TestUnknown:
    """What is not known is never taken for clean."""

    @pytest.mark.parametrize("status", ["FAILED", "UNSUPPORTED_IMAGE", "SCAN_ELIGIBILITY_EXPIRED", "WHAT_COMES_NEXT"])
    def test_scan_that_tells_nothing_blocks(self, status):
        scan = ImageScan(status=status, description="because")
        with pytest.raises(ScanError, match=f"holds is not known: its scan is {status}: because"):
            Bench("block:CRITICAL", scan).gate.check(IMAGE)

    def test_scan_that_tells_nothing_is_reported(self):
        bench = Bench("report", ImageScan(status="FAILED"))
        assert bench.gate.check(IMAGE) is None
        assert bench.told.steps == [f"warning: what {IMAGE} holds is not known: its scan is FAILED"]

    def test_denied_question_blocks_by_its_own_error(self):
        denied = AccessDeniedError("ecr:DescribeImageScanFindings is missing")
        with pytest.raises(AccessDeniedError, match="DescribeImageScanFindings"):
            Bench("block:HIGH", denied).gate.check(IMAGE)
        assert Bench("report", denied).gate.check(IMAGE) is None

    def test_image_of_aws_itself_is_asked_of_nobody(self):
        bench = Bench("block:CRITICAL", done())
        with pytest.raises(ScanError, match="AWS does not tell what scans find in its own images") as refused:
            bench.gate.check_image_of_aws(IMAGE)
        assert "extend it" in refused.value.hint
        reporting = Bench("report", done())
        reporting.gate.check_image_of_aws(IMAGE)
        assert reporting.told.steps == [f"warning: {refused.value.message}"]
        assert bench.source.asked == reporting.source.asked == []

    def test_image_of_another_kind_of_registry_blocks(self):
        elsewhere = ImageReference.parse(f"registry.example.com/sagemaker-x:1@{DIGEST}")
        with pytest.raises(ScanError, match="only Amazon ECR scans images"):
            Bench("block:CRITICAL", done()).gate.check(elsewhere)
