"""What the documentation says is held against the code, the catalog and itself."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import textwrap
from dataclasses import MISSING, fields
from functools import cache
from itertools import chain
from pathlib import Path

import click
import pytest
import yaml
from click.testing import CliRunner

import sagemaker_custom
from sagemaker_custom import catalog, errors
from sagemaker_custom.catalog.documents import (
    PLACEHOLDERS,
    ConditionDocument,
    PipDocument,
    RecipeDocument,
    VariantDocument,
    read_recipe,
)
from sagemaker_custom.catalog.named_images import read_named_image
from sagemaker_custom.cli import cli
from sagemaker_custom.ignore import DEFAULT_IGNORES
from sagemaker_custom.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
_FIRST = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", ROOT / "image_catalog/README.md")
PAGES = sorted([*_FIRST, *DOCS.rglob("*.md")])
SOURCES = sorted(
    path
    for folder in ("sagemaker_custom", "image_catalog", "tests", "tools", "examples", "benchmarks")
    for path in (ROOT / folder).rglob("*")
    if path.suffix in {".py", ".yaml", ".md"} and path != Path(__file__)
)
LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s]*)\)")
FENCE = re.compile(r"^( *)```([a-z]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name_of(page):
    return str(page.relative_to(ROOT))


def read(name):
    return (DOCS / name).read_text(encoding="utf-8")


def prose(text):
    return FENCE.sub("", text)


@cache
def anchors(page):
    headings = re.findall(r"^#+ (.+)$", prose(page.read_text(encoding="utf-8")), re.MULTILINE)
    kept = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {heading.strip().replace(" ", "-") for heading in kept}


def blocks(language):
    """Every fenced block of a language, as a test parameter named by page and line."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for found in FENCE.finditer(text):
            if found[2] == language:
                line = text[: found.start()].count("\n") + 1
                yield pytest.param(textwrap.dedent(found[3]), id=f"{name_of(page)}:{line}")


def table_rows(text):
    """First cell, without its backquotes, → the others."""
    lines = [line for line in text.splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return {row[0].strip("`"): row[1:] for row in cells}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page):
    wrong = []
    for link in LINK.findall(prose(page.read_text(encoding="utf-8"))):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    assert not wrong


def test_every_page_is_linked():
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in PAGES
        for link in LINK.findall(prose(page.read_text(encoding="utf-8")))
    }
    fragments = set((DOCS / "changes").glob("*.*.md"))
    assert {name_of(page) for page in PAGES if page not in linked | fragments} == {"README.md"}


@pytest.mark.parametrize("code", blocks("python"))
def test_python_examples_compile(code):
    assert compile(code, "example", "exec")


def scripts(document):
    """Every text below the keys of YAML that hold shell commands."""
    if isinstance(document, dict):
        for key, value in document.items():
            if key in {"run", "commands"}:
                yield from [value] if isinstance(value, str) else value
            else:
                yield from scripts(value)
    elif isinstance(document, list):
        for item in document:
            yield from scripts(item)


def check_pipeline(document):
    """Check the commands of a workflow, a buildspec or a CloudFormation template, and what they refer to."""
    for script in scripts(document):
        for command in re.findall(r"sagemaker-custom [^;\n]+", script):
            assert_understood(re.sub(r"\$\{\{.*?\}\}", "REVISION", command))
    if "jobs" in document:
        steps = [step for job in document["jobs"].values() for step in job["steps"]]
        assert all(("uses" in step) != ("run" in step) for step in steps)
        (checkout,) = (step for step in steps if step.get("uses", "").startswith("actions/checkout@"))
        needs_past = any("--changed-since" in step.get("run", "") for step in steps)
        assert not needs_past or checkout["with"]["fetch-depth"] == 0
        assert document["permissions"]["id-token"] == "write"
    for resource in document.get("Resources", {}).values():
        assert re.fullmatch(r"AWS::\w+::\w+", resource["Type"])
        assert resource["Properties"]


