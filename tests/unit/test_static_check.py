"""What is found out about new packages without starting a container."""

from __future__ import annotations

import gzip
import hashlib
import re
from dataclasses import replace

import pytest
from fakes.tiny_wheels import SITE, installed, inventory, lock_of, make_wheel

from sagemaker_custom.errors import DigestMismatchError, VerificationError
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.wheels.kept import KeptLayer
from sagemaker_custom.wheels.layers import LayerStore
from sagemaker_custom.wheels.listing import listing_of
from sagemaker_custom.wheels.static_check import check_metadata, check_statically


def layers_of(folder, *wheels):
    return LayerStore(folder / "layers").layers(wheels, inventory(), removed={}, progress=NoProgress())


def problems(*wheels, base=None, replaced=()):
    return check_metadata(base or inventory(), lock_of(*wheels, replaced=replaced), wheels)


class TestRequirements:
    def test_met_by_base_and_by_other_wheels(self, tmp_path):
        wheels = [
            make_wheel(tmp_path, "a", requires=["NumPy>=1.20,<2", "b_c~=1.0"]),
            make_wheel(tmp_path, "b-c".replace("-", "_"), requires=["torch==2.3.0"]),
        ]
        base = inventory(packages=(installed("numpy", "1.26.4"), installed("torch", "2.3.0+cu121")))
        assert problems(*wheels, base=base) == ()

    def test_missing_and_unfit_ones_are_listed_together(self, tmp_path):
        wheel = make_wheel(tmp_path, requires=["numpy>=2", "six", "click<9"])
        base = inventory(packages=(installed("numpy", "1.26.4"), installed("click", "8.1")))
        assert problems(wheel, base=base) == (
            "demo 1.0 requires numpy>=2, but 1.26.4 is installed",
            "demo 1.0 requires six, which is not installed",
        )

    @pytest.mark.parametrize(
        ("marker", "counts"),
        [
            ("python_version < '3.11'", False),
            ("python_full_version >= '3.11.9'", True),
            ("sys_platform == 'win32'", False),
            ("platform_machine == 'x86_64' and platform_system == 'Linux'", True),
            ("extra == 'more'", False),
            ("implementation_name == 'cpython'", True),
        ],
    )
    def test_markers_are_those_of_the_base(self, tmp_path, marker, counts):
        wheel = make_wheel(tmp_path, requires=[f"six; {marker}"])
        assert bool(problems(wheel)) is counts

    def test_processor_of_the_base_counts(self, tmp_path):
        wheel = make_wheel(tmp_path, requires=["six; platform_machine == 'aarch64'"])
        assert problems(wheel, base=inventory(platform="linux/arm64")) != ()

    def test_extras_that_are_required_are_followed(self, tmp_path):
        wheels = [
            make_wheel(tmp_path, "a", requires=["b[Fast_er]"]),
            make_wheel(tmp_path, "b", requires=["c; extra == 'fast-er'", "d; extra == 'other'"]),
        ]
        assert problems(*wheels) == ("b 1.0 requires c, which is not installed",)

    def test_what_the_base_lacked_before_is_not_held_against_the_wheels(self, tmp_path):
        base = inventory(packages=(installed("old", "1", "gone>=1", "numpy>=3"), installed("numpy", "1.0")))
        assert problems(make_wheel(tmp_path), base=base) == ()

    def test_package_of_the_base_that_breaks_is_told(self, tmp_path):
        base = inventory(packages=(installed("pandas", "2.2", "numpy<2"), installed("numpy", "1.26.4")))
        wheel = make_wheel(tmp_path, "numpy", "2.0")
        assert problems(wheel, base=base, replaced=["NumPy"]) == ("pandas 2.2 requires numpy<2, but 2.0 is installed",)

    def test_package_that_vanishes_without_being_replaced_is_told(self, tmp_path):
        base = inventory(packages=(installed("pandas", "2.2", "numpy<2"), installed("numpy", "1.26.4")))
        assert problems(base=base, replaced=["numpy"]) == ("pandas 2.2 requires numpy<2, which is not installed",)

    def test_lines_that_are_no_requirements_are_skipped(self, tmp_path):
        base = inventory(packages=(installed("old", "1", "pytz (>dev)"), installed("odd", "not.a.version")))
        assert problems(make_wheel(tmp_path, requires=["what is this??"]), base=base) == ()

    def test_prereleases_count_as_installed(self, tmp_path):
        base = inventory(packages=(installed("torch", "2.4.0.dev20240601"),))
        assert problems(make_wheel(tmp_path, requires=["torch>=2.3"]), base=base) == ()


class TestTwoVersions:
    def test_base_and_wheel(self, tmp_path):
        base = inventory(packages=(installed("De.mo", "0.9"),))
        wheel = make_wheel(tmp_path, "de_mo")
        assert problems(wheel, base=base) == ("De.mo 0.9 in the base and 1.0 are both installed",)
        assert problems(wheel, base=base, replaced=["de-mo"]) == ()

    def test_two_wheels(self, tmp_path):
        wheels = [make_wheel(tmp_path, "demo"), make_wheel(tmp_path, "Demo", "2.0")]
        assert problems(*wheels) == ("demo 1.0 of the wheels and 2.0 are both installed",)


