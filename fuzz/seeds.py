"""Write the seeds of each group: the smallest inputs that every parser accepts."""

from __future__ import annotations

import gzip
import importlib
import io
import json
import sys
import tarfile
from pathlib import Path

_FOLDER = Path(__file__).parent
_DIGEST = "sha256:" + "0" * 64
_RECIPE = (
    "schema_version: 1\nname: a\nsummary: s\nhomepage: https://a\nverify: [x]\nvariants:\n"
    "- when: {framework: pytorch, python: '>=3.9'}\n  apt: [git]\n  conda: {channels: [c], packages: [a=1]}\n"
    "  pip: {packages: ['a=={version}'], index_url: https://x, env: {A: b}}\n"
)
_LOCK = {
    "format": 1, "python_version": "3.11", "platform": "linux/amd64", "replaced": [], "base": _DIGEST,
    "without_requirements": [],
    "wheels": [{"name": "a", "version": "1", "filename": "a-1-py3-none-any.whl", "url": "https://x/a", "size": 1,
                "sha256": "0" * 64, "index": None}],
}  # fmt: skip
_INVENTORY = {
    "format": 1, "base": _DIGEST, "platform": "linux/amd64", "python": "/p", "python_version": "3.11", "glibc": None,
    "site_packages": "/s", "scripts": "/b",
    "packages": [{"name": "a", "version": "1", "location": "/a", "requires": ["b"]}],
}  # fmt: skip
_FRAMEWORK = {
    "schema_version": 1, "framework": "a", "version_aliases": {"1": "1.0"},
    "images": [{"version": "1.0", "image_scope": "training", "processor": "cpu", "repository": "r", "tag": "t",
                "accounts": "d", "py_version": "py311", "end_of_patch": "2026-01-01"}],
    "repositories": [{"repository": "r", "accounts": "d", "image_scopes": ["training"],
                      "tags": [{"template": "{version}[-{cuda_version}]-{os}"}]}],
}  # fmt: skip
_EXTRAS = [
    {"kind": "PipExtra", "requirement": "a==1"},
    {"kind": "CondaExtra", "channel": "c", "spec": "a=1"},
    {"kind": "RequirementsExtra", "requirements": ["a==1 --hash=sha256:00"], "index_url": "https://x"},
]
_DESCRIPTOR = {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": _DIGEST, "size": 1}
_LAYER = {"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "digest": _DIGEST, "size": 1}


def _tar(names: dict[str, bytes], form: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, content in names.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


_TREE = {"opt/conda/bin/python3": b"", "a" * 120 + "é": b"x", "x/a-1.dist-info/METADATA": b"Name: a\nVersion: 1\n"}
SEEDS: dict[str, dict[str, list[str | bytes]]] = {
    "texts": {
        "reference": [f"h.example:5000/a/b_c:t@{_DIGEST}", "a"],
        "digest": [_DIGEST],
        "extra": ["faiss==1.8.0", "pip:a[b]>=1", "conda:c::a=1", "apt:git=1", "pip:a @ https://x/a.whl"],
        "requirement": ["A_b[C] >=1,<2 ; python_version > '3' and extra == 'x'"],
        "requirements_file": ["--index-url https://x\na==1 --hash=sha256:00\nb @ https://x/b.whl\n"],
        "versions": ["ml.g5.xlarge", "cu121", "py311", "pytorch2.0", f"2.3.0-training-cpu-py311-{'0' * 20}"],
        "url": ["https://u:p@h/x?y#z"],
        "challenge": ['Bearer realm="https://x/t",service="s",scope="a,b"', 'Basic realm="a, b", Negotiate'],
        "patience": ["120", "Mon, 01 Jan 2024 00:00:00 GMT"],
        "dockerignore": ["# a\n*/b\n!**/c\n[a-z]?\\*"],
        "ignore_file": ["*.py\n!/a/**/b\n[!x]/\n"],
        "pip_configuration": ["[global]\nindex-url = https://x\n[install]\nno-index = true\n"],
        "shown": ["\x1b[31mred\x1b[0m \x1b]0;t\x07 \u202e"],
    },
    "documents": {
        "recipe_yaml": [_RECIPE, "a: &a [1]\nb: {<<: {c: *a}}"],
        "recipe_json": ['{"schema_version": 1, "name": "a"}'],
        "named_image": ["schema_version: 1\nname: a\nsummary: s\nframework: pytorch\nversions: ['2.3']\nextras: [a]\n"],
        "framework": [json.dumps(_FRAMEWORK)],
        "partitions": [('{partitions: {aws: {dns_suffix: a.com, region_regex: "^u"}}, regions: {u: aws}, '
                       'account_sets: {d: {u: "123456789012"}}}')],
        "lock": [json.dumps(_LOCK)],
        "pylock": [('packages=[{name="a",version="1",wheels=[{url="https://x/a-1-py3-none-any.whl",'
                   'hashes={sha256="00"}}]}]')],
        "inventory": [json.dumps(_INVENTORY)],
        "extras": [json.dumps(_EXTRAS)],
        "listing": ['{"a": "1"}'],
        "lease": ['{"token":"a","owner":"b","pid":1,"since":"c","lease_s":1,"beat":1,"state":"held","failure":""}'],
    },
    "images": {
        "manifest": [json.dumps({"config": _DESCRIPTOR, "layers": [_LAYER]})],
        "index": [json.dumps({"manifests": [{**_DESCRIPTOR, "platform": {"os": "linux", "architecture": "amd64"}}]})],
        "config": [json.dumps({"created": "2024-01-01T00:00:00.123456789Z", "config": {"Labels": {"a": "b"}},
                               "rootfs": {"type": "layers", "diff_ids": [_DIGEST]}, "history": [{}]})],
        "layer": [gzip.compress(_tar(_TREE, tarfile.PAX_FORMAT), mtime=0)],
        "packed_layer": [_tar(_TREE, form) for form in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT)[1:]],
        "installed": [(b"Name: a\nVersion: 1\nRequires-Dist: b; extra == 'x'\n\xffa.py,sha256=x,1\n\xff/x\n"
                      b"\xffPackage: python3.9-minimal\nVersion: 3.9.1\n\xffGNU C Library version 2.31\xff"
                      b'#define PY_VERSION "3.11.2"')],
        "tar": [_tar(_TREE, tarfile.PAX_FORMAT)],
    },
    "wheels": {
        "metadata": ["Requires-Dist: b>1; extra == 'x'\nRequires-Python: >=3.8\n"],
        "wheel_file": ["Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"],
        "record": ["a/__init__.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\n"],
        "entry_points": ["[console_scripts]\nrun = a.b:c.d [x]\n[gui_scripts]\ng = a:b\n"],
        "names": ["a-1.0.data/scripts/run\na-1.0.data/data/share/x\na/b c.py"],
        "scripts": ["#!python\nprint()\n"],
    },
}  # fmt: skip


def main() -> None:
    """Write them below ``seeds``, which is not kept."""
    for group, seeds in SEEDS.items():
        folder = _FOLDER / "seeds" / group
        folder.mkdir(parents=True, exist_ok=True)
        parsers = [parser.__name__ for parser in importlib.import_module(group).PARSERS]
        for name, contents in seeds.items():
            for number, content in enumerate(contents):
                data = content.encode() if isinstance(content, str) else content
                (folder / f"{name}-{number}").write_bytes(bytes([parsers.index(name)]) + data)
    wheels = importlib.import_module("wheels")
    (_FOLDER / "seeds" / "wheels" / "archive-0").write_bytes(b"\0" + wheels.wheel_of({}))


if __name__ == "__main__":
    sys.path.insert(0, str(_FOLDER))
    main()
