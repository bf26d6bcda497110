"""What the registry client does when the registry does not do what was asked."""

from __future__ import annotations

import io
import json

import pytest
from fakes.fake_registry import BLOB_HOST, TOKEN_HOST, FakeRegistry
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom import oci
from sagemaker_custom.errors import (
    CredentialsError,
    DigestMismatchError,
    InvalidReferenceError,
    RegistryAccessDeniedError,
    RegistryError,
    RegistryUnavailableError,
    TagConflictError,
)
from sagemaker_custom.reference import ImageReference, RegistryCredentials, digest_of
from sagemaker_custom.registry import Manifest
from sagemaker_custom.registry.auth import parse_challenges

ECR = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
IMAGE = ImageReference.parse("registry.example.com/team/image:1.0")
ECR_IMAGE = ImageReference.parse(f"{ECR}/sagemaker-x:1.0")
REPOSITORY = "team/image"
LOGIN = RegistryCredentials(username="AWS", password="s3cret")
CONTENT = bytes(range(256)) * 40


class Waits(list):
    """Stands for sleep, and remembers."""

    def __call__(self, seconds):
        self.append(seconds)


class Bar:
    """A Task that remembers where it stands."""

    def __init__(self):
        self.done = 0

    def advance(self, amount):
        self.done += amount

    def set_total(self, total):
        raise AssertionError(total)

    def finish(self):
        raise AssertionError("the caller says when it is over")


@pytest.fixture
def registry():
    return FakeRegistry()


@pytest.fixture
def waits():
    return Waits()


@pytest.fixture
def client(registry, waits):
    return registry.client(sleep=waits)


def upload(client, content=CONTENT, *, digest=None, size=None, task=None):
    digest = digest or digest_of(content)
    size = len(content) if size is None else size
    return client.upload_blob(IMAGE, digest, size, lambda: io.BytesIO(content), task=task)


class TestAbsentIsNotUnknown:
    def test_a_denied_head_is_not_reported_as_missing(self, registry, client):
        registry.fail(403, times=2, code="DENIED", message="no policy allows it")
        registry.put_image(REPOSITORY, "1.0")
        with pytest.raises(RegistryAccessDeniedError) as caught:
            client.find(IMAGE)
        assert str(caught.value) == (
            "cannot look up registry.example.com/team/image:1.0: registry.example.com answered 403 "
            "(DENIED: no policy allows it)\n"
            "  -> run 'docker login registry.example.com' as someone who may do it; "
            "on Amazon ECR it takes ecr:BatchGetImage"
        )

    def test_a_404_of_some_other_web_server_is_not_an_absent_image(self, registry, client):
        registry.fail(404, times=2, body=b"<html>nginx</html>")
        with pytest.raises(RegistryError) as caught:
            client.find(IMAGE)
        assert str(caught.value) == (
            "cannot look up registry.example.com/team/image:1.0: https://registry.example.com answered 404, "
            "but not as a registry does\n"
            "  -> check the name of the registry, the setting registry_endpoints and the proxy"
        )

    def test_a_registry_that_does_not_name_itself_is_asked_again_before_its_404_counts(self, registry, client):
        registry.names_itself = False
        assert client.find(IMAGE) is None
        assert [call.method for call in registry.calls] == ["HEAD", "GET"]

    @pytest.mark.parametrize("status", [301, 400, 410, 418, 451])
    def test_no_other_status_means_absent(self, registry, client, status):
        registry.fail(status, times=10)
        with pytest.raises(RegistryError):
            client.find(IMAGE)

    def test_head_without_a_digest_falls_back_to_hashing_the_manifest(self, registry, client):
        registry.announces_digest = False
        assert client.find(IMAGE.with_tag("1.0")) is None
        digest = registry.put_image(REPOSITORY, "1.0")
        assert client.find(IMAGE) == digest

    def test_a_registry_without_head_is_asked_by_get(self, registry, client):
        digest = registry.put_image(REPOSITORY, "1.0")
        registry.fail(405, method="HEAD")
        assert client.find(IMAGE) == digest

    def test_a_reference_without_a_registry_is_refused(self, client):
        with pytest.raises(InvalidReferenceError, match="image:1 names no registry"):
            client.find(ImageReference.parse("image:1"))


