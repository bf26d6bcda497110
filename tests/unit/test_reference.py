"""Texts and image references."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.errors import InvalidReferenceError
from sagemaker_custom.reference import EcrHost, ImageReference, RegistryCredentials, digest_of, parse_digest

DIGEST = "sha256:" + "0a" * 32
component = st.from_regex(r"[a-z0-9]+((\.|_|__|-+)[a-z0-9]+){0,2}", fullmatch=True)
hosts = st.sampled_from(
    ["localhost", "localhost:5000", "[::1]:5000", "Example.COM", "123456789012.dkr.ecr.us-east-1.amazonaws.com", "a:1"]
)
references = (
    st.builds(
        lambda registry, path, tag, digest: ImageReference(
            registry=registry, repository="/".join(path), tag=tag, digest=digest
        ),
        st.none() | hosts,
        st.lists(component, min_size=1, max_size=3),
        st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True),
        st.none() | st.binary().map(digest_of),
        # Without a registry, what looks like a host is one.
    )
    .filter(lambda it: it.registry or "/" not in it.repository or not {".", ":"} & set(it.repository.split("/")[0]))
    .filter(lambda it: it.registry or not it.repository.startswith("localhost/"))
)


@given(references)
def test_every_reference_parses_back(reference):
    assert ImageReference.parse(str(reference)) == reference


@given(st.text(alphabet=st.characters(), max_size=60) | st.text(alphabet="a.:/@_-[] \n\t1A", max_size=30))
def test_any_text_is_a_reference_or_a_clear_error(text):
    with suppress(InvalidReferenceError):
        assert str(ImageReference.parse(text)) == text
        assert text.isprintable()


def test_parts_of_an_ecr_reference():
    text = f"727897471807.dkr.ecr.cn-northwest-1.amazonaws.com.cn/pytorch-training:1.9.0-gpu-py38@{DIGEST}"
    reference = ImageReference.parse(text)
    assert reference == ImageReference(
        registry="727897471807.dkr.ecr.cn-northwest-1.amazonaws.com.cn",
        repository="pytorch-training",
        tag="1.9.0-gpu-py38",
        digest=DIGEST,
    )
    assert reference.ecr == EcrHost(account="727897471807", region="cn-northwest-1")
    assert reference.name == "727897471807.dkr.ecr.cn-northwest-1.amazonaws.com.cn/pytorch-training"
    assert reference.locator == DIGEST


def test_no_registry_is_guessed():
    assert ImageReference.parse("pytorch/torchserve:latest").registry is None
    assert ImageReference.parse("localhost/torchserve").registry == "localhost"
    assert ImageReference.parse("torchserve").tag is None


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        (
            "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com",
            EcrHost(account="123456789012", region="us-gov-west-1"),
        ),
        ("123456789012.dkr-ecr.us-east-1.on.aws", EcrHost(account="123456789012", region="us-east-1")),
        ("public.ecr.aws", None),
        ("12345.dkr.ecr.us-east-1.amazonaws.com", None),
        ("localhost:5000", None),
    ],
)
def test_ecr_hosts_say_account_and_region(host, expected):
    assert ImageReference(registry=host, repository="a").ecr == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "UPPER",
        "a b",
        "a:",
        "a:b:c",
        "a@",
        "a:-dash",
        "a:" + "x" * 129,
        "a@sha256:" + "0" * 63,
        "a@sha256:" + "0A" * 32,
        "a@md5:" + "0" * 32,
        "host.example/",
        "a//b",
        "/a",
        "a/",
        "a\n",
        "a:b\n",
        "ex ample.com/a",
        "host.example\nUSER.x/a",
        "-host.example/a",
        "host.example:port/a",
        "http://host.example/a",
        "user:pw@host.example/a",
    ],
)
def test_what_is_not_a_reference_is_named(text):
    with pytest.raises(InvalidReferenceError, match=r"is not (an image reference|a digest)"):
        ImageReference.parse(text)


def test_the_message_shows_the_text_and_the_form():
    with pytest.raises(InvalidReferenceError) as caught:
        ImageReference.parse("My Image")
    assert str(caught.value) == (
        "'My Image' is not an image reference\n  -> write [host/]repository[:tag][@sha256:…], in lower case"
    )


def test_other_tag_forgets_the_digest():
    reference = ImageReference.parse(f"h.example/a:1@{DIGEST}")
    assert str(reference.with_tag("2")) == "h.example/a:2"
    assert str(reference.with_tag("2").with_digest(parse_digest(DIGEST))) == f"h.example/a:2@{DIGEST}"


@pytest.mark.parametrize("tag", ["", "a b", "a/b", "a+b", ".a", "a" * 129, "a\n"])
def test_impossible_tags_are_refused(tag):
    with pytest.raises(InvalidReferenceError, match=r"is not a tag"):
        ImageReference.parse("a").with_tag(tag)


def test_without_tag_and_digest_nothing_can_be_asked():
    with pytest.raises(InvalidReferenceError, match=r"a/b has neither a tag nor a digest"):
        _ = ImageReference.parse("a/b").locator


def test_digest_of_known_bytes():
    assert digest_of(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def test_password_stays_out_of_repr():
    assert "hunter2" not in repr(RegistryCredentials(username="AWS", password="hunter2"))
