"""Every parser of what others write, by the properties that fuzz/ has for it: refused by one of our errors, or read."""

from __future__ import annotations

import importlib.util
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sagemaker_custom.errors import SageMakerCustomError

FOLDER = Path(__file__).parents[2] / "fuzz"


def loaded(name):
    spec = importlib.util.spec_from_file_location(f"fuzzed_{name}", FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


SEEDS = loaded("seeds").SEEDS
GROUPS = {name: loaded(name).PARSERS for name in ("texts", "documents", "images", "wheels")}
CASES = [pytest.param(group, parser, id=f"{group}-{parser.__name__}") for group in GROUPS for parser in GROUPS[group]]
EXAMPLES = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_bytes(content):
    return content if isinstance(content, bytes) else content.encode()


@st.composite
def damaged(draw, seeds):
    """A seed of which a piece is replaced: by letters that mean something, or by any bytes."""
    seed = draw(st.sampled_from(seeds))
    start = draw(st.integers(0, len(seed)))
    end = draw(st.integers(start, min(len(seed), start + 8)))
    special = st.text("\0\n\r\t -[]{}()<>'\"\\/.,:;=!&*|$#@%^~0159aexé\u202e\x1b", max_size=8).map(str.encode)
    return seed[:start] + draw(special | st.binary(max_size=8)) + seed[end:]


def tried(parser, data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with suppress(SageMakerCustomError):
            parser(data)


@pytest.mark.parametrize(("group", "parser"), CASES)
class TestParsers:
    def test_a_seed_is_read(self, group, parser):
        for content in SEEDS[group].get(parser.__name__, [b""]):
            tried(parser, as_bytes(content))

    @EXAMPLES
    @given(data=st.data())
    def test_what_was_damaged_is_read_or_refused(self, group, parser, data):
        seeds = [as_bytes(content) for content in SEEDS[group].get(parser.__name__, [b"PK"])]

        tried(parser, data.draw(damaged(seeds)))

    @EXAMPLES
    @given(data=st.binary(max_size=200) | st.text(max_size=100).map(lambda text: text.encode("utf-8", "surrogatepass")))
    def test_anything_is_read_or_refused(self, group, parser, data):
        tried(parser, data)


def test_a_defect_would_be_noticed():
    def broken(data):
        return data[5]

    with pytest.raises(IndexError):
        tried(broken, b"")