class TestRetries:
    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_temporary_status_is_waited_out(self, registry, client, waits, status):
        digest = registry.put_image(REPOSITORY, "1.0")
        registry.fail(status, times=3)
        assert client.find(IMAGE) == digest
        assert waits == [0.5, 1.0, 2.0]

    def test_waits_are_spread_and_bounded(self, registry, waits):
        registry.refuse_connections(times=99)
        with pytest.raises(RegistryUnavailableError):
            registry.client(sleep=waits, random=lambda: 0.0, attempts=9).find(IMAGE)
        assert waits == [0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0]

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"Retry-After": "7"}, 7.0),
            ({"Retry-After": "86400"}, 120.0),
            ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT", "Date": "Wed, 21 Oct 2026 07:28:00 GMT"}, 30.0),
            ({"Retry-After": "Wed, 21 Oct 2026 07:28:30 GMT"}, 0.5),
            ({"Retry-After": "soon"}, 0.5),
        ],
    )
    def test_the_wait_that_the_registry_asks_for_is_kept(self, registry, client, waits, headers, expected):
        registry.fail(429, headers=headers)
        client.find(IMAGE)
        assert waits == [expected]

    def test_the_last_failure_is_reported_with_the_number_of_tries(self, registry, client):
        registry.fail(503, times=99, code="UNAVAILABLE", message="try\nlater")
        with pytest.raises(RegistryUnavailableError) as caught:
            client.manifest(IMAGE)
        assert str(caught.value) == (
            "cannot look up registry.example.com/team/image:1.0: registry.example.com answered 503 "
            "(UNAVAILABLE: try later) (tried 6 times)\n  -> try again later"
        )

    def test_a_refusal_is_not_tried_again(self, registry, client, waits):
        registry.fail(400, times=99, code="NAME_INVALID", message="no")
        with pytest.raises(RegistryError, match=r"answered 400 \(NAME_INVALID: no\)"):
            client.manifest(IMAGE)
        assert (len(registry.calls), waits) == (1, [])

    def test_a_manifest_that_is_cut_off_is_read_again(self, registry, client):
        registry.put_image(REPOSITORY, "1.0")
        registry.cut(10, path="/manifests/")
        manifest = client.manifest(IMAGE)
        assert manifest.digest == registry.tags(REPOSITORY)["1.0"]

    def test_a_manifest_of_more_than_4_mib_is_not_read(self, registry, client):
        registry.put_manifest(REPOSITORY, "1.0", b" " * (4 * 1024 * 1024 + 1), oci.DOCKER_MANIFEST)
        with pytest.raises(RegistryError, match=r"manifests/1\.0 answered with more than 4194304 bytes"):
            client.manifest(IMAGE)