class TestTags:
    @pytest.mark.parametrize(
        "tag",
        [
            "py3-none-any",
            "py2.py3-none-any",
            "cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64",
            "cp311-cp311-manylinux2014_x86_64",
            "cp311-cp311-manylinux1_x86_64",
            "cp38-abi3-manylinux_2_31_x86_64",
            "py3-none-manylinux_2_5_x86_64",
            "cp311-none-linux_x86_64",
        ],
    )
    def test_wheel_that_fits(self, tmp_path, tag):
        assert problems(make_wheel(tmp_path, tag=tag)) == ()

    @pytest.mark.parametrize(
        "tag",
        [
            "cp310-cp310-manylinux_2_17_x86_64",
            "cp312-abi3-manylinux_2_17_x86_64",
            "cp311-cp311-manylinux_2_34_x86_64",
            "cp311-cp311-manylinux_2_17_aarch64",
            "cp311-cp311-musllinux_1_2_x86_64",
            "cp311-cp311-win_amd64",
            "py2-none-any",
        ],
    )
    def test_wheel_that_does_not_fit(self, tmp_path, tag):
        assert problems(make_wheel(tmp_path, tag=tag)) == (
            f"demo-1.0-{tag}.whl does not fit Python 3.11.9 on linux/amd64 with glibc 2.31",
        )

    def test_without_a_known_libc_only_wheels_for_any_fit(self, tmp_path):
        base = inventory(glibc=None)
        assert problems(make_wheel(tmp_path), base=base) == ()
        (problem,) = problems(make_wheel(tmp_path, tag="cp311-cp311-manylinux_2_17_x86_64"), base=base)
        assert problem.endswith("with an unknown libc")

    def test_python_that_the_wheel_wants(self, tmp_path):
        assert problems(make_wheel(tmp_path, requires_python=">=3.12")) == (
            "demo 1.0 requires Python >=3.12, the base has 3.11.9",
        )
        assert problems(make_wheel(tmp_path, requires_python=">=3.8, <4")) == ()

    def test_unknown_patch_release_is_given_the_benefit_of_the_doubt(self, tmp_path):
        assert problems(make_wheel(tmp_path, requires_python=">=3.11.4"), base=inventory(python_version="3.11")) == ()


class TestFiles:
    def test_all_problems_are_listed_at_once(self, tmp_path):
        wheels = [make_wheel(tmp_path, "a", requires=["six"]), make_wheel(tmp_path, "b")]
        with pytest.raises(VerificationError) as caught:
            check_statically(inventory(), lock_of(*wheels), wheels, layers_of(tmp_path, wheels[0]))
        assert caught.value.message == (
            "the new packages do not fit the base image:\n"
            "    a 1.0 requires six, which is not installed\n"
            "    b 1.0 has no RECORD in the layers"
        )
        assert "builder='docker'" in caught.value.hint

    def test_file_that_is_missing_or_different_is_found(self, tmp_path):
        wheel = make_wheel(tmp_path, files={"demo.py": b"right", "other.py": b""})
        (layer,) = layers_of(tmp_path, wheel)
        archive = gzip.decompress(layer.path.read_bytes())
        archive = archive.replace(b"right", b"wrong").replace(b"other.py", b"0ther.py", 1)
        changed = KeptLayer(tmp_path / "changed", "x", created_by="").write([archive], NoProgress().task(""))
        with pytest.raises(VerificationError) as caught:
            check_statically(inventory(), lock_of(wheel), [wheel], [changed])
        assert f"{SITE}/demo.py of demo has another content in the layers than in RECORD" in caught.value.message

    def test_very_many_problems_are_cut_short(self, tmp_path):
        wheel = make_wheel(tmp_path, requires=[f"p{number}" for number in range(50)])
        with pytest.raises(VerificationError, match="and 20 more"):
            check_statically(inventory(), lock_of(wheel), [wheel], layers_of(tmp_path, wheel))

    def test_damaged_layer_is_not_read(self, tmp_path):
        wheel = make_wheel(tmp_path)
        (layer,) = layers_of(tmp_path, wheel)
        content = bytearray(layer.path.read_bytes())
        content[-1] ^= 1
        layer.path.write_bytes(content)
        # The layers of an interrupted process have no list of their files yet.
        layer.path.with_suffix("").with_suffix(".listing.gz").unlink()
        with pytest.raises(DigestMismatchError, match=re.escape(f"{layer.path} is damaged")):
            check_statically(inventory(), lock_of(wheel), [wheel], [layer])

    @pytest.mark.parametrize(
        "damage",
        [b"", b"no gzip", gzip.compress(b"[]", mtime=0), gzip.compress(b'{"digest": "x"}', mtime=0)],
        ids=["empty", "no gzip", "no object", "other digest"],
    )
    def test_damaged_listing_is_made_again(self, tmp_path, damage):
        (layer,) = layers_of(tmp_path, make_wheel(tmp_path))
        first = listing_of(layer)
        (path,) = (tmp_path / "layers").glob("*.listing.gz")
        path.write_bytes(damage)
        assert listing_of(layer) == first
        assert path.read_bytes() != damage

    def test_listing_of_other_bytes_is_not_taken(self, tmp_path):
        (layer,) = layers_of(tmp_path, make_wheel(tmp_path, files={"a.py": b"1"}))
        listing_of(layer)
        packed = gzip.compress(b"\0" * 1024)
        layer.path.write_bytes(packed)
        other = replace(layer, digest=f"sha256:{hashlib.sha256(packed).hexdigest()}")
        assert listing_of(other).files == {}
