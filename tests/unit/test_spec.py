"""What callers write becomes canonical; unequal documents stay unequal."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sagemaker_custom.errors import InvalidExtraError, UsageError
from sagemaker_custom.spec import (
    AptExtra,
    CondaExtra,
    Hardware,
    ImageSpec,
    PipExtra,
    RecipeExtra,
    canonical_json,
    canonical_requirement,
    fingerprint,
    hardware_of,
    normalise_cuda,
    normalise_extras,
    normalise_python,
    parse_base_framework,
    parse_extra,
    redacted,
    with_scope,
    without_credentials,
)

SECRET = "hunter2"
KNOWN = "e5398161d75e152462ca79194e1e91712760c94933df2c8350a17b49e54f4c8e"
any_text = st.text(max_size=60) | st.text(alphabet="afpi:@/=<>.*'\"[];,# \n\t\r\\${}~!-_0", max_size=40)
prefixed = st.builds("{}{}".format, st.sampled_from(["", "pip:", "apt:", "conda:", "pip:a @ ", "conda:c::"]), any_text)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text(max_size=5), json_values, max_size=4)


class TestExtras:
    @pytest.mark.parametrize(
        ("text", "extra"),
        [
            ("faiss", RecipeExtra(name="faiss")),
            (" Faiss ", RecipeExtra(name="faiss")),
            ("faiss == 1.8.0", RecipeExtra(name="faiss", specifier="==1.8.0")),
            ("faiss<2,>=1", RecipeExtra(name="faiss", specifier="<2,>=1")),
            ("pip:Faiss_CPU", PipExtra(requirement="faiss-cpu")),
            ("pip: umap.learn [Plot, all] >=0.5,<1", PipExtra(requirement="umap-learn[all,plot]<1,>=0.5")),
            (
                'pip:a ; python_version < "3.9"',
                PipExtra(requirement='a ; python_version < "3.9"'),
            ),
            ("pip:a @ git+https://h.example/a@v1", PipExtra(requirement="a @ git+https://h.example/a@v1")),
            ("pip:a @ git+ssh://git@h.example/a", PipExtra(requirement="a @ git+ssh://git@h.example/a")),
            ("apt: libgl1\n", AptExtra(package="libgl1")),
            ("apt:libgl1", AptExtra(package="libgl1")),
            ("apt:libgl1=1.4.0-1~x+b", AptExtra(package="libgl1=1.4.0-1~x+b")),
            ("conda:faiss-gpu", CondaExtra(spec="faiss-gpu")),
            ("conda:pytorch::Faiss-GPU = 1.7.3", CondaExtra(channel="pytorch", spec="faiss-gpu=1.7.3")),
            ("conda:conda-forge/label/x::a>=1,<2", CondaExtra(channel="conda-forge/label/x", spec="a>=1,<2")),
            ("conda:A=1=Build_A", CondaExtra(spec="a=1=Build_A")),
        ],
    )
    def test_spelling_is_gone(self, text, extra):
        assert parse_extra(text) == extra

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("", "extra '' cannot be read"),
            ("faiss==", "extra 'faiss==' cannot be read"),
            ("fa iss", "write a recipe ('faiss', 'faiss==1.8.0'), 'pip:PKG', 'conda:CHANNEL::PKG', 'apt:PKG'"),
            ("faiss[x]", "extra 'faiss[x]' is not a recipe of the catalog\n  -> write 'pip:faiss[x]'"),
            ("a @ https://h.example/a.whl", "-> write 'pip:a @ https://h.example/a.whl'"),
            ("pip:", "extra 'pip:': '' is not a requirement"),
            ("pip:a==", "extra 'pip:a==': 'a==' is not a requirement"),
            ("pip:--pre", "'--pre' is not a requirement"),
            ("pip:-r requirements.txt", "is not a requirement"),
            ("pip:0===,0", "is not a requirement"),
            ("pip:git+https://h.example/a.git", "put its name before the URL: 'NAME @ https://…'"),
            ("pip:a b", "write it as pip does, for example 'faiss-cpu==1.8.0'"),
            ("pip:a @ https://h.example/x\nUSER\vroot", "has a line end or another character that cannot be printed"),
            ("pip:a ; sys_platform == 'x\ny'", "has a line end or another character that cannot be printed"),
            ("pip:a @ https://[h/x", "the URL of 'a' cannot be read"),
            ("pip:a @ file:///home/me/a.whl", "the URL of 'a' names something on this machine"),
            ("pip:a @ ./a.whl", "the URL of 'a' names something on this machine"),
            ("apt:", "extra 'apt:' is not a package name"),
            ("apt:a; reboot", "write 'apt:NAME' or 'apt:NAME=VERSION'"),
            ("apt:--force-yes", "is not a package name"),
            ("conda:", "extra 'conda:' is not a conda package"),
            ("conda:-y", "is not a conda package"),
            ("conda:c::a=$(reboot)", "write 'conda:NAME=VERSION' or 'conda:CHANNEL::NAME=VERSION'"),
            ("conda:c d::a", "is not a conda package"),
            ("conda:::a", "is not a conda package"),
        ],
    )
    def test_what_cannot_be_read_is_named(self, text, message):
        with pytest.raises(InvalidExtraError) as caught:
            parse_extra(text)
        assert message in str(caught.value)
        assert "\n" not in caught.value.message

    @pytest.mark.parametrize(
        "text",
        [
            f"pip:a @ https://me:{SECRET}@h.example/a.whl",
            f"pip:a @ https://{SECRET}@h.example/a.whl",
            f"a @ https://me:{SECRET}@h.example/a.whl",
            f"pip:https://me:{SECRET}@h.example/a.whl",
            f"https://me:{SECRET}@h.example/a.whl",
            f"pip:a @ https://me:{SECRET}@[h/x",
            f"pip:a @ https://me:{SECRET}@h.example/\n",
            f"pip:a @ https://me:{SECRET}@h.example/a\nb",
        ],
    )
    def test_credentials_are_refused_and_not_shown(self, text):
        with pytest.raises(InvalidExtraError) as caught:
            parse_extra(text)
        assert SECRET not in str(caught.value)

    @given(prefixed)
    def test_any_text_is_an_extra_or_a_clear_error(self, text):
        with suppress(InvalidExtraError):
            assert "\\n" not in repr(parse_extra(text))

    @given(any_text | any_text.map("a @ {}".format) | any_text.map("a=={}".format))
    def test_canonical_requirements_are_stable_and_on_one_line(self, text):
        with suppress(InvalidExtraError):
            canonical = canonical_requirement(text, where="here")
            assert canonical.isprintable()
            assert canonical_requirement(canonical, where="here") == canonical

    @given(st.permutations(["faiss", "pyg", "pip:a>=1", "pip:b", "conda:c::d", "apt:ee", "apt:ff=1"]), st.data())
    def test_order_and_repetition_do_not_matter(self, texts, data):
        again = data.draw(st.lists(st.sampled_from(texts)))
        first = normalise_extras(parse_extra(text) for text in texts)
        assert first == normalise_extras(parse_extra(text) for text in sorted(texts) + again)

    def test_one_recipe_in_two_versions_is_a_contradiction(self):
        extras = [parse_extra("faiss==1.8.0"), parse_extra("faiss")]
        with pytest.raises(
            InvalidExtraError, match=r"the recipe 'faiss' is asked for twice, as 'faiss' and as 'faiss==1.8.0'"
        ):
            normalise_extras(extras)


class TestVersions:
    @pytest.mark.parametrize("text", ["cu121", "CU121", "12.1", "12.1.105", "121", 12.1])
    def test_cuda_is_spelled_as_the_catalog_does(self, text):
        assert normalise_cuda(text) == "cu121"

    @pytest.mark.parametrize("text", ["", "cuda12", "12.1.x", "newest", "-1"])
    def test_other_cuda_versions_are_refused(self, text):
        with pytest.raises(UsageError) as caught:
            normalise_cuda(text)
        assert str(caught.value) == f"cuda_version {text!r} cannot be read\n  -> write 'cu121' or '12.1'"

    @pytest.mark.parametrize("text", ["py311", "PY311", "3.11", "311", 3.11])
    def test_python_is_spelled_as_the_catalog_does(self, text):
        assert normalise_python(text) == "py311"

    def test_python_of_which_aws_tells_no_more(self):
        assert (normalise_python("py3"), normalise_python("2")) == ("py3", "py2")

    @pytest.mark.parametrize("text", ["py", "", "python3.11", "3.11.4"])
    def test_other_python_versions_are_refused(self, text):
        with pytest.raises(UsageError) as caught:
            normalise_python(text)
        assert str(caught.value) == f"py_version {text!r} cannot be read\n  -> write 'py311' or '3.11'"

    def test_nothing_asked_is_nothing_said(self):
        assert (normalise_cuda(None), normalise_python(None)) == (None, None)


class TestHardware:
    @pytest.mark.parametrize(
        ("instance_type", "processor", "architecture"),
        [
            (None, "cpu", "x86_64"),
            ("local", "cpu", "x86_64"),
            ("local_gpu", "gpu", "x86_64"),
            ("ml.m5.xlarge", "cpu", "x86_64"),
            ("ml.c6i.large", "cpu", "x86_64"),
            ("ml.g5.xlarge", "gpu", "x86_64"),
            ("ml_g5", "gpu", "x86_64"),
            ("ml.p4d.24xlarge", "gpu", "x86_64"),
            ("ml.p6-b200.48xlarge", "gpu", "x86_64"),
            ("ml.m6g.large", "cpu", "arm64"),
            ("ml.c7gn.large", "cpu", "arm64"),
            ("ml.g5g.xlarge", "gpu", "arm64"),
            ("ml.inf1.xlarge", "neuron", "x86_64"),
            ("ml.inf2.xlarge", "neuronx", "x86_64"),
            ("ml.trn1n.32xlarge", "neuronx", "x86_64"),
            ("ml.dl1.24xlarge", "hpu", "x86_64"),
            ("ml.geospatial.interactive", "cpu", "x86_64"),
        ],
    )
    def test_instance_types(self, instance_type, processor, architecture):
        assert hardware_of(instance_type) == Hardware(processor=processor, architecture=architecture)

    @pytest.mark.parametrize(
        "instance_type", ["", "m5.xlarge", "ml.", "ml.m5.xlarge.x", "ML.M5.XLARGE", "ml.m5.xlarge\n"]
    )
    def test_other_texts_are_refused(self, instance_type):
        with pytest.raises(
            UsageError, match=r"is not an instance type\n  -> write for example 'ml.g5.xlarge', 'local'"
        ):
            hardware_of(instance_type)


class TestBaseFramework:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            (None, (None, None)),
            ("pytorch2.0.0", ("pytorch", "2.0.0")),
            ("TensorFlow2.11", ("tensorflow", "2.11")),
            ("pytorch", ("pytorch", None)),
            ("2.0.0", (None, "2.0.0")),
        ],
    )
    def test_framework_and_version_are_told_apart(self, text, parts):
        assert parse_base_framework(text) == parts

    @pytest.mark.parametrize("text", ["", "-", "pytorch two", "2.0.0 pytorch"])
    def test_other_texts_are_refused(self, text):
        with pytest.raises(UsageError, match=r"cannot be read\n  -> write for example 'pytorch2.0.0'"):
            parse_base_framework(text)


class TestScopes:
    SPEC = ImageSpec(
        framework="pytorch", version="2.3", processor="gpu", cuda_version="cu121", extras=(RecipeExtra(name="a"),)
    )

    def test_the_pair_shares_framework_version_and_extras(self):
        pair = with_scope(self.SPEC, "inference", "ml.m5.xlarge")
        assert pair == replace(self.SPEC, image_scope="inference", processor="cpu", cuda_version=None)

    def test_cuda_of_training_is_not_asked_of_inference(self):
        assert with_scope(self.SPEC, "inference", "ml.g5.xlarge").cuda_version is None
        assert with_scope(self.SPEC, "training", "ml.g5.xlarge").cuda_version == "cu121"


class TestFingerprint:
    @given(documents, documents)
    def test_unequal_documents_share_neither_bytes_nor_fingerprint(self, one, other):
        assume(repr(one) != repr(other))
        if one == other and json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True):
            assert fingerprint(one) == fingerprint(other)
            return
        assert canonical_json(one) != canonical_json(other)
        assert fingerprint(one) != fingerprint(other)

    @given(documents)
    def test_canonical_json_reads_back(self, document):
        text = canonical_json(document)
        assert json.loads(text) == document
        assert text.isascii()

    @given(documents)
    def test_order_of_keys_does_not_matter(self, document):
        assert fingerprint(document) == fingerprint(dict(reversed(document.items())))

    def test_types_and_frames_differ(self):
        values = [1, "1", True, None, "null", ["a", "b"], ["ab"], ["a,b"], [["a"], "b"], {}, [], ""]
        assert len({fingerprint({"x": value}) for value in values}) == len(values)

    def test_fingerprint_of_a_known_document(self):
        # A change here is a change of every tag: raise FINGERPRINT_FORMAT with it.
        assert canonical_json({"b": [1], "a": "é"}) == '{"a":"\\u00e9","b":[1]}'
        assert fingerprint({"b": [1], "a": "é"}) == KNOWN


class TestUrls:
    @pytest.mark.parametrize(
        ("url", "public"),
        [
            ("https://pypi.example/simple", "https://pypi.example/simple"),
            (f"https://me:{SECRET}@pypi.example:8443/simple?a=b#c", "https://pypi.example:8443/simple?a=b#c"),
            (f"https://{SECRET}@pypi.example", "https://pypi.example"),
            (f"https://me:{SECRET}@x@pypi.example/", "https://pypi.example/"),
            (f"git+https://me:{SECRET}@h.example/a@v1", "git+https://h.example/a@v1"),
            ("git+ssh://git@h.example/a", "git+ssh://git@h.example/a"),
            (f"git+ssh://git:{SECRET}@h.example/a", "git+ssh://h.example/a"),
        ],
    )
    def test_credentials_are_cut_out(self, url, public):
        assert without_credentials(url) == public

    @given(any_text | any_text.map("https://me:hunter2@h/{}".format))
    def test_any_text_is_a_url_or_a_clear_error(self, text):
        with suppress(UsageError):
            assert SECRET not in without_credentials(text) or SECRET in text.rpartition("@")[2]

    def test_messages_leave_credentials_out(self):
        assert redacted(f"see https://me:{SECRET}@h.example/a and b@c") == "see https://h.example/a and b@c"