class TestUpload:
    @pytest.mark.parametrize("method", ["HEAD", "POST", "PUT"])
    def test_a_lost_connection_starts_the_upload_over(self, registry, client, method):
        bar = Bar()
        registry.refuse_connections(method=method)
        assert upload(client, task=bar) is True
        assert registry.blobs[REPOSITORY][digest_of(CONTENT)] == CONTENT
        assert bar.done == len(CONTENT)

    def test_a_lost_answer_does_not_send_the_content_twice(self, registry, client):
        registry.lose_answers(method="PUT")
        assert upload(client) is True
        assert registry.count("PUT") == 1

    def test_the_content_goes_in_one_put_and_never_in_patches(self, registry, client):
        upload(client)
        assert [call.method for call in registry.calls] == ["HEAD", "POST", "PUT"]

    def test_a_server_error_during_the_put_opens_a_new_upload(self, registry, client):
        registry.fail(500, method="PUT")
        assert upload(client) is True
        assert registry.count("POST") == 2

    def test_content_that_is_not_its_digest_is_reported(self, registry, client):
        with pytest.raises(DigestMismatchError, match=r"answered 400 \(DIGEST_INVALID"):
            upload(client, digest=digest_of(b"other"))

    @pytest.mark.parametrize("size", [len(CONTENT) - 1, len(CONTENT) + 1])
    def test_content_of_another_size_is_not_sent_to_its_end(self, client, size):
        with pytest.raises(RegistryError, match=f"does not have the {size} bytes that were announced"):
            upload(client, size=size)

    def test_a_file_that_cannot_be_opened_is_no_registry_outage(self, registry, client, tmp_path):
        with pytest.raises(RegistryError, match=r"cannot be read to upload it: .*No such file") as caught:
            client.upload_blob(IMAGE, digest_of(b""), 5, (tmp_path / "none").open)
        assert not isinstance(caught.value, RegistryUnavailableError)
        assert registry.count("PUT") == 1

    def test_an_absolute_location_at_the_same_host_is_taken(self, registry, client):
        registry.upload_location = "https://registry.example.com/v2/{repository}/blobs/uploads/{session}?_state=x"
        assert upload(client) is True

    def test_a_registry_behind_tls_that_names_itself_http_is_still_reached_by_https(self, registry, client):
        registry.upload_location = "http://registry.example.com/v2/{repository}/blobs/uploads/{session}?_state=x"
        assert upload(client) is True

    @pytest.mark.parametrize("host", ["registry.example.com:8080", "evil.example.com"])
    def test_a_location_at_another_host_without_tls_is_refused(self, registry, client, host):
        registry.upload_location = f"http://{host}/v2/{{repository}}/blobs/uploads/{{session}}?_state=x"
        with pytest.raises(RegistryError, match=f"sends the upload to http://{host}, which is refused"):
            upload(client)
        assert registry.count("PUT") == 0

    def test_an_upload_to_another_host_goes_without_credentials(self, registry, client):
        registry.upload_location = "https://store.example.com/v2/{repository}/blobs/uploads/{session}?_state=x"
        registry.credentials = LOGIN
        with pytest.raises(RegistryAccessDeniedError, match=r"store\.example\.com answered 401"):
            upload(client)
        sent = [call.headers for call in registry.calls if call.host == "store.example.com"]
        assert sent
        assert all("Authorization" not in headers for headers in sent)

    @pytest.mark.parametrize("location", ["", "ftp://registry.example.com/x", "http://[broken/x"])
    def test_a_useless_location_is_reported(self, registry, client, location):
        registry.upload_location = location
        with pytest.raises(RegistryError, match="answered 202 without a usable Location"):
            upload(client)

    def test_a_missing_repository_is_named(self, registry, client):
        registry.fail(404, method="POST", code="NAME_UNKNOWN", message="repository does not exist")
        with pytest.raises(RegistryError) as caught:
            upload(client)
        assert str(caught.value).endswith(
            "answered 404 (NAME_UNKNOWN: repository does not exist)\n"
            "  -> create the repository registry.example.com/team/image first"
        )

    def test_an_upload_that_a_proxy_finds_too_large_says_so(self, registry, client):
        registry.fail(413, method="PUT")
        with pytest.raises(RegistryError, match="limits the size of uploads"):
            upload(client)


class TestMount:
    def test_a_declined_mount_closes_the_upload_that_was_opened_for_it(self, registry, client):
        registry.mounts = False
        digest = registry.put_blob("base", CONTENT)
        assert client.mount_blob(IMAGE, digest, source_repository="base") is False
        assert registry.uploads == {}
        assert len(registry.cancelled) == 1

    def test_a_mount_that_cannot_be_cancelled_is_still_only_declined(self, registry, client):
        registry.fail(500, method="DELETE")
        assert client.mount_blob(IMAGE, digest_of(b"x"), source_repository="base") is False

    @pytest.mark.parametrize("status", [400, 403, 404, 405])
    def test_a_refused_mount_leaves_the_upload_to_be_tried(self, registry, client, status):
        registry.fail(status, method="POST", code="DENIED")
        assert client.mount_blob(IMAGE, digest_of(b"x"), source_repository="base") is False

    def test_an_outage_is_not_taken_for_a_declined_mount(self, registry, client):
        registry.fail(503, times=99)
        with pytest.raises(RegistryUnavailableError, match=r"cannot mount sha256:\S+ in registry.example.com/team"):
            client.mount_blob(IMAGE, digest_of(b"x"), source_repository="base")


