"""The image catalog, and the table of AWS calls → the parts of ``docs/reference`` that list them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from packaging.version import Version

from sagemaker_custom import catalog
from sagemaker_custom.aws.permissions import ACTIONS, DESCRIPTIONS, ROUTES, Place, Use, policy, trust_policy, uses_of
from sagemaker_custom.builders.codebuild_context import BUILDSPEC
from sagemaker_custom.catalog import BaseImage, Catalog, Recipe
from sagemaker_custom.catalog.images import release_of
from sagemaker_custom.catalog.recipes import Variant, build_of, python_of
from sagemaker_custom.plan import CodeArtifactRepository

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
BEGIN = "<!-- The rest of this page is written by tools/write_docs.py. -->"
RECIPE_FRAMEWORKS = ("pytorch", "tensorflow")
"""Whose images the tables of the recipes go through."""

_NOTHING = "–"
_NEWEST = 40
_SCOPES = ("training", "inference", "processing")


def main() -> None:
    """Write the tables of every page that has some."""
    known = catalog.load()
    written = {"images.md": image_tables(known), "extras.md": recipe_tables(known), "iam.md": iam_policies(known)}
    for name, tables in written.items():
        page = REFERENCE / name
        page.write_text(with_tables(page.read_text(encoding="utf-8"), tables), encoding="utf-8")


def with_tables(text: str, tables: str) -> str:
    """Return a page with everything after its marker replaced."""
    introduction, marker, _ = text.partition(BEGIN)
    if not marker:
        raise SystemExit(f"the page has no line {BEGIN!r}")
    return f"{introduction}{marker}\n\n{tables}"


def iam_policies(known: Catalog) -> str:
    """Return a section a route, with its policy where nothing is filled in, and what a build in CodeBuild runs."""
    del known
    index = CodeArtifactRepository(domain="DOMAIN", repository="INDEX", region="REGION")
    place = Place(leases="LEASE-BUCKET", secret="INDEX-SECRET", codeartifact=index, in_vpc=True, scans=True)  # noqa: S106 - a name
    sections = [
        f"## {route}\n\n{DESCRIPTIONS[route]}\n\n{_json(policy(route, place))}\n\n{_calls(uses_of(route, place))}"
        for route in ROUTES
    ]
    trust = f"## codebuild-trust\n\nWho may take the service role.\n\n{_json(trust_policy())}\n"
    buildspec = f"## buildspec\n\nWhat a build in CodeBuild runs, for every image.\n\n```text\n{BUILDSPEC}```\n"
    return "\n".join([*sections, trust, buildspec])


def _json(document: dict[str, Any]) -> str:
    return f"```json\n{json.dumps(document, indent=2)}\n```"


def _calls(uses: Iterable[Use]) -> str:
    operations = dict.fromkeys(use.operation for use in uses if ACTIONS[use.operation])
    rows = [[f"`{name}`", ", ".join(f"`{action}`" for action in ACTIONS[name])] for name in operations]
    return table(("call", "asks for"), rows)


def image_tables(known: Catalog) -> str:
    """Return a section a framework: what AWS publishes, newest version first, long lists in two parts."""
    names = sorted(known.frameworks)
    aliases = {name: [other for other, meant in known.framework_aliases.items() if meant == name] for name in names}
    contents = ", ".join(f"[{name}](#{name})" for name in names)
    sections = [_section(name, sorted(aliases[name]), known.frameworks[name].images) for name in names]
    return "\n".join([f"{contents}\n", *sections])


def _section(name: str, aliases: Sequence[str], images: Sequence[BaseImage]) -> str:
    groups = [list(group) for _, group in groupby(_newest_first(images), key=lambda image: image.release)]
    newest: list[tuple[str, ...]] = []
    while groups and (not newest or len(newest) < _NEWEST):
        newest += _image_rows(groups.pop(0))
    older = [row for group in groups for row in _image_rows(group)]
    also = f"Also known as {', '.join(f'`{alias}`' for alias in aliases)}.\n\n" if aliases else ""
    older_section = f"\n### Older versions of {name}\n\n{_image_table(older)}" if older else ""
    return f"## {name}\n\n{also}{_image_table(newest)}{older_section}"


def _newest_first(images: Iterable[BaseImage]) -> list[BaseImage]:
    """Sort so that what is taken when nothing more is said stands first; equals stay as the catalog prefers them."""
    sorts: tuple[tuple[Callable[[BaseImage], Any], bool], ...] = (
        (lambda image: release_of(image.sdk_version or "0"), True),
        (_python, True),
        (lambda image: release_of(image.base_framework_version or "0"), True),
        (lambda image: image.base_framework == "pytorch", True),
        (lambda image: (_SCOPES.index(image.image_scope), image.processor, image.architecture), False),
        (lambda image: image.release, True),
    )
    ordered = list(images)
    for key, reverse in sorts:
        ordered.sort(key=key, reverse=reverse)
    return ordered


def _python(image: BaseImage) -> Version:
    return release_of(python_of(image) or "0")


def _image_rows(images: Iterable[BaseImage]) -> list[tuple[str, ...]]:
    """Return a row for each image, whatever number of scopes and processors it is for."""
    uses: dict[tuple[str, str], list[BaseImage]] = {}
    for image in images:
        uses.setdefault((image.repository, image.tag), []).append(image)
    return [_image_row(group) for group in uses.values()]


def _image_row(images: Sequence[BaseImage]) -> tuple[str, ...]:
    image = images[-1]
    architecture = f" {image.architecture}" if image.architecture != "x86_64" else ""
    base = f"{image.base_framework} {image.base_framework_version or ''}".rstrip() if image.base_framework else _NOTHING
    return (
        image.version,
        base,
        ", ".join(dict.fromkeys(each.image_scope for each in images)),
        ", ".join(dict.fromkeys(each.processor for each in images)) + architecture,
        image.py_version or _NOTHING,
        image.accelerator or _NOTHING,
        f"`{image.repository}:{image.tag}`" + (" *" if image.origin else ""),
        image.layout or _NOTHING,
        image.end_of_patch or _NOTHING,
    )


def _image_table(rows: Sequence[tuple[str, ...]]) -> str:
    head = ("version", "on", "scope", "processor", "Python", "CUDA, SDK", "image", "layout", "patched until")
    # Columns in which nothing is known of any image only make a table wide.
    used = [number for number in range(len(head)) if any(row[number] != _NOTHING for row in rows)]
    return table([head[number] for number in used], ([row[number] for number in used] for row in rows))


def recipe_tables(known: Catalog) -> str:
    """Return one table a recipe: on which base images it installs what."""
    images = [
        image for name in RECIPE_FRAMEWORKS if name in known.frameworks for image in known.frameworks[name].images
    ]
    return "\n".join(
        f"### {name}\n\n{recipe.summary}. <{recipe.homepage}>\n\n{recipe_table(recipe, images)}{_reasons(recipe)}"
        for name, recipe in sorted(known.recipes.items())
    )


def recipe_table(recipe: Recipe, images: Iterable[BaseImage]) -> str:
    """Return a row for each run of base images on which a recipe installs the same."""
    runs: list[tuple[tuple[str, ...], list[BaseImage]]] = []
    for image in sorted(images, key=lambda image: (image.framework, -_python(image).minor, *_kind(image))):
        fitting = [variant for variant in recipe.variants if variant.when.matches(image)]
        row = (*_kind(image)[:3], _installed(fitting[:1]), _installed(fitting[1:]))
        if not runs or runs[-1][0] != row:
            runs.append((row, []))
        runs[-1][1].append(image)
    rows = [_recipe_row(row, group) for row, group in runs if row[-2:] != (_NOTHING, _NOTHING)]
    return table(("base", "Python", "build", "scopes", "installs", "when asked by version"), rows)


def _kind(image: BaseImage) -> tuple[str, str, str, Version]:
    build = build_of(image) + (f" {image.architecture}" if image.architecture != "x86_64" else "")
    return (image.framework, python_of(image) or _NOTHING, build, image.release)


def _recipe_row(row: tuple[str, ...], images: Sequence[BaseImage]) -> tuple[str, ...]:
    framework, python, build, *installed = row
    versions = [image.version for image in images]
    named = f"{versions[0]} to {versions[-1]}" if versions[0] != versions[-1] else versions[0]
    scopes = [scope for scope in _SCOPES if any(image.image_scope == scope for image in images)]
    return (f"{framework} {named}", python, build, ", ".join(scopes), *installed)


def _reasons(recipe: Recipe) -> str:
    reasons = dict.fromkeys(variant.unavailable for variant in recipe.variants if variant.unavailable)
    lines = "".join(f"- {reason}\n" for reason in reasons)
    return f"\nWhere there is nothing:\n\n{lines}" if lines else ""


def _installed(variants: Sequence[Variant]) -> str:
    return "; ".join(_named(variants)) or _NOTHING


def _named(variants: Iterable[Variant]) -> Iterator[str]:
    for variant in variants:
        if variant.preinstalled:
            yield "in the image already"
        elif not variant.unavailable:
            yield _one(variant)


def _one(variant: Variant) -> str:
    ways = [way for way, part in (("conda", variant.conda), ("pip", variant.pip), ("apt", variant.apt)) if part]
    # Sorted here, since releases of packaging differ in how they print a set of specifiers.
    versions = ",".join(sorted(map(str, variant.versions), reverse=True))
    others = f" (or `{versions}`)" if versions else ""
    return f"{variant.version or 'what the index has'}{others} by {' and '.join(ways)}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    main()
