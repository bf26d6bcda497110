"""The docker commands of this machine → one that has BuildKit, and builds with secret mounts by it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sagemaker_custom.builders.classic import ClassicRoute
from sagemaker_custom.builders.commands import CommandRunner
from sagemaker_custom.builders.engine import Engine, OnLine
from sagemaker_custom.builders.failures import disk_full, is_disk_full
from sagemaker_custom.builders.log import shortened
from sagemaker_custom.builders.route import BuildRequest, BuildRoute, FolderContext
from sagemaker_custom.dockerfile import CA_SECRET, NETRC_SECRET
from sagemaker_custom.errors import BuildError
from sagemaker_custom.partial_files import TemporaryFolder
from sagemaker_custom.reference import Digest, parse_digest

_VERSION = re.compile(r"Docker version (\d+)\.(\d+)")
_NUMBERS = re.compile(r"(\d+)\.(\d+)")
# Secret mounts without a '# syntax' line, which would have to be pulled from Docker Hub.
_FIRST_ENGINE = (20, 10)
_FIRST_CLI = (18, 9)
_BUILDX_APART = (23, 0)
_SECRET_LIMIT = 500 * 1024
_PRIVATE = 0o600
_LAST_ERROR = re.compile(r"^(?:#\d+ )?ERROR:? |^error: |^failed to ")


@dataclass(frozen=True, kw_only=True, slots=True)
class BuildKitCommand:
    """A docker command that has BuildKit."""

    program: str
    """Its path."""
    has_buildx: bool
    """Whether it builds by the buildx plugin, which would add attestations if it were let."""


def docker_commands(search_path: str) -> tuple[str, ...]:
    """Return every ``docker`` on a ``PATH``, in its order: the first one need not be the one with BuildKit."""
    files = (Path(folder or ".", "docker") for folder in search_path.split(":"))
    return tuple(dict.fromkeys(str(file.resolve()) for file in files if file.is_file()))


def find_buildkit(
    programs: Iterable[str], *, runner: CommandRunner, environment: Mapping[str, str]
) -> BuildKitCommand | None:
    """Return the first of ``programs`` that has BuildKit.

    Args:
        programs: Paths of docker commands.
        runner: Runs them.
        environment: Of the commands.
    """
    for program in programs:
        version = _client_version(program, runner, environment)
        if version is None or version < _FIRST_CLI:
            continue
        if version < _BUILDX_APART:
            return BuildKitCommand(program=program, has_buildx=False)
        if _output([program, "buildx", "version"], runner, environment) is not None:
            return BuildKitCommand(program=program, has_buildx=True)
    return None


def choose_route(
    engine: Engine, *, programs: Iterable[str], runner: CommandRunner, environment: Mapping[str, str]
) -> BuildRoute:
    """Return the best route there is: BuildKit where a docker command and the engine have it.

    Raises:
        EngineUnavailableError: The engine does not answer.
    """
    numbers = _NUMBERS.match(engine.version())
    if numbers and (int(numbers[1]), int(numbers[2])) >= _FIRST_ENGINE:
        command = find_buildkit(programs, runner=runner, environment=environment)
        if command:
            return BuildKitRoute(engine, command, runner=runner, environment=environment)
    return ClassicRoute(engine)


def _client_version(program: str, runner: CommandRunner, environment: Mapping[str, str]) -> tuple[int, int] | None:
    match = _VERSION.search(_output([program, "--version"], runner, environment) or "")
    return (int(match[1]), int(match[2])) if match else None


def _output(command: Sequence[str], runner: CommandRunner, environment: Mapping[str, str]) -> str | None:
    lines: list[str] = []
    try:
        exit_code = runner.run(command, environment=environment, on_line=lines.append)
    except OSError:
        return None
    return "\n".join(lines) if exit_code == 0 else None


class BuildKitRoute:
    """Builds with a docker command.

    Args:
        engine: That the command is sent to, whatever docker context is current.
        command: One that has BuildKit.
        runner: Runs it.
        environment: Of the command.
    """

    name = "docker-buildkit"

    def __init__(
        self, engine: Engine, command: BuildKitCommand, *, runner: CommandRunner, environment: Mapping[str, str]
    ) -> None:
        self._engine = engine
        self._command = command
        self._runner = runner
        self._environment = environment

    def build(self, request: BuildRequest, *, on_line: OnLine) -> Digest:
        """Build; see :meth:`BuildRoute.build`."""
        if request.ca_bundle is not None and len(request.ca_bundle) > _SECRET_LIMIT:
            raise BuildError(
                f"the CA bundle has {len(request.ca_bundle)} bytes; BuildKit takes {_SECRET_LIMIT}",
                hint="name a smaller PEM file in the setting ca_bundle: the authorities that the build needs",
            )
        with TemporaryFolder() as name:
            return self._built(Path(name), request, on_line)

    def _built(self, folder: Path, request: BuildRequest, on_line: OnLine) -> Digest:
        (folder / "Dockerfile").write_text(request.dockerfile(True), encoding="utf-8")
        # What is ignored is not in the context any more; this file keeps BuildKit from asking the context's own.
        (folder / "Dockerfile.dockerignore").write_text("# nothing\n", encoding="utf-8")
        (folder / "context").mkdir()
        for name, content in request.files.items():
            (folder / "context" / name).write_bytes(content)
        arguments = self._arguments(folder, request, _write_secrets(folder, request))
        watch = _Watch(on_line)
        try:
            exit_code = self._runner.run(arguments, environment=self._command_environment(), on_line=watch.line)
        except OSError as error:
            raise BuildError(f"{self._command.program} cannot be run: {error.strerror}") from error
        if exit_code:
            raise self._failure(exit_code, watch)
        return parse_digest((folder / "image-id").read_text(encoding="utf-8").strip())

    def _arguments(self, folder: Path, request: BuildRequest, secrets: Sequence[str]) -> list[str]:
        flags = ["--no-cache"] if request.no_cache else []
        if self._command.has_buildx:
            # SageMaker hosting refuses the index that attestations need.
            flags += ["--provenance=false", "--sbom=false", "--load"]
        return [
            self._command.program,
            "build",
            "--progress=plain",
            f"--platform={request.platform}",
            f"--iidfile={folder / 'image-id'}",
            f"--file={folder / 'Dockerfile'}",
            *(f"--secret={secret}" for secret in secrets),
            *flags,
            *_folder_flags(request.folder),
            str(request.folder.path if request.folder else folder / "context"),
        ]

    def _command_environment(self) -> dict[str, str]:
        # Another builder or context would build where the base image is not, and leave the result there.
        others = {"DOCKER_CONTEXT", "BUILDKIT_PROGRESS"}
        inherited = {name: value for name, value in self._environment.items() if name not in others}
        return inherited | {"DOCKER_HOST": self._engine.address, "DOCKER_BUILDKIT": "1", "BUILDX_BUILDER": "default"}

    def _failure(self, exit_code: int, watch: _Watch) -> BuildError:
        if watch.disk_is_full:
            return disk_full("building", f"the engine at {self._engine.address}")
        said = f": {watch.error}" if watch.error else ""
        return BuildError(f"'docker build' ended with exit code {exit_code}{said}")


def _folder_flags(folder: FolderContext | None) -> Sequence[str]:
    if folder is None:
        return ()
    stage = [f"--target={folder.target}"] if folder.target else []
    return (*(f"--build-arg={name}={value}" for name, value in folder.build_args), *stage)


class _Watch:
    """Remembers of the passing lines what an error has to say."""

    def __init__(self, on_line: OnLine) -> None:
        self._on_line = on_line
        self.error = ""
        self.disk_is_full = False

    def line(self, text: str) -> None:
        self.disk_is_full = self.disk_is_full or is_disk_full(text)
        if _LAST_ERROR.match(text):
            self.error = shortened(text)
        self._on_line(text)


def _write_secrets(folder: Path, request: BuildRequest) -> tuple[str, ...]:
    contents = {CA_SECRET: request.ca_bundle, NETRC_SECRET: request.netrc.encode()}
    given = {name: content for name, content in contents.items() if content}
    for name, content in given.items():
        # Created private, rather than made so once the secret is in it.
        (folder / name).touch(mode=_PRIVATE)
        (folder / name).write_bytes(content)
    return tuple(f"id={name},src={folder / name}" for name in given)