class TestReadBlob:
    def test_a_lost_connection_is_taken_up_where_it_ended(self, registry, client):
        digest = registry.put_blob(REPOSITORY, CONTENT)
        registry.cut(3000, times=2)
        assert b"".join(client.read_blob(IMAGE, digest)) == CONTENT
        assert [call.headers.get("Range") for call in registry.calls] == [None, "bytes=3000-", "bytes=6000-"]

    def test_a_registry_that_cannot_continue_is_reported(self, registry, client):
        digest = registry.put_blob(REPOSITORY, CONTENT)
        registry.ranges = False
        registry.cut(3000)
        with pytest.raises(RegistryError, match=r"lost after 3000 bytes, and registry.example.com cannot continue"):
            list(client.read_blob(IMAGE, digest))

    def test_a_connection_that_is_always_lost_is_given_up(self, registry, client, waits):
        digest = registry.put_blob(REPOSITORY, CONTENT)
        registry.cut(0, times=99)
        with pytest.raises(RegistryUnavailableError, match="closed the connection after 0 of 10240 bytes"):
            list(client.read_blob(IMAGE, digest))
        assert len(waits) == 5

    def test_content_that_is_not_its_digest_is_reported_at_the_end(self, registry, client):
        digest = digest_of(b"wanted")
        registry.blobs[REPOSITORY][digest] = b"damaged"
        stream = client.read_blob(IMAGE, digest)
        assert next(stream) == b"damaged"
        with pytest.raises(DigestMismatchError, match=f"something else for {digest}: it hashes to sha256:"):
            next(stream)

    def test_more_bytes_than_announced_are_not_passed_on(self, registry, client):
        digest = registry.put_blob(REPOSITORY, CONTENT)
        with pytest.raises(DigestMismatchError, match="it has more than 5 bytes"):
            next(client.read_blob(IMAGE, digest, size=5))

    def test_fewer_bytes_than_announced_are_reported(self, registry, client):
        digest = registry.put_blob(REPOSITORY, b"abc")
        with pytest.raises(DigestMismatchError, match="it has 3 instead of 5 bytes"):
            list(client.read_blob(IMAGE, digest, size=5))

    def test_an_absent_blob_is_an_error(self, client):
        with pytest.raises(RegistryError, match=r"cannot read sha256:\S+ in registry.*BLOB_UNKNOWN"):
            list(client.read_blob(IMAGE, digest_of(b"none")))


class TestRedirects:
    def test_credentials_do_not_follow_a_redirect_to_another_host(self, registry, client):
        registry.credentials = LOGIN
        registry.redirects_blobs_to = f"https://{BLOB_HOST}"
        digest = registry.put_blob(REPOSITORY, CONTENT)
        assert b"".join(client.read_blob(IMAGE, digest)) == CONTENT
        arrived = [call.headers for call in registry.calls if call.host == BLOB_HOST]
        assert len(arrived) == 1
        assert "Authorization" not in arrived[0]

    def test_reading_on_after_a_loss_asks_the_registry_for_a_new_redirect(self, registry, client):
        registry.redirects_blobs_to = f"https://{BLOB_HOST}"
        digest = registry.put_blob(REPOSITORY, CONTENT)
        registry.cut(3000, path=digest)
        registry.cut(3000, path=digest)
        assert b"".join(client.read_blob(IMAGE, digest)) == CONTENT
        assert [call.host for call in registry.calls] == ["registry.example.com", BLOB_HOST] * 2

    def test_a_redirect_from_https_to_http_is_refused(self, registry, client):
        registry.redirects_blobs_to = f"http://{BLOB_HOST}"
        digest = registry.put_blob(REPOSITORY, CONTENT)
        with pytest.raises(RegistryError, match=f"redirects from https to http://{BLOB_HOST}, which is refused"):
            list(client.read_blob(IMAGE, digest))
        assert BLOB_HOST not in {call.host for call in registry.calls}

    def test_a_circle_of_redirects_ends(self, registry, client):
        registry.fail(307, times=99, headers={"Location": "/v2/team/image/blobs/again"})
        with pytest.raises(RegistryError, match="redirected more than 5 times"):
            list(client.read_blob(IMAGE, digest_of(b"x")))

    def test_a_signed_address_is_not_in_the_message(self, registry, client):
        registry.redirects_blobs_to = f"https://{BLOB_HOST}"
        digest = registry.put_blob(REPOSITORY, CONTENT)
        registry.fail(403, path=f"/{digest}", headers={}, body=b"<Error>AccessDenied</Error>")
        registry.fail(403, path=f"/{digest}", headers={}, body=b"<Error>AccessDenied</Error>")
        with pytest.raises(RegistryAccessDeniedError) as caught:
            list(client.read_blob(IMAGE, digest))
        assert "signature" not in str(caught.value)


