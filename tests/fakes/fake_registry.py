"""An OCI registry in memory that takes the place of the network, and can be told to fail."""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qs, parse_qsl, urlsplit

from sagemaker_custom import oci
from sagemaker_custom.errors import RegistryUnavailableError
from sagemaker_custom.reference import Digest, RegistryCredentials, digest_of
from sagemaker_custom.registry import HttpRequest, HttpResponse, RegistryClient

BLOB_HOST = "blobs.example.com"
TOKEN_HOST = "auth.example.com"
_PIECE = 1024
_PATH = re.compile(r"/v2/(?P<repository>.+)/(?P<kind>manifests|blobs/uploads|blobs|tags)/(?P<name>[^/]*)")


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """A request that arrived."""

    method: str
    host: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]


@dataclass(kw_only=True, slots=True)
class Fault:
    """What happens instead of, or to, the next answers."""

    times: int
    method: str | None = None
    path: str = ""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    cut_after: int | None = None
    error: Exception | None = None

    def hits(self, call: Call) -> bool:
        return self.times > 0 and self.method in {None, call.method} and self.path in call.path


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


class FakeRegistry:
    """Implements the Transport protocol; every host is this registry, but BLOB_HOST and TOKEN_HOST."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.blobs: dict[str, dict[str, bytes]] = defaultdict(dict)
        self.manifests: dict[str, dict[str, tuple[str, bytes]]] = defaultdict(dict)
        self.uploads: dict[str, str] = {}
        self.cancelled: list[str] = []
        self.credentials: RegistryCredentials | None = None
        self.scheme = "basic"
        self.token_realm = f"https://{TOKEN_HOST}/token"
        self.scopes_asked: list[str] = []
        self.valid_tokens: set[str] = set()
        self.immutable = False
        self.removes_tags = True
        self.mounts = True
        self.tags_a_page = 1000
        self.ranges = True
        self.announces_digest = True
        self.names_itself = True
        self.redirects_blobs_to: str | None = None
        self.upload_location = "/v2/{repository}/blobs/uploads/{session}?_state=abc"
        self._tags: dict[str, dict[str, Digest]] = defaultdict(dict)
        self._faults: list[Fault] = []

    @property
    def transport(self) -> FakeRegistry:
        """What a RegistryClient is given."""
        return self

    def client(self, **arguments) -> RegistryClient:
        """Return a client of this registry that never really waits."""
        return RegistryClient(
            **{
                "transport": self,
                "credentials": lambda host: self.credentials,
                "endpoint_for": lambda host: f"https://{host}",
                "sleep": lambda seconds: None,
                "random": lambda: 1.0,
            }
            | arguments
        )

    def tags(self, repository: str) -> dict[str, Digest]:
        """Return the tags of a repository with what they point at."""
        return dict(self._tags[repository])

    def put_blob(self, repository: str, content: bytes) -> Digest:
        """Store a blob."""
        digest = digest_of(content)
        self.blobs[repository][digest] = content
        return digest

    def put_manifest(self, repository: str, tag: str, content: bytes, media_type: str) -> Digest:
        """Store a manifest under a tag, whatever the tag held."""
        digest = digest_of(content)
        self.manifests[repository][digest] = (media_type, content)
        self._tags[repository][tag] = digest
        return digest

    def put_image(
        self,
        repository: str,
        tag: str,
        *,
        labels: Mapping[str, str] | None = None,
        media_type: str = oci.DOCKER_MANIFEST,
        layers: tuple[bytes, ...] = (b"layer",),
        created: str = "",
    ) -> Digest:
        """Store an image for linux/amd64; with the media type of an index, also the index around it."""
        is_oci = media_type in {oci.OCI_MANIFEST, oci.OCI_INDEX}
        config = {"architecture": "amd64", "os": "linux", "config": {"Labels": dict(labels or {})}, "created": created}
        kinds = (oci.OCI_CONFIG, oci.OCI_LAYER) if is_oci else (oci.DOCKER_CONFIG, oci.DOCKER_LAYER)
        manifest_type = oci.OCI_MANIFEST if is_oci else oci.DOCKER_MANIFEST
        manifest = _json(
            schemaVersion=2,
            mediaType=manifest_type,
            config=self._described(repository, _json(**config), kinds[0]),
            layers=[self._described(repository, layer, kinds[1]) for layer in layers],
        )
        if not oci.is_index(media_type):
            return self.put_manifest(repository, tag, manifest, media_type)
        self.manifests[repository][digest_of(manifest)] = (manifest_type, manifest)
        entry = {"mediaType": manifest_type, "digest": digest_of(manifest), "size": len(manifest)}
        attestation = {**entry, "platform": {"os": "unknown", "architecture": "unknown"}}
        image = {**entry, "platform": {"os": "linux", "architecture": "amd64"}}
        index = _json(schemaVersion=2, mediaType=media_type, manifests=[attestation, image])
        return self.put_manifest(repository, tag, index, media_type)

    def fail(
        self,
        status: int,
        *,
        times: int = 1,
        method: str | None = None,
        path: str = "",
        headers: Mapping[str, str] | None = None,
        code: str | None = None,
        message: str = "",
        body: bytes = b"",
    ) -> None:
        """Answer the next matching requests with ``status``."""
        if code:
            body = _json(errors=[{"code": code, "message": message}])
        self._faults.append(
            Fault(times=times, method=method, path=path, status=status, headers=headers or {}, body=body)
        )

    def refuse_connections(self, *, times: int = 1, method: str | None = None, path: str = "") -> None:
        """Give the next matching requests no answer; a body is read in part."""
        error = RegistryUnavailableError("the connection failed: ConnectionResetError")
        self._faults.append(Fault(times=times, method=method, path=path, error=error))

    def lose_answers(self, *, times: int = 1, method: str | None = None, path: str = "") -> None:
        """Do what the next matching requests ask, but give no answer."""
        error = RegistryUnavailableError("the connection failed: ConnectionResetError")
        self._faults.append(Fault(times=times, method=method, path=path, status=0, error=error))

    def cut(self, after: int, *, times: int = 1, path: str = "/blobs/") -> None:
        """End the bodies of the next matching GET answers after so many bytes."""
        self._faults.append(Fault(times=times, method="GET", path=path, cut_after=after))

    def count(self, method: str, path: str = "") -> int:
        """Return how many matching requests arrived."""
        return sum(1 for call in self.calls if call.method == method and path in call.path)

    def send(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; see Transport."""
        parts = urlsplit(request.url)
        call = Call(
            method=request.method,
            host=parts.netloc,
            path=parts.path,
            query=parse_qs(parts.query),
            headers=dict(request.headers),
        )
        self.calls.append(call)
        fault = next((fault for fault in self._faults if fault.hits(call)), None)
        if fault is None:
            return _response(request, self._answer(request, call))
        fault.times -= 1
        return self._failed(request, call, fault)

    def _failed(self, request: HttpRequest, call: Call, fault: Fault) -> HttpResponse:
        if fault.error:
            if fault.status == 0:
                self._answer(request, call)
            elif request.body and not isinstance(request.body, bytes):
                next(iter(request.body))
            raise fault.error
        if fault.status:
            return _response(request, Answer(status=fault.status, headers=fault.headers, body=fault.body))
        return _response(request, self._answer(request, call), cut_after=fault.cut_after)

    def _answer(self, request: HttpRequest, call: Call) -> Answer:
        if call.host == TOKEN_HOST:
            return self._token(request, call)
        if call.host == BLOB_HOST:
            return self._blob_content(call, call.path.strip("/"), call.query["repository"][0])
        match = _PATH.fullmatch(call.path)
        if not match:
            return Answer(status=404, body=b"<html>not here</html>")
        challenge = self._challenge(call, match["repository"])
        if challenge:
            return _error(401, "UNAUTHORIZED", "authentication required", {"WWW-Authenticate": challenge})
        answer = getattr(self, f"_{call.method.lower()}_{match['kind'].replace('/', '_')}")(request, call, match)
        naming = {"Docker-Distribution-Api-Version": "registry/2.0"} if self.names_itself else {}
        return Answer(status=answer.status, headers={**naming, **answer.headers}, body=answer.body)

    def _challenge(self, call: Call, repository: str) -> str | None:
        sent = call.headers.get("Authorization", "")
        if self.scheme == "bearer":
            if sent.removeprefix("Bearer ") in self.valid_tokens:
                return None
            actions = {"GET": "pull", "HEAD": "pull", "DELETE": "delete"}
            scope = f"repository:{repository}:{actions.get(call.method, 'pull,push')}"
            return f'Bearer realm="{self.token_realm}",service="fake.example.com",scope="{scope}"'
        if self.credentials is None or sent == _basic(self.credentials):
            return None
        return 'Basic realm="fake"'

    def _token(self, request: HttpRequest, call: Call) -> Answer:
        form = parse_qsl(request.body.decode()) if isinstance(request.body, bytes) else []
        identity = dict(form).get("refresh_token")
        allowed = self.credentials is None or call.headers.get("Authorization") == _basic(self.credentials)
        if not (allowed or (self.credentials and identity == self.credentials.password)):
            return _error(401, "UNAUTHORIZED", "incorrect username or password")
        self.scopes_asked = call.query.get("scope", []) + [value for name, value in form if name == "scope"]
        token = f"token-{len(self.calls)}"
        self.valid_tokens.add(token)
        return Answer(status=200, body=_json(**{"access_token" if form else "token": token}))

    def _head_manifests(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        return self._get_manifests(request, call, match)

    def _get_manifests(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        repository, name = match["repository"], match["name"]
        found = self.manifests[repository].get(self._tags[repository].get(name, name))
        if not found:
            code = "MANIFEST_UNKNOWN" if self.manifests[repository] else "NAME_UNKNOWN"
            return _error(404, code, "unknown")
        media_type, content = found
        headers = {"Content-Type": media_type}
        if self.announces_digest:
            headers["Docker-Content-Digest"] = digest_of(content)
        return Answer(status=200, headers=headers, body=content)

    def _put_manifests(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        repository, name = match["repository"], match["name"]
        content = bytes(request.body) if isinstance(request.body, bytes) else b""
        document = json.loads(content)
        blobs = [document["config"], *document["layers"]] if "config" in document else []
        if any(blob["digest"] not in self.blobs[repository] for blob in blobs):
            return _error(400, "MANIFEST_BLOB_UNKNOWN", "blob unknown to registry")
        if self.immutable and name in self._tags[repository]:
            return _error(400, "TAG_INVALID", f"The image tag '{name}' already exists in the '{repository}' repository")
        digest = digest_of(content)
        self.manifests[repository][digest] = (request.headers["Content-Type"], content)
        if name != digest:
            self._tags[repository][name] = digest
        return Answer(status=201, headers={"Docker-Content-Digest": digest})

    def _delete_manifests(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        if not self.removes_tags:
            return _error(405, "UNSUPPORTED", "The operation is unsupported.")
        if match["name"] not in self._tags[match["repository"]]:
            return _error(404, "MANIFEST_UNKNOWN", "unknown")
        del self._tags[match["repository"]][match["name"]]
        return Answer(status=202)

    def _get_tags(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        repository = match["repository"]
        if repository not in self._tags:
            return _error(404, "NAME_UNKNOWN", "repository name not known to registry")
        limit, last = int(call.query["n"][0]), call.query.get("last", [""])[0]
        following = [tag for tag in sorted(self._tags[repository]) if tag > last]
        page = following[: min(limit, self.tags_a_page)]
        link = f'</v2/{repository}/tags/list?n={limit}&last={page[-1]}>; rel="next"' if page != following else ""
        return Answer(status=200, headers={"Link": link} if link else {}, body=_json(name=repository, tags=page))

    def _head_blobs(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        return self._get_blobs(request, call, match)

    def _get_blobs(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        repository, digest = match["repository"], match["name"]
        if self.redirects_blobs_to and call.method == "GET":
            location = f"{self.redirects_blobs_to}/{digest}?repository={repository}&signature=secret"
            return Answer(status=307, headers={"Location": location})
        return self._blob_content(call, digest, repository)

    def _blob_content(self, call: Call, digest: str, repository: str) -> Answer:
        content = self.blobs[repository].get(digest)
        if content is None:
            return _error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        asked = call.headers.get("Range")
        if not (asked and self.ranges):
            return Answer(status=200, body=content)
        start = int(asked.removeprefix("bytes=").removesuffix("-"))
        content_range = {"Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"}
        return Answer(status=206, headers=content_range, body=content[start:])

    def _post_blobs_uploads(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        repository = match["repository"]
        mounted = call.query.get("mount", [""])[0]
        source = self.blobs[call.query.get("from", [""])[0]]
        if self.mounts and mounted in source:
            self.blobs[repository][mounted] = source[mounted]
            return Answer(status=201)
        session = f"session-{len(self.calls)}"
        self.uploads[session] = repository
        location = self.upload_location.format(repository=repository, session=session)
        return Answer(status=202, headers={"Location": location} if location else {})

    def _put_blobs_uploads(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        if match["name"] not in self.uploads or "_state" not in call.query:
            return _error(404, "BLOB_UPLOAD_UNKNOWN", "upload unknown to registry")
        body = request.body or b""
        content = body if isinstance(body, bytes) else b"".join(body)
        digest = call.query["digest"][0]
        if digest_of(content) != digest:
            return _error(400, "DIGEST_INVALID", "provided digest did not match uploaded content")
        self.blobs[self.uploads.pop(match["name"])][digest] = content
        return Answer(status=201, headers={"Docker-Content-Digest": digest})

    def _delete_blobs_uploads(self, request: HttpRequest, call: Call, match: re.Match[str]) -> Answer:
        self.cancelled.append(match["name"])
        del self.uploads[match["name"]]
        return Answer(status=204)

    def _described(self, repository: str, content: bytes, media_type: str) -> dict[str, str | int]:
        return {"mediaType": media_type, "digest": self.put_blob(repository, content), "size": len(content)}


def _json(**document) -> bytes:
    return json.dumps(document).encode()


def _basic(credentials: RegistryCredentials) -> str:
    return f"Basic {base64.b64encode(f'{credentials.username}:{credentials.password}'.encode()).decode()}"


def _error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    return Answer(status=status, headers=headers or {}, body=_json(errors=[{"code": code, "message": message}]))


def _response(request: HttpRequest, answer: Answer, *, cut_after: int | None = None) -> HttpResponse:
    body = b"" if request.method == "HEAD" else answer.body[:cut_after]
    return HttpResponse(
        request=request,
        status=answer.status,
        headers={"Content-Length": str(len(answer.body)), **answer.headers},
        chunks=_pieces(body),
    )


def _pieces(body: bytes) -> Iterator[bytes]:
    for start in range(0, len(body), _PIECE):
        yield body[start : start + _PIECE]
