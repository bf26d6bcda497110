"""The engine's own builder, spoken to by its API: for machines where no docker command has BuildKit."""

from __future__ import annotations

from sagemaker_custom.builders.engine import BuildContext, Engine, OnLine
from sagemaker_custom.builders.route import BuildRequest, FolderContext
from sagemaker_custom.dockerfile import CA_FILE
from sagemaker_custom.errors import BuildError
from sagemaker_custom.reference import Digest


class ClassicRoute:
    """Builds through the API of ``engine``; it has no secret mounts, so it takes no credentials."""

    name = "docker-classic"

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def build(self, request: BuildRequest, *, on_line: OnLine) -> Digest:
        """Build; see :meth:`BuildRoute.build`."""
        if request.folder:
            return self._engine.build(_context(request, request.folder), on_line=on_line)
        if request.netrc:
            raise BuildError(
                "the package index needs credentials, and without BuildKit they would stay in the image",
                hint="install BuildKit for the docker command (Debian and Ubuntu: 'sudo apt-get install "
                "docker-buildx-plugin' or 'docker-buildx'; elsewhere https://docs.docker.com/go/buildx/)",
            )
        files = {**request.files, "Dockerfile": request.dockerfile(False).encode()}
        if request.ca_bundle is not None:
            files[CA_FILE] = request.ca_bundle
        context = BuildContext(files=files, platform=request.platform, no_cache=request.no_cache)
        return self._engine.build(context, on_line=on_line)


def _context(request: BuildRequest, folder: FolderContext) -> BuildContext:
    """Return the user's folder as it is: a Dockerfile that mounts secrets needs BuildKit, and others ask for none."""
    files: dict[str, bytes] = {}
    if not folder.has_dockerfile:
        # The engine takes away what .dockerignore names once it has read the Dockerfile.
        path = folder.path / ".dockerignore"
        kept = path.read_bytes() + b"\n" if path.is_file() else b".dockerignore\n"
        files = {
            folder.dockerfile: request.dockerfile(False).encode(),
            ".dockerignore": kept + folder.dockerfile.encode() + b"\n",
        }
    return BuildContext(
        files=files,
        folder=folder.path,
        dockerfile=folder.dockerfile,
        build_args=folder.build_args,
        target=folder.target,
        platform=request.platform,
        no_cache=request.no_cache,
    )
