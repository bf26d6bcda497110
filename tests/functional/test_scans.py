"""Scans of Amazon ECR: its API as boto speaks it, and the gate between an image and its use."""

from __future__ import annotations

from dataclasses import replace

import pytest
from fakes.command_line import run_cli
from fakes.json_answers import JsonAnswers

from sagemaker_custom.aws import Connection, Finding, Scans
from sagemaker_custom.errors import AccessDeniedError, AwsError, ScanError
from sagemaker_custom.image_uris import image_spec
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.wiring import Parts

ACCOUNT = "123456789012"
REGION = "us-east-1"
REPOSITORY = "sagemaker-custom-pytorch"
DIGEST = "sha256:" + "1" * 64
MOTO_FINDING = "HIGH CVE-9999-9999 in moto_fake 9.9.9, no fix known"
TOKEN = {"authorizationToken": "QVdTOnRva2Vu", "expiresAt": 4102444800, "proxyEndpoint": "https://x"}
BASIC = {
    "name": "CVE-2024-1",
    "uri": "https://example.com/1",
    "severity": "HIGH",
    "attributes": [{"key": "package_name", "value": "openssl"}, {"key": "package_version", "value": "1.1"}],
}


def enhanced(severity="CRITICAL", status="ACTIVE", fixed="2.0"):
    package = {"name": "torch", "version": "1.0", "fixedInVersion": fixed, "packageManager": "PYTHON"}
    details = {"vulnerabilityId": "CVE-2024-2", "sourceUrl": "https://example.com/2", "vulnerablePackages": [package]}
    return {"severity": severity, "status": status, "packageVulnerabilityDetails": details}


def page(status, *, findings=(), enhanced_findings=(), counts=None, token=None):
    found = {"findings": list(findings), "findingSeverityCounts": counts or {}}
    if enhanced_findings:
        found["enhancedFindings"] = list(enhanced_findings)
    answer = {"imageScanStatus": {"status": status, "description": "told"}, "imageScanFindings": found}
    return answer | ({"nextToken": token} if token else {})


class TestApi:
    @pytest.fixture
    def api(self, cloud):
        return JsonAnswers(cloud.boto_session)

    @pytest.fixture
    def scans(self, cloud):
        return Scans(Connection(cloud.boto_session), region=REGION, account=ACCOUNT)

    def test_basic_findings_of_all_pages(self, api, scans):
        api.give(
            "ecr.DescribeImageScanFindings",
            page("COMPLETE", findings=[BASIC], counts={"HIGH": 2}, token="more"),
            page("COMPLETE", findings=[BASIC | {"name": "CVE-2024-3"}], counts={"HIGH": 2}),
        )
        scan = scans.find(REPOSITORY, DIGEST)
        assert (scan.is_done, scan.reported) == (True, (("HIGH", 2),))
        assert [finding.id for finding in scan.findings] == ["CVE-2024-1", "CVE-2024-3"]
        assert scan.findings[0] == Finding(
            id="CVE-2024-1", severity="HIGH", package="openssl", version="1.1", link="https://example.com/1"
        )
        assert api.asked[1][1]["nextToken"] == "more"
        assert api.asked[0][1]["imageId"] == {"imageDigest": DIGEST}

    def test_enhanced_findings_without_those_that_are_suppressed(self, api, scans):
        found = [enhanced(), enhanced(status="SUPPRESSED"), enhanced(severity="LOW", fixed="NotAvailable")]
        api.give("ecr.DescribeImageScanFindings", page("ACTIVE", enhanced_findings=found, counts={"CRITICAL": 2}))
        scan = scans.find(REPOSITORY, DIGEST)
        assert scan.findings == (
            Finding(
                id="CVE-2024-2",
                severity="CRITICAL",
                package="torch",
                version="1.0",
                fixed_in="2.0",
                link="https://example.com/2",
            ),
            Finding(id="CVE-2024-2", severity="LOW", package="torch", version="1.0", link="https://example.com/2"),
        )
        assert scan.reported == ()

    @pytest.mark.parametrize("code", ["ScanNotFoundException", "ImageNotFoundException"])
    def test_image_without_a_scan_has_none(self, api, scans, code):
        api.give("ecr.DescribeImageScanFindings", code)
        assert scans.find(REPOSITORY, DIGEST) is None

    @pytest.mark.parametrize("status", ["PENDING", "IN_PROGRESS"])
    def test_scan_that_runs_is_not_done(self, api, scans, status):
        api.give("ecr.DescribeImageScanFindings", page(status))
        scan = scans.find(REPOSITORY, DIGEST)
        assert (scan.is_running, scan.is_done) == (True, False)

    @pytest.mark.parametrize("code", ["LimitExceededException", "ValidationException"])
    def test_scan_that_is_made_by_itself_is_left_to_that(self, api, scans, code):
        api.give("ecr.StartImageScan", code)
        assert scans.start(REPOSITORY, DIGEST).is_running

    def test_image_that_cannot_be_scanned_is_told(self, api, scans):
        api.give("ecr.StartImageScan", "UnsupportedImageTypeException: no operating system")
        with pytest.raises(AwsError, match="no operating system"):
            scans.start(REPOSITORY, DIGEST)

    def test_missing_right_is_named(self, api, scans):
        api.give("ecr.DescribeImageScanFindings", "AccessDeniedException: no")
        with pytest.raises(AccessDeniedError, match="ecr:DescribeImageScanFindings"):
            scans.find(REPOSITORY, DIGEST)

    def test_answer_without_a_state_is_not_taken_for_clean(self, api, scans):
        api.give("ecr.DescribeImageScanFindings", {"imageScanFindings": {"findings": []}})
        with pytest.raises(AwsError, match="no state of a scan"):
            scans.find(REPOSITORY, DIGEST)


