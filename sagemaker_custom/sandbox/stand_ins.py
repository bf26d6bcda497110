"""Recipes in ``bases/`` → images of a Docker Engine that stand in for stock images; a label says that they do."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import DockerException, ImageNotFound

from sagemaker_custom.errors import BuildError
from sagemaker_custom.plan import STAND_IN_LABEL
from sagemaker_custom.sandbox.debian import ROOT_PACKAGES, SUITE, debian_root
from sagemaker_custom.sandbox.wheels import TORCH_VERSION, torch_wheel

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

    from sagemaker_custom.progress import Progress
    from sagemaker_custom.settings import Settings

RECIPE_LABEL = "sagemaker-custom.stand-in.recipe"
"""Digest of all that an image is made from."""
_PYTHON = "/opt/conda/bin/python"
_REPOSITORY = "sagemaker-custom-stand-in"
_WORK = "/tmp/stand-in"  # noqa: S108  # inside the container that is being built
_LAST_LINES = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """One image: what it is made from, and how it is configured."""

    name: str
    """Its script is ``bases/<name>.sh``."""
    about: str
    """What is in it, and what of that is not AWS's; the rest of "Not an image by AWS: "."""
    parent: Recipe | None = None
    """``None``: a Debian root."""
    has_torch: bool = False
    """Whether the script finds torch's wheel for CPUs in ``/tmp/stand-in``."""
    files: tuple[str, ...] = ()
    """Further files of ``bases/`` that the script finds in ``/tmp/stand-in``."""
    instructions: tuple[str, ...] = ()
    """Dockerfile instructions that configure the image."""

    @property
    def digest(self) -> str:
        """16 characters that change when anything changes that the image is made from."""
        parts = {
            "parent": self.parent.digest if self.parent else [SUITE, *ROOT_PACKAGES],
            "torch": TORCH_VERSION if self.has_torch else None,
            "files": [_resource(name).decode() for name in (f"{self.name}.sh", *self.files)],
            "instructions": self.instructions,
            "labels": self._about,
        }
        return _digest(parts)

    @property
    def labels(self) -> dict[str, str]:
        """What the image says about itself."""
        return {**self._about, RECIPE_LABEL: self.digest}

    @property
    def _about(self) -> dict[str, str]:
        return {
            STAND_IN_LABEL: "true",
            f"{STAND_IN_LABEL}.about": f"Not an image by AWS: {self.about}",
            f"{STAND_IN_LABEL}.python": _PYTHON,
        }


