"""Every image that the SDK's ``image_uris.retrieve`` resolves: ours gives the same registry, repository and tag."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from itertools import count
from pathlib import Path

import pytest

from sagemaker_custom import image_uris
from sagemaker_custom.bases import find_base, with_defaults
from sagemaker_custom.catalog import BaseImage, Catalog, load
from sagemaker_custom.errors import ImageNotInCatalogError, SageMakerCustomError
from sagemaker_custom.installed_sdk import adapter
from sagemaker_custom.reference import ImageReference
from sagemaker_custom.settings import Settings
from sagemaker_custom.spec import ImageSpec
from sagemaker_custom.wiring import Parts

IS_V2 = adapter().endswith("v2")
sdk_image_uris = import_module(f"sagemaker.{'' if IS_V2 else 'core.'}image_uris")
CONFIGS = Path(sdk_image_uris.__file__).parent / "image_uri_config"
NO_IMAGES = {"instance_gpu_info"}
NEVER_RETRIEVED = {"sagemaker-base-python"}
"""Of these the SDK makes URIs by a function of its own."""
REFUSED: set[str] = set()
"""What the SDK's function cannot resolve, although it has a configuration for it."""
INSTANCES = {
    "cpu": "ml.m5.xlarge",
    "gpu": "ml.g5.xlarge",
    "inf": "ml.inf1.xlarge",
    "inf2": "ml.inf2.xlarge",
    "trn": "ml.trn1.2xlarge",
}
GRAVITON = "ml.c7g.xlarge"
# The classes of the SDK name no other scope, because nothing else has those.
SCOPES = {"eia": "inference", "inference_graviton": "inference"} | {
    scope: scope for scope in ("training", "inference", "processing")
}


@dataclass(frozen=True, kw_only=True)
class Question:
    """One call of the SDK's function, and what its configuration says of it."""

    config: str
    scope: str
    version: str
    """As asked: a full version, or an alias."""
    full_version: str
    base: str | None
    """As asked, for example ``pytorch1.13``."""
    full_base: str | None
    py_version: str | None
    processor: str | None
    repository: str
    registries: tuple[tuple[str, str], ...]

    def arguments(self, region: str) -> dict[str, object]:
        """Return the arguments for both functions, as the SDK's own classes give them."""
        framework, tool = self.config, None
        if self.config == "pytorch-neuron":
            framework = "pytorch"
        elif self.config in ("huggingface-neuron", "huggingface-neuronx"):
            framework, _, tool = self.config.rpartition("-")
        elif self.config.endswith("-neuronx") and self.processor == "inf2":
            tool = "neuronx"
        compiled = self.config.endswith("-training-compiler")
        return {
            "framework": framework.removesuffix("-training-compiler") if compiled else framework,
            "region": region,
            "version": self.version or None,
            "py_version": self.py_version,
            "instance_type": GRAVITON if self.scope == "inference_graviton" else INSTANCES.get(self.processor or ""),
            "accelerator_type": "ml.eia1.medium" if self.scope == "eia" else None,
            "image_scope": SCOPES.get(self.scope),
            "base_framework_version": self.base,
            "training_compiler_config": object() if compiled else None,
            "inference_tool": tool,
        }


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What both functions say."""

    question: Question
    region: str
    sdk: str
    ours: str
    """An URI, or the error that we raise."""

    def __str__(self) -> str:
        q = self.question
        words = [q.config, q.scope, q.version, q.base, q.py_version, q.processor, self.region]
        return f"{' '.join(filter(None, words))}: SDK {self.sdk.partition('/')[2]}, ours {self.ours.splitlines()[0]}"


def questions() -> Iterator[Question]:
    """Read the SDK's whole configuration."""
    for path in sorted(CONFIGS.glob("*.json")):
        if path.stem not in NO_IMAGES:
            document = json.loads(path.read_text("utf-8"))
            scopes = dict.fromkeys(document.get("scope", ())) if "versions" in document else document
            for scope in scopes:
                yield from of_scope(path.stem, scope, document if "versions" in document else document[scope])


def chosen() -> Iterator[Question]:
    """Give every question about a full version, and one about every alias: the SDK takes its time to answer."""
    aliases: dict[tuple[str, ...], list[Question]] = {}
    for question in questions():
        if (question.version, question.base) == (question.full_version, question.full_base):
            yield question
        else:
            alias = (question.config, question.scope, question.version, question.base or "")
            aliases.setdefault(alias, []).append(question)
    yield from (same[turn % len(same)] for turn, same in enumerate(aliases.values()))


def of_scope(config: str, scope: str, group: dict) -> Iterator[Question]:
    aliases = {full: [full] for full in group["versions"]}
    for short, full in group.get("version_aliases", {}).items():
        aliases[full].append(short)
    for full, node in group["versions"].items():
        bases = {key: [key] for key in node if key.startswith(("pytorch", "tensorflow"))}
        for short, base in node.get("version_aliases", {}).items():
            bases[base].append(short)
        for version in aliases[full]:
            for base, asked_bases in bases.items() or [(None, [None])]:
                for asked in asked_bases:
                    for py_version, leaf in leaves(node[base] if base else node):
                        for processor in group.get("processors") or leaf.get("processors") or [None]:
                            yield Question(
                                config=config,
                                scope=scope,
                                version=version,
                                full_version=full,
                                base=asked,
                                full_base=base,
                                py_version=py_version,
                                processor=processor,
                                repository=leaf["repository"],
                                registries=tuple(leaf["registries"].items()),
                            )


