"""Facts about AWS's images, one row a tag → ``tests/data/images.json``: what to ask for, and the exact answer.

The rows are read by their columns, and not by the templates of the catalog, so that a wrong template shows.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

TABLE = Path(__file__).parent.parent / "tests" / "data" / "images.json"
QUESTION = (
    *("framework", "version", "image_scope", "processor", "architecture", "py_version", "cuda_version"),
    *("base_framework_version", "sdk_version", "container_version"),
)
ANSWER = ("repository", "tag", "accounts")
LEFT_OUT = {
    ("platform", "ec2"): "for EC2, ECS and EKS: lacks what SageMaker starts in a container",
    ("platform", "e3"): "for EC2, ECS and EKS, by an older name",
    ("scope", "base"): "to build upon: has no framework",
}
INSTANCES = {"inf2", "trn"}
"""Words for Neuron in the SDK's configuration, in place of which its ``retrieve`` writes ``neuronx``."""

_NAMES = {
    "huggingface-pytorch": "huggingface",
    "huggingface-pytorch-trcomp": "huggingface-training-compiler",
    "huggingface-tensorflow": "huggingface",
    "huggingface-tensorflow-trcomp": "huggingface-training-compiler",
    "pytorch-trcomp": "pytorch-training-compiler",
    "ray": "ray-serve",
    "rl-coach": "coach-tensorflow",
    "rl-mxnet": "coach-mxnet",
    "rl-vw": "vw",
    "sparkml": "sparkml-serving",
    "stabilityai-pytorch": "stabilityai",
    "triton": "sagemaker-tritonserver",
}
_SCOPES = {"eia": "inference", "evaluation": "processing"}
_SERVERS = ("llama-cpp", "ray-serve", "sglang-server", "vllm-omni", "vllm-server")
_FOR_BOTH = ("sagemaker-inspect-ai", "sparkml-serving", "xgboost")
_MOVED = (("huggingface-sglang", "0.5"), ("huggingface-vllm", "0.14"), ("sglang", "0.5"), ("vllm", "0.13"))
_DJL = ("lmi", "deepspeed", "fastertransformer", "tensorrtllm")


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("facts", type=Path, help="folder with dlc_images.json and dlc_accounts.json")
    facts = parser.parse_args().facts
    table = json.loads((facts / "dlc_images.json").read_text("utf-8"))
    places = json.loads((facts / "dlc_accounts.json").read_text("utf-8"))
    rows = [dict(zip(table["columns"], row, strict=True)) for row in table["rows"]]
    misspelt = [
        (row, spelling(row)) for row in rows if left_out(row) is None and INSTANCES & set(row["tag"].split("-"))
    ]
    corrected = {id(row): {**row, "tag": tag} if tag else None for row, tag in misspelt}
    images = [corrected.get(id(row), row) for row in rows if left_out(row) is None]
    questions = [question for image in images if image for question in asked(image)]
    for question in questions:
        question["container_version"] = ending(question, questions)
    used = sorted({question["accounts"] for question in questions})
    document = {
        "columns": [*QUESTION, *ANSWER],
        "rows": sorted((line(question) for question in questions), key=repr),
        "left_out": sorted([row["repo"], row["tag"], reason] for row in rows if (reason := left_out(row))),
        "misspelt": sorted([row["repo"], row["tag"], tag or "another row has it"] for row, tag in misspelt),
        "accounts": {name: places["account_sets"][name]["regions"] for name in used},
        "suffixes": {region: places["partitions"][name]["dns_suffix"] for region, name in places["regions"].items()},
    }
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(text(document), encoding="utf-8")


def left_out(row: Mapping[str, Any]) -> str | None:
    """Return why a row is no image for SageMaker, ``None`` when it is one."""
    return next((reason for (column, value), reason in LEFT_OUT.items() if row[column] == value), None)


def spelling(row: Mapping[str, Any]) -> str | None:
    """Return what the SDK's ``retrieve`` makes of a tag with such a word, ``None`` when that is another row's."""
    if row["framework"] == "huggingface-pytorch-tgi":
        return str(row["tag"]).replace("inf2", "neuronx")
    if row["transformers"] == "4.55.4":
        return "2.7.0-transformers4.55.4-neuronx-py310-sdk2.26.0-ubuntu22.04"
    return None


def line(question: Mapping[str, Any]) -> list[Any]:
    """Return a question with its answer in the order of the columns."""
    return [question[column] for column in (*QUESTION, *ANSWER)]


