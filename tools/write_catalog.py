"""Facts about AWS's images, one row a tag, and the templates of the tags → the JSON documents of ``image_catalog``."""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sagemaker_custom.catalog.images import BaseImage, Framework, read_framework, release_of
from sagemaker_custom.catalog.tags import Repository
from sagemaker_custom.catalog.writing import canonical, framework_document

CATALOG = Path(__file__).parent.parent / "image_catalog"
SCHEMA_VERSION = 1
NO_SAGEMAKER = {
    "platform": ("ec2", "e3"),  # without what SageMaker starts in a container
    "scope": ("base",),  # without any framework
}
"""Which rows are no images for SageMaker: column → values."""

_FROM_SDK = "sagemaker 2.257.7 / sagemaker-core 2.27.0"
_SCOPES = {"eia": "inference", "evaluation": "processing"}
"""What the facts call by other names: SageMaker runs evaluation as a processing job, and EIA is a processor."""

_SERVES_AND_TRAINS = {
    "sagemaker-mxnet": "1.4",  # from then on there is sagemaker-mxnet-serving
    "sagemaker-pytorch": None,
    "sagemaker-scikit-learn": None,
    "sagemaker-tensorflow": None,
    "sagemaker-xgboost": None,
    "xgboost": None,
}
"""Repository → version below which the SDK has its images for both scopes; the facts name one of them."""

_INSTANCE_WORDS = {"inf2", "trn"}
_FULL_TAGS = {
    "2.7.0-transformers4.55.4-trn-py310": {
        "tag": "2.7.0-transformers4.55.4-neuronx-py310-sdk2.26.0-ubuntu22.04",
        "extra": "sdk2.26.0",
    }
}