class StandIns:
    """Makes stand-ins in a Docker Engine; an engine that has one already is left alone."""

    def __init__(self, engine: docker.DockerClient, folder: Path, settings: Settings, progress: Progress) -> None:
        """Name what is worked with.

        Args:
            engine: Where images are made.
            folder: Where downloads are kept.
            settings: For the CA bundle and the package indexes that the installations use; neither stays in an image.
            progress: Told of each step and each line of output.
        """
        self._engine = engine
        self._folder = folder
        self._settings = settings
        self._progress = progress

    def ensure(self, recipe: Recipe) -> str:
        """Return the id of the image, made now or found.

        Raises:
            BuildError: It cannot be made; the message has the last lines of the output.
        """
        return self.find(recipe) or self._made(recipe)

    def find(self, recipe: Recipe) -> str | None:
        """Return the id of the engine's image of this recipe."""
        return self._tagged(f"{recipe.name}-{recipe.digest}")

    def _tagged(self, tag: str) -> str | None:
        # By name: images that are built on a stand-in inherit its labels.
        try:
            return str(self._engine.images.get(f"{_REPOSITORY}:{tag}").id)
        except ImageNotFound:
            return None

    def _made(self, recipe: Recipe) -> str:
        begun = time.monotonic()
        parent = self.ensure(recipe.parent) if recipe.parent else self._root()
        self._progress.step(f"making the stand-in {recipe.name}")
        try:
            with self._container(recipe, parent) as container:
                self._run(recipe, container)
                labels = [f"LABEL {name}={json.dumps(text)}" for name, text in recipe.labels.items()]
                changes = "\n".join([*recipe.instructions, *labels])
                made = container.commit(_REPOSITORY, f"{recipe.name}-{recipe.digest}", changes=changes)
        except DockerException as error:
            raise BuildError(f"the stand-in {recipe.name} cannot be made: {error}") from error
        self._progress.log(f"made the stand-in {recipe.name} in {time.monotonic() - begun:.0f} s")
        return str(made.id)

    def _root(self) -> str:
        """Return the id of a Debian root, made now or found."""
        tag = f"root-{_digest([SUITE, *ROOT_PACKAGES])}"
        found = self._tagged(tag)
        if found:
            return found
        self._progress.step("making a Debian root")
        with debian_root() as archive:
            said = self._engine.api.import_image_from_stream(archive, repository=_REPOSITORY, tag=tag)
        problems = [line["error"] for line in map(json.loads, said.splitlines()) if "error" in line]
        if problems:
            raise BuildError(f"the Docker Engine did not take the Debian root: {problems[0]}")
        return str(self._engine.images.get(f"{_REPOSITORY}:{tag}").id)

    @contextmanager
    def _container(self, recipe: Recipe, parent: str) -> Iterator[Container]:
        command = ["/bin/sh", "-c", f"PIP_CONFIG_FILE={_WORK}/pip.conf sh {_WORK}/{recipe.name}.sh && rm -r {_WORK}"]
        inherited = self._engine.images.get(parent).attrs["Config"].get("Entrypoint")
        # Only in the place of another: an image keeps the entry point of the container it is made from, and there is
        # no instruction that takes it away.
        entry, rest = (command[:1], command[1:]) if inherited else (None, command)
        container = self._engine.containers.create(parent, entrypoint=entry, command=rest)
        try:
            container.put_archive("/tmp", _archive(self._inputs(recipe)))  # noqa: S108  # in the container
            yield container
        finally:
            container.remove(force=True, v=True)

    def _inputs(self, recipe: Recipe) -> dict[str, bytes]:
        inputs = {name: _resource(name) for name in (f"{recipe.name}.sh", *recipe.files)}
        inputs["pip.conf"] = self._pip_configuration().encode()
        if self._settings.ca_bundle:
            inputs["ca.pem"] = Path(self._settings.ca_bundle).read_bytes()
        if recipe.has_torch:
            wheel = torch_wheel(self._folder / "wheels")
            inputs[wheel.name] = wheel.read_bytes()
        return inputs

    def _pip_configuration(self) -> str:
        """Return a file, not variables: an image keeps those of the container it is made from, passwords and all."""
        settings = self._settings
        lines = [
            "[global]",
            "no-cache-dir = true",
            "progress-bar = off",
            "disable-pip-version-check = true",
            "root-user-action = ignore",
        ]
        lines += [f"cert = {_WORK}/ca.pem"] if settings.ca_bundle else []
        lines += [f"index-url = {settings.pip_index_url}"] if settings.pip_index_url else []
        lines += [f"extra-index-url = {' '.join(settings.pip_extra_index_urls)}"] * bool(settings.pip_extra_index_urls)
        return "\n".join([*lines, ""])

    def _run(self, recipe: Recipe, container: Container) -> None:
        container.start()
        last: list[str] = []
        for line in _lines(container.logs(stream=True, follow=True)):
            self._progress.log(line)
            last = [*last[1 - _LAST_LINES :], line]
        code = container.wait()["StatusCode"]
        if code:
            said = "\n".join(last)
            raise BuildError(
                f"the stand-in {recipe.name} cannot be made: its script ended with {code}; the last lines:\n{said}",
                hint="the containers of the Docker Engine have to reach a package index; "
                "a company's CA is named by SAGEMAKER_CUSTOM_CA_BUNDLE",
            )


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _resource(name: str) -> bytes:
    return resources.files("sagemaker_custom.sandbox").joinpath("bases", name).read_bytes()


def _archive(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        folder = tarfile.TarInfo(Path(_WORK).name)
        folder.type, folder.mode = tarfile.DIRTYPE, 0o755
        archive.addfile(folder)
        for name, content in files.items():
            entry = tarfile.TarInfo(f"{folder.name}/{name}")
            entry.size, entry.mode = len(content), 0o644
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def _lines(chunks: Any) -> Iterator[str]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from (line.decode(errors="replace").rstrip() for line in whole)
    if rest:
        yield rest.decode(errors="replace").rstrip()