class TestAuthentication:
    def test_basic_credentials_are_sent_only_after_a_challenge_and_then_kept(self, registry, client):
        registry.credentials = LOGIN
        client.find(IMAGE)
        client.find(IMAGE)
        assert ["Authorization" in call.headers for call in registry.calls] == [False, True, True]

    def test_wrong_credentials_are_sent_once(self, registry):
        registry.credentials = LOGIN
        wrong = RegistryCredentials(username="AWS", password="expired-secret")
        client = registry.client(credentials=lambda host: wrong)
        with pytest.raises(RegistryAccessDeniedError) as caught:
            client.find(ECR_IMAGE)
        assert len(registry.calls) == 1
        with pytest.raises(RegistryAccessDeniedError):
            client.find(ECR_IMAGE)
        assert len(registry.calls) == 2
        assert str(caught.value) == (
            f"cannot look up {ECR}/sagemaker-x:1.0: {ECR} answered 401\n"
            "  -> allow ecr:BatchGetImage on the repository, and ecr:GetAuthorizationToken, to the caller"
        )

    def test_ecr_is_not_asked_for_the_challenge_that_it_always_gives(self, registry, client):
        registry.credentials = LOGIN
        assert client.find(ECR_IMAGE) is None
        assert next((call.method, "Authorization" in call.headers) for call in registry.calls) == ("HEAD", True)
        assert not registry.count("HEAD", path="/v2/sagemaker-x/manifests") > 1

    @pytest.mark.parametrize("endpoint", [f"http://{ECR}", "https://proxy.example.com"])
    def test_nobody_else_is_sent_credentials_unasked(self, registry, endpoint):
        registry.credentials = LOGIN
        registry.client(credentials=lambda host: LOGIN, endpoint_for=lambda host: endpoint).find(ECR_IMAGE)
        assert ["Authorization" in call.headers for call in registry.calls][:2] == [False, True]

    def test_no_credentials_are_denied_access(self, registry):
        registry.credentials = LOGIN
        with pytest.raises(RegistryAccessDeniedError, match="answered 401"):
            registry.client(credentials=lambda host: None).find(IMAGE)

    def test_credentials_that_expire_are_fetched_again(self, registry):
        logins = iter([LOGIN, RegistryCredentials(username="AWS", password="next")])
        registry.credentials = LOGIN
        client = registry.client(credentials=lambda host: next(logins))
        client.find(IMAGE)
        registry.credentials = RegistryCredentials(username="AWS", password="next")
        assert client.find(IMAGE) is None

    def test_the_403_with_which_ecr_reports_an_expired_token_is_met_with_a_new_one(self, registry):
        logins = iter([LOGIN, RegistryCredentials(username="AWS", password="next")])
        registry.credentials = LOGIN
        client = registry.client(credentials=lambda host: next(logins))
        client.find(ECR_IMAGE)
        registry.credentials = RegistryCredentials(username="AWS", password="next")
        registry.fail(403, code="DENIED", message="Your authorization token has expired. Reauthenticate and try again.")
        assert client.find(ECR_IMAGE) is None
        assert registry.count("GET") == 0

    def test_a_proxy_is_given_its_own_credentials_and_never_those_of_ecr(self, registry):
        asked = []
        client = registry.client(
            credentials=asked.append, endpoint_for=lambda host: "https://proxy.example.com:8443/ecr"
        )
        registry.credentials = LOGIN
        with pytest.raises(RegistryAccessDeniedError):
            client.find(ECR_IMAGE)
        assert asked == ["proxy.example.com:8443"]
        assert registry.calls[0].path == "/v2/ecr/sagemaker-x/manifests/1.0"

    def test_an_error_of_the_credential_source_is_passed_on(self, registry):
        def expired(host):
            raise CredentialsError(f"no credentials for {host}")

        registry.credentials = LOGIN
        with pytest.raises(CredentialsError, match=r"no credentials for registry\.example"):
            registry.client(credentials=expired).find(IMAGE)

    def test_a_password_is_in_no_message(self, registry):
        registry.credentials = RegistryCredentials(username="other", password="other")
        with pytest.raises(RegistryAccessDeniedError) as caught:
            registry.client(credentials=lambda host: LOGIN).find(IMAGE)
        assert "s3cret" not in repr(caught.value) + str(caught.value) + repr(LOGIN)