# PyTorch 2.14 is known from the SDK's configuration only; every Amazon Linux 2023 image before it has this Python.
_UNTOLD_PYTHON = {"pytorch": "py312"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Contradiction:
    """What a tag and a column say differently."""

    row: Mapping[str, Any]
    column: str
    tag_says: str | None
    reason: str | None
    """Why the tag, or the column, is right; ``None`` where no rule says so."""

    def __str__(self) -> str:
        """Return one line for people."""
        row = self.row
        says = f"{row['repo']}:{row['tag']}: {self.column}: tag {self.tag_says}, table {row[self.column]}"
        return f"{says}: {self.reason or 'no rule settles this'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadRow:
    """A row of the facts, read by the templates of a repository."""

    row: Mapping[str, Any]
    framework: str
    repository: Repository
    said: Mapping[str, str]


def main() -> None:
    """Write every framework that has a document, and the partitions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facts", type=Path, help="folder with dlc_images.json and dlc_accounts.json")
    facts = parser.parse_args().facts
    table = json.loads((facts / "dlc_images.json").read_text("utf-8"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    known = frameworks(CATALOG / "frameworks")
    published = [tagged for row in rows if is_for_sagemaker(row) and (tagged := by_its_tag(row))]
    read = [reading for row in published for reading in read_row(row, known)]
    found = [problem for reading in read for problem in contradictions(reading)]
    for reason, count in Counter(problem.reason for problem in found if problem.reason).most_common():
        print(f"{count} × {reason}")
    unsettled = [str(problem) for problem in found if problem.reason is None]
    if unsettled:
        raise SystemExit("\n".join([*unsettled, "write a rule for each of these, or correct the table"]))
    for framework in known:
        chosen = sorted((reading for reading in read if reading.framework == framework.name), key=preference)
        images = sorted((image for reading in chosen for image in entries(reading)), key=order)
        document = framework_document(replace(framework, images=tuple(images)))
        write(CATALOG / "frameworks" / f"{framework.name}.json", document)
    write(
        CATALOG / "partitions.json", partitions_document(json.loads((facts / "dlc_accounts.json").read_text("utf-8")))
    )


def frameworks(folder: Path) -> list[Framework]:
    """Return what people wrote: names, aliases, repositories and templates; the images in it are of the last time."""
    return [read_framework(json.loads(path.read_text("utf-8")), path.name) for path in sorted(folder.glob("*.json"))]


def is_for_sagemaker(row: Mapping[str, Any]) -> bool:
    """Tell whether a row is an image that SageMaker can run."""
    return not any(row[column] in values for column, values in NO_SAGEMAKER.items())


def by_its_tag(row: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return a row with the tag that AWS publishes.

    The SDK's configuration names Neuron by instance families, and its ``retrieve`` writes the inference tool in their
    place; rows that were taken from the configuration have these words still.

    Returns:
        ``None`` when another row has that tag.
    """
    tag: str = row["tag"]
    if not _INSTANCE_WORDS & set(tag.split("-")):
        return row
    if row["repo"] == "huggingface-pytorch-tgi-inference":
        return {**row, "tag": tag.replace("-inf2-", "-neuronx-")}
    return {**row, **_FULL_TAGS[tag]} if tag in _FULL_TAGS else None


def read_row(row: Mapping[str, Any], known: Iterable[Framework]) -> Iterator[ReadRow]:
    """Read the tag of a row by the templates of the frameworks.

    Raises:
        SystemExit: No template fits, or those of several frameworks do.
    """
    readings = [
        ReadRow(row=row, framework=framework.name, repository=repository, said=said)
        for framework in known
        for repository in framework.repositories
        if (repository.repository, repository.accounts, repository.architecture)
        == (row["repo"], row["acct"], row["arch"])
        and (said := repository.read(row["tag"])) is not None
    ]
    names = {reading.framework for reading in readings}
    if len(names) != 1:
        found = f"is read by {', '.join(sorted(names))}" if names else "is read by no template"
        raise SystemExit(f"{row['repo']}:{row['tag']} ({row['acct']}, {row['arch']}) {found}")
    yield from readings


def contradictions(reading: ReadRow) -> Iterator[Contradiction]:
    """Give what tag and table say differently, each with the rule that settles it."""
    said, row = reading.said, reading.row
    pairs = {"py": "py_version", "cuda": "cuda_version", "os": "os", "processor": "processor"}
    for column, name in pairs.items():
        if row[column] != said.get(name) and None not in (row[column], said.get(name)):
            yield Contradiction(row=row, column=column, tag_says=said[name], reason=_reason(reading, column))
    numbers = re.findall(r"latest|b?\d[\w.-]*", f"{row['version']} {row['transformers'] or ''} {row['extra'] or ''}")
    for name in ("version", "base_framework_version", "sdk_version"):
        if name in said and said[name] not in [number.partition("+")[0] for number in numbers]:
            column = "version" if name != "sdk_version" else "extra"
            yield Contradiction(row=row, column=column, tag_says=said[name], reason=_reason(reading, name))


_NAMED_BY_THE_SDK = (
    *("huggingface", "huggingface-llm", "huggingface-llm-neuronx", "huggingface-tei"),
    "huggingface-vllm-neuronx",
)
_SERVERS = ("llama-cpp", "ray-serve", "sglang-server", "vllm-omni", "vllm-server")

_RULES: tuple[tuple[str, Callable[[ReadRow], bool], str], ...] = (
    ("py", lambda r: r.said["py_version"] == "py3", "Python: 'py3' in the tag says less than the table"),
    (
        "processor",
        lambda r: r.row["repo"] == "pytorch-training-neuron",
        "processor: Inferentia 1 does not train, these are for Trainium: neuronx",
    ),
    (
        "processor",
        lambda r: r.framework == "xgboost",
        "processor: one image for instances with and without GPU has an entry for each",
    ),
    (
        "version",
        lambda r: r.framework in _SERVERS,
        "version: the SDK's is that of the image, in the tag; the table has that of what runs in it",
    ),
    (
        "version",
        lambda r: r.framework in _NAMED_BY_THE_SDK,
        "version: the SDK's is in the tag, the table has that of the base framework",
    ),
    (
        "base_framework_version",
        lambda r: r.framework in _NAMED_BY_THE_SDK,
        "base_framework_version: it is in the tag, the table has the version that the SDK gives the image",
    ),
    ("version", lambda r: r.framework == "sklearn", "version: the SDK has 1.4-2-py312 as a version of its own"),
    (
        "sdk_version",
        lambda r: r.framework == "huggingface-vllm-neuronx",
        "sdk_version: it is in the tag, the table has the version of Optimum there",
    ),
)


def _reason(reading: ReadRow, name: str) -> str | None:
    return next((reason for column, fits, reason in _RULES if column == name and fits(reading)), None)


def preference(reading: ReadRow) -> tuple[Any, ...]:
    """Order images that differ in nothing that is asked for: the first is preferred.

    What the SDK alone knows comes last, since its configuration has had errors; before that what AWS's SDK does not
    mean, what does not tell its CUDA version, and what AWS has not documented.
    """
    row, said = reading.row, reading.said
    undocumented = "md" not in row["src"] and "data" not in row["src"]
    vague = said["processor"] == "gpu" and "cuda_version" not in said
    return (row["src"] == "sdk", row["sm_tag"] is None, vague, undocumented, row["tag"])


def order(image: BaseImage) -> tuple[Any, ...]:
    """Order the images of a document; sorting keeps the preferred before its equals."""
    return (
        image.release,
        image.image_scope,
        image.processor,
        image.architecture,
        image.base_framework or "",
        release_of(image.base_framework_version or "0"),
        release_of(image.sdk_version or "0"),
        image.py_version or "",
    )


def entries(reading: ReadRow) -> Iterator[BaseImage]:
    """Give the images of a row: one for each scope."""
    row, said = reading.row, reading.said
    version = full_version(reading.framework, said["version"])
    for scope in scopes(row):
        yield BaseImage(
            framework=reading.framework,
            version=version,
            image_scope=scope,
            processor=said["processor"],
            architecture=row["arch"],
            py_version=python(reading),
            cuda_version=(said.get("cuda_version") or row["cuda"]) if said["processor"] == "gpu" else None,
            base_framework=reading.repository.base_framework,
            base_framework_version=base_version(reading),
            sdk_version=said.get("sdk_version"),
            os=said.get("os") or row["os"],
            repository=row["repo"],
            tag=row["tag"],
            accounts=row["acct"],
            layout=layout(reading),
            end_of_patch=row["eop"],
            origin=_FROM_SDK if row["src"] == "sdk" else None,
        )


def full_version(framework: str, version: str) -> str:
    """Return ``2.14.0`` for the ``2.14`` of new PyTorch tags; elsewhere a short version is a full one, or moves."""
    return f"{version}.0" if framework == "pytorch" and version.count(".") == 1 else version


def scopes(row: Mapping[str, Any]) -> list[str]:
    """Return what an image is for."""
    named = {_SCOPES.get(scope, scope) for scope in row["scope"].split("+")}
    if row["repo"] in _SERVES_AND_TRAINS and row["src"] == "sdk" and row["tag"] not in _TRAINS_ONLY:
        below = _SERVES_AND_TRAINS[row["repo"]]
        if below is None or release_of(row["version"]) < release_of(below):
            named |= {"training", "inference"}
    return sorted(named)


_TRAINS_ONLY = ("1.4-2-cpu-py3",)


def python(reading: ReadRow) -> str | None:
    """Return the Python of an image: what the tag says, unless the table says more."""
    told = [reading.said.get("py_version"), reading.row["py"]]
    known = [version for version in told if version not in (None, "py3")] or [version for version in told if version]
    return known[0] if known else _UNTOLD_PYTHON.get(reading.framework)


def base_version(reading: ReadRow) -> str | None:
    """Return the version of what the framework runs on; tags of servers do not say it, the table does."""
    if "base_framework_version" in reading.said or reading.repository.base_framework is None:
        return reading.said.get("base_framework_version")
    version: str = reading.row["version"].partition("+")[0]
    return version if version != reading.said["version"] else None


def layout(reading: ReadRow) -> str | None:
    """Return how Python got into an image.

    The table has it by version, which for three kinds of rows is not the version that decides.
    """
    row, known = reading.row, reading.row["layout"]
    if row["repo"] in ("huggingface-pytorch-training", "huggingface-pytorch-inference") and row["src"] == "sdk":
        return "conda" if release_of(reading.said["base_framework_version"]) < release_of("2.6") else "usrlocal"
    if reading.framework == "tensorflow" and row["src"] == "sdk" and release_of(row["version"]) >= release_of("2.20"):
        # Compiled or in an environment: AWS's documents name both for 2.20.
        return None
    if reading.framework == "sklearn" and reading.said["version"] == "1.9-0":
        return "venv"
    return str(known) if known else None


def partitions_document(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return partitions, regions and publishing accounts."""
    return {
        "schema_version": SCHEMA_VERSION,
        "partitions": {
            name: {key: partition[key] for key in ("dns_suffix", "region_regex")}
            for name, partition in sorted(facts["partitions"].items())
        },
        "regions": dict(sorted(facts["regions"].items())),
        "account_sets": {
            name: dict(sorted(accounts["regions"].items())) for name, accounts in sorted(facts["account_sets"].items())
        },
    }


def write(path: Path, document: Mapping[str, Any]) -> None:
    """Write canonical JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(canonical(document), encoding="utf-8")


if __name__ == "__main__":
    main()
