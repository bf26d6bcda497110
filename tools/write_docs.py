"""The image catalog → the tables of ``docs/reference`` that list it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from sagemaker_custom import catalog
from sagemaker_custom.catalog import BaseImage, Catalog, Recipe
from sagemaker_custom.catalog.recipes import Variant, build_of, python_of

REFERENCE = Path(__file__).parent.parent / "docs" / "reference"
BEGIN = "<!-- The rest of this page is written by tools/write_docs.py. -->"
_NOTHING = "–"


def main() -> None:
    """Write the tables of every page that has some."""
    known = catalog.load()
    for name, tables in (("images.md", image_tables(known)), ("extras.md", recipe_tables(known))):
        page = REFERENCE / name
        page.write_text(with_tables(page.read_text(encoding="utf-8"), tables), encoding="utf-8")


def with_tables(text: str, tables: str) -> str:
    """Return a page with everything after its marker replaced."""
    introduction, marker, _ = text.partition(BEGIN)
    if not marker:
        raise SystemExit(f"the page has no line {BEGIN!r}")
    return f"{introduction}{marker}\n\n{tables}"


def image_tables(known: Catalog) -> str:
    """Return one table a framework: what AWS publishes, oldest version first."""
    sections = []
    for framework, images in sorted(known.frameworks.items()):
        rows = [
            (
                image.version,
                image.image_scope,
                image.processor,
                image.py_version,
                image.cuda_version or _NOTHING,
                f"`{image.repository}:{image.tag}`",
                image.layout,
                image.end_of_patch or _NOTHING,
            )
            for image in images
        ]
        head = ("version", "scope", "processor", "Python", "CUDA", "image", "layout", "patched until")
        sections.append(f"## {framework}\n\n{table(head, rows)}")
    return "\n".join(sections)


def recipe_tables(known: Catalog) -> str:
    """Return one table a recipe: on which base images it installs what."""
    images = [image for group in known.frameworks.values() for image in group]
    return "\n".join(
        f"### {name}\n\n{recipe.summary}. <{recipe.homepage}>\n\n{recipe_table(recipe, images)}"
        for name, recipe in sorted(known.recipes.items())
    )


def recipe_table(recipe: Recipe, images: Iterable[BaseImage]) -> str:
    """Return a row for each base image that differs in what a recipe looks at."""
    scopes: dict[tuple[str, ...], list[str]] = {}
    for image in images:
        fitting = [variant for variant in recipe.variants if variant.when.matches(image)]
        row = (
            f"{image.framework} {image.version}",
            python_of(image),
            build_of(image),
            _installed(fitting[:1]),
            _installed(fitting[1:]),
        )
        found = scopes.setdefault(row, [])
        if image.image_scope not in found:
            found.append(image.image_scope)
    rows = [(*row[:3], ", ".join(sorted(found, reverse=True)), *row[3:]) for row, found in scopes.items()]
    return table(("base", "Python", "build", "scopes", "installs", "when asked by version"), rows)


def _installed(variants: Sequence[Variant]) -> str:
    return "; ".join(_one(variant) for variant in variants) or _NOTHING


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