class TestBearerTokens:
    @pytest.fixture(autouse=True)
    def _bearer(self, registry):
        registry.scheme = "bearer"

    def tokens(self, registry):
        return sum(1 for call in registry.calls if call.host == TOKEN_HOST)

    def test_an_anonymous_token_is_fetched_once_and_kept(self, registry, client):
        digest = registry.put_image(REPOSITORY, "1.0")
        assert [client.find(IMAGE), client.find(IMAGE)] == [digest, digest]
        assert self.tokens(registry) == 1
        assert registry.scopes_asked == ["repository:team/image:pull"]
        token_call = next(call for call in registry.calls if call.host == TOKEN_HOST)
        assert token_call.query["service"] == ["fake.example.com"]
        assert "Authorization" not in token_call.headers

    def test_credentials_go_to_the_token_server(self, registry, client):
        registry.credentials = LOGIN
        assert client.find(IMAGE) is None
        registry_calls = [call for call in registry.calls if call.host != TOKEN_HOST]
        assert not any("Basic" in call.headers.get("Authorization", "") for call in registry_calls)

    def test_pushing_asks_for_more_than_pulling(self, registry, client):
        upload(client)
        assert "repository:team/image:pull,push" in registry.scopes_asked

    def test_mounting_asks_to_pull_from_the_source(self, registry, client):
        digest = registry.put_blob("base", CONTENT)
        assert client.mount_blob(IMAGE, digest, source_repository="base") is True
        assert registry.scopes_asked == ["repository:team/image:pull,push", "repository:base:pull"]

    def test_what_the_registry_asks_for_beyond_that_is_asked_for_as_well(self, registry, client):
        client.remove_tag(IMAGE)
        assert registry.scopes_asked == ["repository:team/image:pull,push", "repository:team/image:delete"]

    def test_an_expired_token_is_renewed_once(self, registry, client):
        client.find(IMAGE)
        registry.valid_tokens.clear()
        assert client.find(IMAGE) is None
        assert self.tokens(registry) == 2

    def test_a_token_that_expires_during_an_upload_sends_the_content_again(self, registry, client):
        bar = Bar()
        challenge = f'Bearer realm="{registry.token_realm}"'
        registry.fail(401, method="PUT", headers={"WWW-Authenticate": challenge})
        assert upload(client, task=bar) is True
        assert bar.done == len(CONTENT)

    def test_a_token_that_is_refused_right_away_is_denied_access(self, registry, client):
        challenge = f'Bearer realm="{registry.token_realm}",error="insufficient_scope"'
        registry.fail(401, times=99, path="/v2/", headers={"WWW-Authenticate": challenge})
        with pytest.raises(RegistryAccessDeniedError, match=r"registry\.example\.com answered 401"):
            client.find(IMAGE)
        assert self.tokens(registry) == 1

    def test_wrong_credentials_at_the_token_server_are_denied_access(self, registry):
        registry.credentials = LOGIN
        client = registry.client(credentials=lambda host: RegistryCredentials(username="AWS", password="wrong"))
        with pytest.raises(RegistryAccessDeniedError, match=r"auth.example.com answered 401 \(UNAUTHORIZED: incorrect"):
            client.find(IMAGE)

    def test_an_outage_of_the_token_server_is_waited_out(self, registry, client, waits):
        registry.fail(503, path="/token", times=2)
        assert client.find(IMAGE) is None
        assert len(waits) == 2

    def test_an_identity_token_is_exchanged(self, registry, client):
        registry.credentials = RegistryCredentials(username="<token>", password="refresh")
        assert client.find(IMAGE) is None
        assert registry.count("POST", "/token") == 1
        assert registry.scopes_asked == ["repository:team/image:pull"]

    @pytest.mark.parametrize("realm", ["http://auth.example.com/token", "/token", "", "https://[broken"])
    def test_a_token_server_that_would_get_credentials_in_the_clear_is_refused(self, registry, client, realm):
        registry.token_realm = realm
        registry.credentials = LOGIN
        with pytest.raises(RegistryError, match=r"sends to '.*' for a token"):
            client.find(IMAGE)
        assert self.tokens(registry) == 0

    @pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"token": 7}', b'{"expires_in": 60}'])
    def test_an_answer_without_a_token_is_reported(self, registry, client, body):
        registry.fail(200, path="/token", body=body)
        with pytest.raises(
            RegistryError, match=r"https://auth.example.com/token (did not answer with|answered without) a"
        ):
            client.find(IMAGE)

    def test_several_challenges_in_one_header_are_told_apart(self):
        header = (
            'Basic realm="a, b", Negotiate, Bearer realm="https://x/token",service="s",scope="repository:a:pull,push"'
        )
        basic, bearer = parse_challenges(header)
        assert (basic.scheme, basic.realm) == ("basic", "a, b")
        assert (bearer.realm, bearer.service, bearer.scope) == ("https://x/token", "s", "repository:a:pull,push")

    @given(st.text() | st.text(alphabet='Basicerl=",\\ '))
    def test_no_header_breaks_the_parser(self, header):
        assert all(challenge.scheme in {"basic", "bearer"} for challenge in parse_challenges(header))