def leaves(node: dict) -> Iterator[tuple[str | None, dict]]:
    if "registries" in node:
        yield from ((py_version, node) for py_version in node.get("py_versions") or [None])
    else:
        yield from node.items()


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Where ours is another image, and why that is right."""

    config: str
    versions: tuple[str, ...]
    """As asked."""
    scopes: tuple[str, ...] = ("training", "inference")
    base: str = ""
    """How the base framework begins."""
    reason: str
    only_v3: bool = False
    """Whether the SDK v2 has nothing of it."""

    def applies(self, question: Question) -> bool:
        """Whether it is about this question."""
        return (
            question.config == self.config
            and question.version in self.versions
            and question.scope in self.scopes
            and (question.full_base or "").startswith(self.base)
        )


NEWER = "a short version means the newest release with it; AWS has one that is newer than what this SDK knows"
LISTED = "AWS's list of images has this tag, and says how long it is patched; it has not the SDK's"
ON_EITHER = (
    Difference(
        config="pytorch",
        versions=("1.9",),
        reason="1.9 is 1.9.0 in the walk-throughs that teams follow; the tag that the SDK names has moved to 1.9.1",
    ),
    Difference(config="pytorch", versions=("1.5",), reason=NEWER),
    Difference(config="tensorflow", versions=("2.5", "2.7", "2.8", "2.9", "2.11"), scopes=("training",), reason=NEWER),
    Difference(config="tensorflow", versions=("2.7",), scopes=("inference",), reason=NEWER),
    Difference(config="huggingface-vllm-neuronx", versions=("0.4",), reason=NEWER),
    Difference(config="djl-lmi", versions=("0.36.0",), reason="AWS has made lmi28 of it since; the SDK knows lmi27"),
    Difference(
        config="huggingface",
        versions=("4.10", "4.10.2"),
        scopes=("training",),
        base="pytorch1.8.1",
        reason="the SDK says cu110; AWS's list of images says cu111",
    ),
    Difference(
        config="xgboost", versions=("latest",), reason="the alias stands for version 1, whose tag does not move"
    ),
    Difference(
        config="llama-cpp-arm64",
        versions=("1", "1.0", "1.0.0", "1.0.1", "latest"),
        reason="the instance types that are asked with are of x86_64, where an image for arm64 does not run",
        only_v3=True,
    ),
    Difference(config="sklearn", versions=("1.4-2-py312",), reason=LISTED, only_v3=True),
    Difference(config="sglang", versions=("0.5",), reason=LISTED, only_v3=True),
    Difference(config="huggingface-sglang", versions=("0.5",), reason=LISTED, only_v3=True),
    Difference(config="huggingface-vllm", versions=("0.14",), reason=LISTED, only_v3=True),
)
DIFFERENCES = tuple(known for known in ON_EITHER if not (IS_V2 and known.only_v3))
UNREACHED = set() if IS_V2 else {"sa-west-1"}
"""No region of AWS; one image of the SDK v3 names it among two dozen others."""


@pytest.fixture(scope="module")
def answers() -> list[Answer]:
    """Ask both, each question in one region; every region has its turn."""
    turns, found = count(), []
    # Otherwise half of the time goes into collecting what the SDK reads anew for every answer.
    gc.disable()
    try:
        for question in chosen():
            regions = sorted(region for region, _ in question.registries)
            found.append(ask(question, regions[next(turns) % len(regions)]))
    finally:
        gc.enable()
    return [answer for answer in found if answer]


def ask(question: Question, region: str) -> Answer | None:
    """Return what both say; ``None`` when the SDK refuses what its own configuration has."""
    arguments = question.arguments(region)
    try:
        sdk = sdk_image_uris.retrieve(**arguments)
    except (ValueError, KeyError):
        return None
    try:
        ours = image_uris.retrieve(**arguments)
    except SageMakerCustomError as error:
        ours = str(error)
    return Answer(question=question, region=region, sdk=sdk, ours=ours)


def is_same(answer: Answer) -> bool:
    """Whether ours is the same registry and repository, and a tag that says all that the SDK's does."""
    if answer.ours == answer.sdk:
        return True
    try:
        ours = ImageReference.parse(answer.ours)
    except SageMakerCustomError:
        return False
    theirs = ImageReference.parse(answer.sdk)
    return ours.name == theirs.name and says_all(ours.tag or "", theirs.tag or "latest", answer.question)


def says_all(ours: str, theirs: str, question: Question) -> bool:
    """Whether the words of one tag are all in the other, in order; an alias counts as what it stands for."""
    words = iter(ours.split("-"))
    return all(any(is_word(word, full(wanted, question)) for word in words) for wanted in theirs.split("-"))