def text(document: Mapping[str, Any]) -> str:
    """Return the table as JSON, one image a line."""
    parts = []
    for key, value in document.items():
        if key in ("rows", "left_out", "misspelt"):
            lines = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in value)
            parts.append(f'"{key}": [\n{lines}\n]')
        else:
            parts.append(f'"{key}": {json.dumps(value, ensure_ascii=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def asked(row: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Give what to ask for to get the image of a row: once for each scope and processor that it is for."""
    name = framework(row)
    for scope in row["scope"].split("+"):
        for processor in processors(name, row):
            yield {
                "framework": name,
                "version": version(name, row),
                "image_scope": _SCOPES.get(scope, scope),
                "processor": processor,
                "architecture": row["arch"],
                "py_version": row["py"],
                "cuda_version": row["cuda"] if processor == "gpu" else None,
                "base_framework_version": base(name, row),
                "sdk_version": sdk(row),
                "repository": row["repo"],
                "tag": row["tag"],
                "accounts": row["acct"],
            }


def framework(row: Mapping[str, Any]) -> str:
    """Return the SDK's name of the framework."""
    family, tag = row["framework"], row["tag"]
    words = tag.replace("-", " ")
    if family in ("vllm", "sglang"):
        return next((f"{family}-{kind}" for kind in ("server", "omni") if tag.startswith(f"{kind}-")), str(family))
    if family == "djl":
        kinds = ("cpu", "neuronx", *_DJL)
        return next(f"djl-{kind}" for kind in kinds if f" {kind}" in words)
    if family in ("rl-ray", "rl-tensorflow"):
        return f"{'coach' if tag.startswith('coach') else 'ray'}-{'pytorch' if '-torch-' in tag else 'tensorflow'}"
    if family == "huggingface-pytorch-tgi":
        return "huggingface-llm-neuronx" if row["processor"] == "neuronx" else "huggingface-llm"
    if family == "huggingface-vllm" and row["processor"] == "neuronx":
        return "huggingface-vllm-neuronx"
    return _NAMES.get(family, str(family))


def version(name: str, row: Mapping[str, Any]) -> str | None:
    """Return the version as the SDK counts it; ``None`` where a tag moves, and its version means another image."""
    parts = row["tag"].split("-")
    if (name, row["version"]) in _MOVED:
        return None
    said = {
        "huggingface": row["transformers"],
        "huggingface-training-compiler": row["transformers"],
        "huggingface-llm": str(row["extra"]).removeprefix("tgi"),
        "huggingface-tei": parts[1:] and parts[1].removeprefix("tei"),
        "huggingface-vllm-neuronx": str(row["extra"]).removeprefix("optimum"),
        "stabilityai": str(row["extra"]).removeprefix("sgm"),
        **{server: parts[-1].removeprefix("v") for server in _SERVERS},
    }
    if row["repo"] == "huggingface-vllm-inference-neuronx" and parts[0] == "0.10.2":
        return "0.4.1"
    if name == "sklearn" and row["py"] == "py312":
        return "1.4-2-py312"
    return str(said.get(name, row["version"]))


def processors(name: str, row: Mapping[str, Any]) -> Sequence[str]:
    """Return what the image is for; one without a processor in its tag is for instances with and without GPU."""
    if row["repo"] == "pytorch-training-neuron":
        return ["neuronx"]
    if name in _FOR_BOTH and "-cpu" not in row["tag"]:
        return ["cpu", "gpu"]
    return [row["processor"] or "gpu"]


def base(name: str, row: Mapping[str, Any]) -> str | None:
    """Return the SDK's ``base_framework_version``, and of DJL the version of what serves the model."""
    first = row["tag"].split("-")[0]
    if name in ("huggingface", "huggingface-training-compiler"):
        return f"{'tensorflow' if 'tensorflow' in row['framework'] else 'pytorch'}{first}"
    return str(row["extra"]) if name.removeprefix("djl-") in _DJL else None


def sdk(row: Mapping[str, Any]) -> str | None:
    """Return the version of the accelerator's SDK."""
    for part in row["tag"].split("-"):
        for prefix in ("sdk", "synapseai"):
            if part.startswith(prefix):
                return str(part.removeprefix(prefix))
    return None


def ending(question: Mapping[str, Any], questions: Sequence[Mapping[str, Any]]) -> str | None:
    """Return the shortest ending that tells a tag from those of all other images that the question fits."""
    others = {other["tag"] for other in questions if other["tag"] != question["tag"] and fits(other, question)}
    parts = question["tag"].split("-")
    endings = ["-".join(parts[start:]) for start in reversed(range(len(parts)))]
    unique = (end for end in endings if not any(f"-{other}".endswith(f"-{end}") for other in others))
    return next(unique, None) if others else None


def fits(image: Mapping[str, Any], question: Mapping[str, Any]) -> bool:
    """Tell whether an image may be meant by a question: it is as asked, or more precisely so."""
    if any(image[name] != question[name] for name in ("framework", "processor", "architecture")):
        return False
    # Of the images in one repository the facts do not always name every scope.
    if image["image_scope"] != question["image_scope"] and image["repository"] != question["repository"]:
        return False
    loose = ("py_version", "cuda_version", "base_framework_version", "sdk_version")
    if any(None not in (question[name], image[name]) and question[name] != image[name] for name in loose[1:]):
        return False
    asked, has = question["py_version"] or "py", image["py_version"] or "py"
    if not (asked.startswith(has) or has.startswith(asked)):
        return False
    version = question["version"]
    return version is None or f"{image['version']}.".startswith((f"{version}.", f"{version}-"))


if __name__ == "__main__":
    main()