@pytest.mark.parametrize("text", blocks("yaml"))
def test_yaml_examples_are_recipes_named_images_settings_or_pipelines(text, tmp_path):
    document = yaml.safe_load(text)
    if document.keys() & {"jobs", "phases", "Resources"}:
        check_pipeline(document)
        return
    if "versions" in document:
        assert read_named_image(document, "example").specs()
        return
    if "variants" in document:
        assert read_recipe(document, "example").name == document["name"]
        return
    file = tmp_path / "config.yaml"
    file.write_text(text)
    assert set(document) <= {item.name for item in fields(Settings)}
    assert Settings.load(env={}, file=file)


def default_text(item):
    if item.default is MISSING:
        return "the system's cache folder"
    if item.default is None or item.default == ():
        return "none"
    if isinstance(item.default, bool):
        return f"`{str(item.default).lower()}`"
    return f"`{item.default:g}`" if isinstance(item.default, float | int) else f"`{item.default}`"


def test_settings_page_has_every_setting_with_its_default():
    rows = table_rows(read("reference/settings.md"))
    assert {name: cells[0] for name, cells in rows.items()} == {
        item.name: default_text(item) for item in fields(Settings)
    }


def test_errors_page_has_every_error_with_its_parents_and_exit_code():
    known = {
        name: item
        for name, item in vars(errors).items()
        if isinstance(item, type) and issubclass(item, errors.SageMakerCustomError)
    }
    expected = {
        name: [", ".join(f"`{parent.__name__}`" for parent in item.__bases__), str(item.exit_code)]
        for name, item in known.items()
    }
    assert {name: cells[:2] for name, cells in table_rows(read("reference/errors.md")).items()} == expected


@pytest.mark.parametrize("name", sagemaker_custom.__all__)
def test_public_name_is_documented(name):
    assert f"`{name}`" in read("index.md")