class TestPutManifest:
    def pushed(self, registry, client, reference=IMAGE, text="1"):
        config = registry.put_blob(REPOSITORY, text.encode())
        document = {
            "schemaVersion": 2,
            "config": {"mediaType": oci.DOCKER_CONFIG, "digest": config, "size": 1},
            "layers": [],
        }
        manifest = Manifest(media_type=oci.DOCKER_MANIFEST, content=json.dumps(document).encode())
        return client.put_manifest(reference, manifest), manifest

    def test_an_immutable_tag_with_another_image_is_a_conflict(self, registry, client):
        self.pushed(registry, client, text="1")
        registry.immutable = True
        with pytest.raises(TagConflictError) as caught:
            self.pushed(registry, client, text="2")
        assert str(caught.value) == (
            "cannot push registry.example.com/team/image:1.0: registry.example.com answered 400 "
            "(TAG_INVALID: The image tag '1.0' already exists in the 'team/image' repository)\n"
            "  -> tags of this repository are immutable; push under another tag"
        )

    @pytest.mark.parametrize(("status", "code"), [(409, "CONFLICT"), (412, "PRECONDITION")])
    def test_other_registries_say_conflict_in_their_own_way(self, registry, client, status, code):
        registry.fail(status, method="PUT", code=code, message="configured as immutable")
        with pytest.raises(TagConflictError, match=code):
            self.pushed(registry, client)

    def test_an_immutable_tag_with_the_same_image_is_no_conflict(self, registry, client):
        first, _ = self.pushed(registry, client)
        registry.immutable = True
        assert self.pushed(registry, client)[0] == first

    def test_a_lost_answer_to_an_immutable_push_is_not_a_conflict_with_oneself(self, registry, client):
        registry.immutable = True
        registry.lose_answers(method="PUT")
        digest, manifest = self.pushed(registry, client)
        assert digest == manifest.digest == registry.tags(REPOSITORY)["1.0"]

    def test_a_bad_tag_is_not_taken_for_a_conflict(self, registry, client):
        registry.fail(400, method="PUT", code="TAG_INVALID", message="manifest tag did not match URI")
        with pytest.raises(RegistryError) as caught:
            self.pushed(registry, client)
        assert not isinstance(caught.value, TagConflictError)

    def test_missing_layers_are_reported(self, registry, client):
        registry.fail(400, method="PUT", code="MANIFEST_BLOB_UNKNOWN")
        with pytest.raises(RegistryError, match="does not have all layers of the image"):
            self.pushed(registry, client)

    def test_a_registry_that_stores_something_else_is_reported(self, registry, client):
        registry.fail(201, times=9, method="PUT", headers={"Docker-Content-Digest": digest_of(b"other")})
        with pytest.raises(DigestMismatchError, match=f"the registry stored {digest_of(b'other')} instead of sha256:"):
            self.pushed(registry, client)

    def test_what_was_damaged_on_its_way_is_put_again_so_that_the_tag_is_right(self, registry, client):
        registry.fail(201, method="PUT", headers={"Docker-Content-Digest": digest_of(b"other")})
        digest, manifest = self.pushed(registry, client)
        assert digest == manifest.digest == registry.tags(REPOSITORY)["1.0"]

    def test_a_reference_to_another_digest_is_refused_before_anything_is_sent(self, registry, client):
        with pytest.raises(DigestMismatchError, match="the manifest has the digest sha256:"):
            self.pushed(registry, client, IMAGE.with_digest(digest_of(b"other")))
        assert registry.calls == []

    def test_a_denied_push_names_the_iam_action(self, registry, client):
        registry.fail(403, method="PUT", code="DENIED", message="not authorized to perform ecr:PutImage")
        with pytest.raises(RegistryAccessDeniedError, match="on Amazon ECR it takes ecr:PutImage"):
            self.pushed(registry, client)