def is_word(word: str, wanted: str) -> bool:
    is_any_minor = wanted in {"py2", "py3"} and word.startswith(wanted)
    return word == wanted or word.startswith(f"{wanted}.") or is_any_minor


def full(word: str, question: Question) -> str:
    full_base = (question.full_base or "").lstrip("pytorchensfw")
    spelled = {
        question.version: question.full_version,
        f"transformers{question.version}": f"transformers{question.full_version}",
        (question.base or "-").lstrip("pytorchensfw"): full_base,
    }
    long = spelled.get(word, word)
    return long if long.startswith(word) else word


def test_every_image_that_the_sdk_resolves_is_ours_too(answers):
    other = [answer for answer in answers if not is_same(answer)]
    unexplained = [a for a in other if not any(known.applies(a.question) for known in DIFFERENCES)]
    assert not unexplained, "\n".join(map(str, unexplained))


def test_every_difference_that_is_explained_is_there(answers):
    other = [answer.question for answer in answers if not is_same(answer)]
    assert [known for known in DIFFERENCES if not any(map(known.applies, other))] == []
    versions = {(known.config, version) for known in DIFFERENCES for version in known.versions}
    assert versions <= {(question.config, question.version) for question in other}


def test_the_whole_configuration_was_asked(answers):
    asked_for = {question.config for question in questions()}
    assert asked_for == {path.stem for path in CONFIGS.glob("*.json")} - NO_IMAGES - NEVER_RETRIEVED
    assert {answer.question.config for answer in answers} == asked_for - REFUSED
    regions = {region for question in questions() for region, _ in question.registries}
    assert {answer.region for answer in answers} == regions - UNREACHED


def test_account_and_repository_are_the_same_in_every_region(answers):
    catalog_of = Parts(settings=Settings(region="us-east-1")).catalog_for
    places = {answer.question: catalog_of(spec_of(answer.question)) for answer in answers if is_same(answer)}
    wrong = []
    for question, catalog in places.items():
        base = find_base(with_defaults(spec_of(question), catalog), catalog)
        for region, account in question.registries:
            ours = place(base, region, catalog)
            if ours != f"{account}/{question.repository}":
                wrong.append(f"{question.config} {question.scope} {question.version} {region}: {account}, ours {ours}")
    assert not wrong, "\n".join(wrong)
    assert sum(len(question.registries) for question in places) > 20_000


def test_no_tag_of_ours_has_the_word_that_the_sdk_leaves_in_without_an_inference_tool():
    tags = {image.tag for framework in load().frameworks.values() for image in framework.images}
    assert [tag for tag in sorted(tags) if {"trn", "inf", "inf2"} & set(tag.split("-"))] == []


def spec_of(question: Question) -> ImageSpec:
    arguments = question.arguments("us-east-1")
    names = ("version", "py_version", "instance_type", "image_scope", "base_framework_version")
    compiled = "-training-compiler" if arguments["training_compiler_config"] else ""
    return image_uris.image_spec(
        f"{arguments['framework']}{compiled}",
        processor="eia" if arguments["accelerator_type"] else arguments["inference_tool"],
        **{name: arguments[name] for name in names},
    )


def place(base: BaseImage, region: str, catalog: Catalog) -> str:
    try:
        reference = catalog.partitions.reference(base, region)
    except ImageNotInCatalogError as error:
        return str(error)
    return f"{reference.ecr.account}/{reference.repository}" if reference.ecr else str(reference)


class TestInAProcessOfItsOwn:
    """The SDK is read, never run: importing it takes seconds."""

    def run(self, code: str, **environment: str) -> str:
        whole = "import sys\n" + textwrap.dedent(code) + "assert 'sagemaker' not in sys.modules\n"
        command = [sys.executable, "-c", whole]
        return subprocess.run(command, env=os.environ | environment, check=True, capture_output=True, text=True).stdout

    def test_what_only_the_sdk_knows_resolves_without_importing_it(self):
        printed = self.run(
            """
            from sagemaker_custom import image_uris
            print(image_uris.retrieve("linear-learner", "us-east-1"))
            """
        )
        assert printed == "382416733822.dkr.ecr.us-east-1.amazonaws.com/linear-learner:1\n"

    def test_sdk_that_lies_elsewhere_is_found_and_not_run(self, tmp_path):
        folder = tmp_path / "sagemaker" / "image_uri_config"
        folder.mkdir(parents=True)
        (tmp_path / "sagemaker" / "__init__.py").write_text("raise SystemExit('the SDK was run')")
        document = {"scope": ["training"], "versions": {"9": {"registries": {"us-east-1": "1"}, "repository": "new"}}}
        (folder / "new-algorithm.json").write_text(json.dumps(document))
        printed = self.run(
            """
            from sagemaker_custom.catalog.sdk_config import installed_sdk, sdk_framework
            print(installed_sdk().folder, sdk_framework("new-algorithm", installed_sdk()).framework.images[0].tag)
            """,
            PYTHONPATH=str(tmp_path),
        )
        assert printed == f"{folder} 9\n"
