"""Locks as text, and back."""

from __future__ import annotations

import json

import pytest
from fakes.tiny_wheels import BASE

from sagemaker_custom.errors import SageMakerCustomError, UsageError
from sagemaker_custom.wheels.lock import Lock, LockedWheel, read_lock

WHEEL = LockedWheel(
    name="einops",
    version="0.8.0",
    filename="einops-0.8.0-py3-none-any.whl",
    url="https://files.example.com/einops-0.8.0-py3-none-any.whl",
    sha256="a" * 64,
    size=None,
    index="https://index.example.com/simple",
)
LOCK = Lock(
    python_version="3.11.9",
    platform="linux/amd64",
    wheels=(WHEEL,),
    replaced=("numpy",),
    base=BASE,
    without_requirements=("einops",),
)


def changed(**values):
    """The text of the lock with something else in its wheel."""
    document = json.loads(LOCK.to_json())
    document["wheels"][0] |= values
    return json.dumps(document)


def test_a_lock_is_read_back():
    assert read_lock(LOCK.to_json()) == LOCK


def test_a_lock_of_before_no_deps_is_read():
    document = json.loads(LOCK.to_json())
    del document["without_requirements"]
    assert read_lock(json.dumps(document)).without_requirements == ()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "the lock is not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "format None instead of 1"),
        ('{"format": 2}', "format 2 instead of 1"),
        ('{"format": 1}', "the lock is malformed: python_version"),
        (changed(more=1), "wheels.0.more"),
        (changed(filename="../../etc/a-1-py3-none-any.whl"), "which is no file name"),
        (changed(filename="..\\a-1-py3-none-any.whl"), "which is no file name"),
        (changed(filename="einops.tar.gz"), "not the name of a wheel"),
        (changed(sha256="../x"), "no sha256 of einops"),
        (changed(url="ftp://me:secret@example.com/x"), "ftp://example.com/x"),
    ],
)
def test_what_is_not_a_lock_is_refused(text, message):
    with pytest.raises(UsageError, match=message):
        read_lock(text)


def test_the_base_has_to_be_a_digest():
    document = json.loads(LOCK.to_json()) | {"base": "latest"}
    with pytest.raises(SageMakerCustomError, match="latest"):
        read_lock(json.dumps(document))
