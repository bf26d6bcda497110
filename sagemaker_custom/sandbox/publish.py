"""Recipes and a registry → the stand-ins in that registry, under the stock images' names."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from docker.errors import DockerException

from sagemaker_custom.errors import RegistryUnavailableError
from sagemaker_custom.sandbox.stand_ins import INFERENCE, PYTHON_TORCH, RECIPE_LABEL, TRAINING, Recipe, StandIns

if TYPE_CHECKING:
    import docker

    from sagemaker_custom.progress import Progress
    from sagemaker_custom.sandbox.registry import LocalRegistry
    from sagemaker_custom.settings import Settings

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_TIMEOUT_S = 30
TAG = "2.3.0-cpu-py311-ubuntu20.04-sagemaker"
"""That of the stock images which the stand-ins take the place of."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Publication:
    """A recipe, and the repository its image is found in."""

    recipe: Recipe
    repository: str


PUBLICATIONS = (
    Publication(recipe=TRAINING, repository="pytorch-training"),
    Publication(recipe=INFERENCE, repository="pytorch-inference"),
)


def publish(
    registry: LocalRegistry,
    *,
    engine_factory: Callable[[], docker.DockerClient],
    folder: Path,
    settings: Settings,
    progress: Progress,
) -> None:
    """Make and push those stand-ins that the registry does not have as their recipes are now.

    Args:
        registry: Where they go.
        engine_factory: Gives the Docker Engine; called only when something is missing.
        folder: Where downloads are kept.
        settings: For the CA bundle and the package indexes of the installations.
        progress: Told of each step.

    Raises:
        BuildError: A stand-in cannot be made.
        RegistryUnavailableError: It cannot be pushed.
    """
    missing = [
        item
        for item in PUBLICATIONS
        if published_labels(registry, item.repository).get(RECIPE_LABEL) != item.recipe.digest
    ]
    if not missing:
        return
    engine = engine_factory()
    try:
        stand_ins = StandIns(engine, folder, settings, progress)
        stand_ins.ensure(PYTHON_TORCH)
        # Each waits for the network or for pip most of the time; both need what was just made.
        with ThreadPoolExecutor(max_workers=len(missing)) as pool:
            images = list(pool.map(stand_ins.ensure, [item.recipe for item in missing]))
        for item, image in zip(missing, images, strict=True):
            progress.step(f"pushing the stand-in {item.repository}:{TAG}")
            _push(engine, image, f"{registry.address}/{item.repository}")
    finally:
        engine.close()


def published_labels(registry: LocalRegistry, repository: str) -> dict[str, str]:
    """Return the labels of the image in the registry; none when it is not there."""
    with requests.Session() as session:
        session.trust_env = False
        address = f"{registry.url}/v2/{repository}"
        manifest = session.get(f"{address}/manifests/{TAG}", headers={"Accept": _MANIFEST}, timeout=_TIMEOUT_S)
        if manifest.status_code == requests.codes.not_found:
            return {}
        manifest.raise_for_status()
        configuration = session.get(f"{address}/blobs/{manifest.json()['config']['digest']}", timeout=_TIMEOUT_S)
        configuration.raise_for_status()
        labels: dict[str, str] | None = configuration.json()["config"].get("Labels")
        return labels or {}


def _push(engine: docker.DockerClient, image: str, name: str) -> None:
    try:
        engine.images.get(image).tag(name, TAG)
        for line in engine.api.push(name, TAG, stream=True, decode=True):
            if "error" in line:
                raise RegistryUnavailableError(f"{name}:{TAG} cannot be pushed: {line['error']}")
        # The registry has another port the next time: the name would stay behind for nothing.
        engine.images.remove(f"{name}:{TAG}", noprune=True)
    except DockerException as error:
        raise RegistryUnavailableError(f"{name}:{TAG} cannot be pushed: {error}") from error