class TestGate:
    """The image is in the registry; moto's scan of it finds one thing."""

    @pytest.fixture
    def plan(self, cloud):
        spec = image_spec("pytorch", version="2.3", image_scope="training", processor="cpu", extras=["faiss"])
        plan = Parts(session=cloud.boto_session, settings=cloud.settings).plan(spec)
        cloud.push(plan)
        client = Parts(session=cloud.boto_session, settings=cloud.settings).registry
        manifest = client.manifest(plan.reference)
        ecr = cloud.boto_session.client("ecr")
        ecr.create_repository(repositoryName=plan.reference.repository)
        ecr.put_image(
            repositoryName=plan.reference.repository,
            imageManifest=manifest.content.decode(),
            imageManifestMediaType=manifest.media_type,
            imageDigest=manifest.digest,
        )
        return plan

    def ensured(self, cloud, plan, **settings):
        parts = Parts(session=cloud.boto_session, settings=replace(cloud.settings, **settings))
        return parts.ensure(plan, policy="never")

    def test_image_with_findings_is_refused_after_it_was_found(self, cloud, plan):
        with pytest.raises(ScanError, match=f"1 HIGH: {MOTO_FINDING}"):
            self.ensured(cloud, plan, scan="block:HIGH")

    @pytest.mark.parametrize(
        "settings",
        [{"scan": "report"}, {"scan": "block:CRITICAL"}, {"scan": "block:HIGH", "scan_ignore": ("CVE-9999-9999",)}],
    )
    def test_image_is_used_where_the_policy_allows_its_findings(self, cloud, plan, settings):
        assert self.ensured(cloud, plan, **settings) == plan.reference

    def test_nothing_is_asked_when_scans_are_off(self, cloud, plan):
        api = JsonAnswers(cloud.boto_session)
        api.give("ecr.*", "AccessDeniedException")
        # Whose registry it is, and what opens it, is asked in any case.
        api.give("ecr.GetAuthorizationToken", {"authorizationData": [TOKEN]})
        assert self.ensured(cloud, plan) == plan.reference
        assert {operation for operation, _ in api.asked} <= {"ecr.GetAuthorizationToken"}

    def test_image_of_aws_itself_is_not_taken_for_clean(self, cloud, plan):
        stock = Parts(session=cloud.boto_session, settings=cloud.settings).plan(
            image_spec("pytorch", version="2.3", image_scope="training", processor="cpu")
        )
        with pytest.raises(ScanError, match="AWS does not tell"):
            self.ensured(cloud, stock, scan="block:CRITICAL")
        assert self.ensured(cloud, stock, scan="report") == stock.reference

    @pytest.fixture
    def shell(self, cloud, monkeypatch):
        [endpoint] = cloud.settings.registry_endpoints
        variables = cloud.environment() | {
            "SAGEMAKER_CUSTOM_REGISTRY_ENDPOINTS": f"{endpoint.pattern}={endpoint.url}",
            "SAGEMAKER_CUSTOM_REGISTRY_ATTEMPTS": "1",
        }
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    def test_command_shows_what_was_found(self, plan, shell):
        ended = run_cli("scan", str(plan.reference))
        assert ended.code == 0, ended.err
        assert "1 HIGH" in ended.err
        assert ended.out.splitlines()[1].split()[:4] == ["HIGH", "CVE-9999-9999", "moto_fake", "9.9.9"]
        document = run_cli("scan", str(plan.reference), "--json").document
        assert (document["counts"], document["findings"][0]["package"]) == ({"HIGH": 1}, "moto_fake")
        assert ImageReference.parse(document["image"]).digest

    def test_command_ends_as_the_policy_says(self, plan, shell, monkeypatch):
        monkeypatch.setenv("SAGEMAKER_CUSTOM_SCAN", "block:HIGH")
        ended = run_cli("scan", str(plan.reference))
        assert (ended.code, "may not be used" in ended.err) == (9, True)
        assert "CVE-9999-9999" in ended.out

    def test_command_tells_of_an_image_that_is_not_there(self, plan, shell):
        ended = run_cli("scan", str(plan.reference.with_tag("gone")))
        assert (ended.code, "there is no image" in ended.err) == (4, True)