class TestManifests:
    def test_a_manifest_that_is_not_what_the_registry_announces_is_reported(self, registry, client):
        registry.put_image(REPOSITORY, "1.0")
        other = {"Docker-Content-Digest": digest_of(b"other"), "Content-Type": oci.DOCKER_MANIFEST}
        registry.fail(200, times=9, method="GET", headers=other)
        with pytest.raises(DigestMismatchError, match="the registry sent a manifest with the digest"):
            client.manifest(IMAGE)

    def test_a_manifest_that_is_not_its_digest_is_reported(self, registry, client):
        digest = registry.put_image(REPOSITORY, "1.0")
        registry.manifests[REPOSITORY][digest] = (oci.DOCKER_MANIFEST, b"{}")
        with pytest.raises(DigestMismatchError, match="the registry sent a manifest with the digest"):
            client.manifest(IMAGE.with_digest(digest))
        with pytest.raises(DigestMismatchError, match="the registry answers with"):
            client.find(IMAGE.with_digest(digest))

    def test_an_index_without_its_manifest_is_incomplete(self, registry, client):
        index = registry.put_image(REPOSITORY, "1.0", media_type=oci.OCI_INDEX)
        registry.manifests[REPOSITORY] = {index: registry.manifests[REPOSITORY][index]}
        with pytest.raises(
            RegistryError, match=r"registry.example.com/team/image:1.0 is incomplete: its registry has no"
        ):
            client.image_config(IMAGE)

    def test_a_config_of_many_megabytes_is_not_read(self, registry, client):
        config = {"mediaType": oci.DOCKER_CONFIG, "digest": digest_of(b"x"), "size": 10**10}
        content = json.dumps({"config": config, "layers": []}).encode()
        registry.put_manifest(REPOSITORY, "1.0", content, oci.DOCKER_MANIFEST)
        with pytest.raises(RegistryError, match="has 10000000000 bytes, more than 4194304"):
            client.image_config(IMAGE)

    def test_a_malformed_manifest_is_reported_with_its_reference(self, registry, client):
        registry.put_manifest(REPOSITORY, "1.0", b"{}", oci.DOCKER_MANIFEST)
        with pytest.raises(RegistryError, match=r"team/image:1\.0 is malformed: config"):
            client.image_config(IMAGE)


class TestRemoveTag:
    @pytest.mark.parametrize("status", [400, 405])
    def test_a_registry_that_cannot_remove_tags_says_no(self, registry, client, status):
        registry.put_image(REPOSITORY, "1.0")
        registry.fail(status, method="DELETE", code="UNSUPPORTED")
        assert client.remove_tag(IMAGE) is False

    def test_a_tag_that_is_gone_already_counts_as_removed(self, registry, client):
        assert client.remove_tag(IMAGE) is True

    def test_only_the_tag_goes_and_its_neighbour_stays(self, registry, client):
        digest = registry.put_image(REPOSITORY, "1.0")
        registry.put_image(REPOSITORY, "2.0")
        assert client.remove_tag(IMAGE.with_digest(digest)) is True
        assert registry.tags(REPOSITORY) == {"2.0": digest}

    def test_a_reference_without_a_tag_is_refused(self, client):
        with pytest.raises(InvalidReferenceError, match="has no tag to remove"):
            client.remove_tag(ImageReference.parse("h.example.com/x"))