def commands(group=cli, path=()):
    """Every command, under the words that call it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


KNOWN_COMMANDS = dict(commands())


@pytest.mark.parametrize("command", sorted(KNOWN_COMMANDS))
def test_command_line_page_has_every_option(command):
    page = read("reference/command-line.md")
    assert f"`sagemaker-custom {command} " in page
    options = {name for parameter in KNOWN_COMMANDS[command].params for name in parameter.opts if name.startswith("--")}
    assert options <= set(re.findall(r"`(--[a-z-]+)`", page))


COMMANDS = sorted(
    {
        line
        for block in blocks("sh")
        for line in block.values[0].replace("\\\n", "").splitlines()
        if line.startswith("sagemaker-custom ")
    }
)


@pytest.mark.parametrize("command", COMMANDS)
def test_command_is_understood(command):
    assert_understood(command)


def assert_understood(command):
    _, *words = shlex.split(command)
    length = 1 if words[0] in KNOWN_COMMANDS else 2
    name = " ".join(words[:length])
    assert KNOWN_COMMANDS[name].make_context(name, words[length:]).params


@cache
def printed_by(command):
    answer = CliRunner().invoke(cli, shlex.split(command)[1:])
    if isinstance(answer.exception, errors.SageMakerCustomError):
        return f"error: {answer.exception}\n"
    return answer.stdout


@pytest.mark.parametrize("text", blocks("text"))
def test_output_is_what_a_command_on_the_pages_prints(text):
    if re.match(r"(error|image): \S", text):
        assert text in {printed_by(command) for command in COMMANDS if command.startswith("sagemaker-custom plan ")}


def templates():
    """Every text in the code, with … for each value in it."""
    for path in (ROOT / "sagemaker_custom").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(item.value if isinstance(item, ast.Constant) else "…" for item in node.values)


def as_pattern(text):
    return re.escape(text).replace("…", ".*")


def test_errors_to_fix_are_errors_of_the_code():
    headings = re.findall(r"^## (.*“.*)$", read("how-to/fix-common-errors.md"), re.MULTILINE)
    known = {text for text in templates() if len(text.replace("…", "").strip()) > 10}
    titles = [title for heading in headings for title in re.findall("“(.+?)”", heading)]
    assert titles
    assert [
        title
        for title in titles
        if not any(re.search(as_pattern(title), text) or re.fullmatch(as_pattern(text), title) for text in known)
    ] == []


def test_recipe_format_page_has_every_key_and_placeholder():
    rows = set(table_rows(read("reference/recipe-format.md")))
    models = (RecipeDocument, VariantDocument, ConditionDocument, PipDocument)
    keys = set(chain.from_iterable(model.model_fields for model in models))
    assert rows == keys | {f"{{{name}}}" for name in PLACEHOLDERS}


def test_packaging_page_names_every_default_ignore():
    page = read("reference/packaging-source.md")
    assert {name for name in DEFAULT_IGNORES if f"`{name}`" not in page} == set()


@pytest.mark.parametrize("name", sorted(catalog.load().recipes))
def test_recipe_is_in_the_extras_page(name):
    assert f"\n### {name}\n" in read("reference/extras.md")


def written_docs():
    specification = importlib.util.spec_from_file_location("write_docs", ROOT / "tools/write_docs.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("page", "tables"), [("images.md", "image_tables"), ("extras.md", "recipe_tables"), ("iam.md", "iam_policies")]
)
def test_tables_are_those_of_the_catalog(page, tables):
    writer = written_docs()
    text = read(f"reference/{page}")
    assert text == writer.with_tables(text, getattr(writer, tables)(catalog.load())), "run tools/write_docs.py"


def test_decisions_that_the_code_names_exist():
    named = {
        number for path in [*SOURCES, *PAGES] for number in re.findall(r"ADR (\d{4})", path.read_text(encoding="utf-8"))
    }
    assert named
    assert named <= {path.name[:4] for path in (DOCS / "adr").glob("[0-9]*.md")}


def test_pages_that_the_code_names_exist():
    named = {
        name
        for path in SOURCES
        if path.suffix == ".py"
        for name in re.findall(r"docs/(?:how-to|reference|explanation|tutorial)/[\w-]+\.md", path.read_text("utf-8"))
    }
    assert {"docs/explanation/catalog.md", "docs/reference/settings.md"} <= named
    assert {name for name in named if not (ROOT / name).is_file()} == set()


def test_decisions_are_numbered_without_gaps_and_listed():
    files = sorted((DOCS / "adr").glob("[0-9]*.md"))
    assert [path.name[:4] for path in files] == [f"{number:04}" for number in range(1, len(files) + 1)]
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", read("adr/README.md"))
    assert listed == [path.name for path in files]
    for path in files:
        assert path.read_text(encoding="utf-8").startswith(f"# {path.name[:4]}. ")


def test_make_targets_that_the_docs_name_exist():
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target
        for page in PAGES
        for target in re.findall(r"(?:`|^)make ([a-z0-9-]+)", page.read_text("utf-8"), re.MULTILINE)
    }
    assert {"demo", "test"} <= named <= targets


def test_change_fragments_have_an_issue_and_a_type():
    types = set(table_rows(read("changes/README.md")))
    names = [path.name for path in (DOCS / "changes").iterdir() if path.name != "README.md"]
    assert [name for name in names if not re.fullmatch(rf"\d+\.({'|'.join(types)})(\.\d+)?\.md", name)] == []


def parameters(path, function, owner=None):
    """Names of a function's parameters, read off the source: the SDK need not be imported for it."""
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    if owner:
        body = next(item for item in body if isinstance(item, ast.ClassDef) and item.name == owner).body
    arguments = next(item for item in body if isinstance(item, ast.FunctionDef) and item.name == function).args
    return {item.arg for item in [*arguments.args, *arguments.kwonlyargs]} - {"self"}


def test_image_uris_page_has_every_argument():
    assert set(table_rows(read("reference/image-uris.md"))) == parameters("sagemaker_custom/image_uris.py", "retrieve")


def test_estimator_page_shows_the_signature():
    page = read("reference/estimator.md")
    code = next(found[3] for found in FENCE.finditer(page) if found[3].startswith("CustomPyTorch("))
    (call,) = [node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    signature = parameters("sagemaker_custom/sdk_v2/estimator.py", "__init__", "ExtendedEstimator")
    assert {keyword.arg for keyword in call.keywords} == signature


def test_labels_page_has_every_label_that_is_put_on_an_image():
    source = "".join(path.read_text("utf-8") for path in (ROOT / "sagemaker_custom").rglob("*.py"))
    put = re.findall(r'(?:LABEL_PREFIX \+ "|\{LABEL_PREFIX\})([a-z-]+)"', source)
    assert {"fingerprint", "lock"} <= set(put)
    assert {name for name in put if f"`sagemaker-custom.{name}`" not in read("reference/labels-and-tags.md")} == set()
