"""Publications and a registry → the stand-ins in that registry, under the stock images' names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import requests
from docker.errors import DockerException

from sagemaker_custom.errors import RegistryUnavailableError
from sagemaker_custom.sandbox.stand_ins import RECIPE_LABEL, Recipe, StandIns

if TYPE_CHECKING:
    import docker

    from sagemaker_custom.progress import Progress
    from sagemaker_custom.sandbox.frameworks import Publication
    from sagemaker_custom.sandbox.registry import LocalRegistry
    from sagemaker_custom.settings import Settings

_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_TIMEOUT_S = 30
_AT_ONCE = 4


def publish(
    registry: LocalRegistry,
    publications: Iterable[Publication],
    *,
    engine_factory: Callable[[], docker.DockerClient],
    folder: Path,
    settings: Settings,
    progress: Progress,
) -> None:
    """Make and push those stand-ins that the registry does not have as their recipes are now.

    Args:
        registry: Where they go.
        publications: Which ones.
        engine_factory: Gives the Docker Engine; called only when something is missing.
        folder: Where downloads are kept.
        settings: For the CA bundle and the package indexes of the installations.
        progress: Told of each step.

    Raises:
        BuildError: A stand-in cannot be made.
        RegistryUnavailableError: It cannot be pushed.
    """
    missing = [
        item for item in publications if published_labels(registry, item).get(RECIPE_LABEL) != item.recipe.digest
    ]
    if not missing:
        return
    engine = engine_factory()

    def push(item: Publication) -> None:
        progress.step(f"pushing the stand-in {item.repository}:{item.tag}")
        _push(engine, stand_ins.ensure(item.recipe), f"{registry.address}/{item.repository}", item.tag)

    try:
        stand_ins = StandIns(engine, folder, settings, progress)
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            # Each waits for the network or for pip most of the time; all need what was just made.
            for recipes in _generations([item.recipe for item in missing], stand_ins):
                list(pool.map(stand_ins.ensure, recipes))
            list(pool.map(push, missing))
    finally:
        engine.close()


def _generations(recipes: Iterable[Recipe], stand_ins: StandIns) -> list[list[Recipe]]:
    """Return what the engine lacks for ``recipes``, each one once, and after what it is made from."""
    generations: list[list[Recipe]] = []
    for recipe in recipes:
        lacking: list[Recipe] = []
        step: Recipe | None = recipe
        while step and not stand_ins.find(step):
            lacking.insert(0, step)
            step = step.parent
        for depth, each in enumerate(lacking):
            generations += [[]] * (depth == len(generations))
            if each not in generations[depth]:
                generations[depth] = [*generations[depth], each]
    return generations


def published_labels(registry: LocalRegistry, item: Publication) -> dict[str, str]:
    """Return the labels of the image in the registry; none when it is not there."""
    with requests.Session() as session:
        session.trust_env = False
        address = f"{registry.url}/v2/{item.repository}"
        manifest = session.get(f"{address}/manifests/{item.tag}", headers={"Accept": _MANIFEST}, timeout=_TIMEOUT_S)
        if manifest.status_code == requests.codes.not_found:
            return {}
        manifest.raise_for_status()
        configuration = session.get(f"{address}/blobs/{manifest.json()['config']['digest']}", timeout=_TIMEOUT_S)
        configuration.raise_for_status()
        labels: dict[str, str] | None = configuration.json()["config"].get("Labels")
        return labels or {}


def _push(engine: docker.DockerClient, image: str, name: str, tag: str) -> None:
    try:
        engine.images.get(image).tag(name, tag)
        for line in engine.api.push(name, tag, stream=True, decode=True):
            if "error" in line:
                raise RegistryUnavailableError(f"{name}:{tag} cannot be pushed: {line['error']}")
        # The registry has another port the next time: the name would stay behind for nothing.
        engine.images.remove(f"{name}:{tag}", noprune=True)
    except DockerException as error:
        raise RegistryUnavailableError(f"{name}:{tag} cannot be pushed: {error}") from error
