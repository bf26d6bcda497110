"""What uv is asked, and what becomes of its answers."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from fakes.fake_uv import FakeUv, from_index, no_solution, of_base, solution
from fakes.tiny_wheels import BASE, installed, inventory

from sagemaker_custom.errors import BuildError, NotAppendableError
from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.wheels.pip_configuration import PipConfiguration
from sagemaker_custom.wheels.resolver import DeltaResolver
from sagemaker_custom.wheels.uv import UvAnswer

TORCH = installed("torch", "2.3.0+cu121", "filelock", "sympy>=1.12")
NUMPY = installed("numpy", "1.26.4")
PANDAS = installed("pandas", "2.2.2", "numpy>=1.26,<2", "pytz", "odfpy; extra == 'excel'")
PACKAGES = (installed("filelock", "3.14.0"), NUMPY, PANDAS, TORCH)


@pytest.fixture
def resolving(tmp_path):
    def resolving(
        uv, *steps, packages=PACKAGES, replace=(), indexes=PipIndexes(), held=("torch",), pip=None, **changes
    ):
        read = [step if isinstance(step, PipStep) else PipStep(packages=(step,)) for step in steps]
        resolver = DeltaResolver(
            uv, folder=tmp_path / "bases", environment={"HOME": "/home/me"}, pip=pip or PipConfiguration()
        )
        base = inventory(packages=packages, **changes)
        return resolver.resolve(base, read, held=held, indexes=indexes, replace=replace)

    return resolving


def metadata_of(asked, name):
    """What uv was told of a package of the base."""
    line = next(line for line in asked.constraints if line.startswith(f"{name} @ "))
    path = Path(unquote(urlsplit(line.partition(" @ ")[2]).path))
    with zipfile.ZipFile(path) as archive:
        return archive.read(next(entry for entry in archive.namelist() if entry.endswith("METADATA"))).decode()


def test_what_the_base_has_is_not_in_the_lock(resolving):
    uv = FakeUv(solution(from_index("einops", "0.8.2"), of_base("torch", "2.3.0+cu121")))
    lock = resolving(uv, "einops")
    assert [(wheel.name, wheel.version) for wheel in lock.wheels] == [("einops", "0.8.2")]
    assert (lock.base, lock.platform, lock.python_version, lock.replaced) == (BASE, "linux/amd64", "3.11.9", ())


def test_every_package_of_the_base_is_a_constraint(resolving):
    uv = FakeUv(solution())
    resolving(uv, "einops")
    assert [line.partition(" @ ")[0] for line in uv.asked[0].constraints if " @ " in line] == [
        "filelock",
        "numpy",
        "pandas",
        "torch",
    ]
    assert "torch-2.3.0%2Bcu121-py3-none-any.whl" in uv.asked[0].constraints[3]


def test_uv_is_told_python_platform_and_glibc(resolving):
    uv = FakeUv(solution())
    resolving(uv, "einops", platform="linux/arm64", glibc="2.30")
    assert uv.asked[0].option("--python-version") == "3.11.9"
    assert uv.asked[0].option("--python-platform") == "aarch64-manylinux_2_28"


@pytest.mark.parametrize("glibc", [None, "2.12"])
def test_a_base_without_a_known_glibc_is_for_another_builder(resolving, glibc):
    with pytest.raises(NotAppendableError, match=r"unknown libc|glibc 2.12"):
        resolving(FakeUv(), "einops", glibc=glibc)


def test_what_the_base_lacks_itself_is_not_installed(resolving):
    # torch asks for sympy, which this base does not have: AWS's business.
    uv = FakeUv(solution())
    resolving(uv, "einops")
    assert "Requires-Dist" not in metadata_of(uv.asked[0], "torch")


def test_extras_of_base_packages_are_known(resolving):
    uv = FakeUv(solution(of_base("pandas", "2.2.2"), from_index("odfpy", "1.4.1")))
    lock = resolving(uv, "pandas[excel]")
    assert 'Requires-Dist: odfpy; extra == "excel"' in metadata_of(uv.asked[0], "pandas")
    assert [wheel.name for wheel in lock.wheels] == ["odfpy"]


class TestChoiceOfWheels:
    def test_the_best_tag_wins(self, resolving):
        uv = FakeUv(
            solution(
                from_index(
                    "regex",
                    "2026.1.1",
                    "py3-none-any",
                    "cp311-cp311-manylinux_2_17_x86_64",
                    "cp311-cp311-manylinux_2_28_x86_64",
                    "cp311-cp311-manylinux_2_34_x86_64",
                    "cp312-cp312-manylinux_2_28_x86_64",
                )
            )
        )
        wheel = resolving(uv, "regex==2026.1.1").wheels[0]
        assert wheel.filename == "regex-2026.1.1-cp311-cp311-manylinux_2_28_x86_64.whl"

    def test_the_highest_build_number_wins(self, resolving):
        uv = FakeUv(solution(from_index("a", "1.0", "2-py3-none-any", "10-py3-none-any", "py3-none-any")))
        assert resolving(uv, "a==1.0").wheels[0].filename == "a-1.0-10-py3-none-any.whl"

    def test_wheels_that_do_not_fit_are_named(self, resolving):
        uv = FakeUv(solution(from_index("a", "1.0", "cp311-cp311-manylinux_2_34_x86_64")))
        with pytest.raises(
            NotAppendableError, match=r"a 1.0 has no wheel for Python 3.11.9 on linux/amd64 with glibc 2.31"
        ):
            resolving(uv, "a==1.0")

    def test_local_versions_keep_their_plus(self, resolving):
        uv = FakeUv(solution(from_index("torch-scatter", "2.1.2+pt23cu121", "cp311-cp311-linux_x86_64")))
        wheel = resolving(uv, "torch-scatter==2.1.2").wheels[0]
        assert wheel.filename == "torch_scatter-2.1.2+pt23cu121-cp311-cp311-linux_x86_64.whl"
        assert "%2B" in wheel.url

    def test_a_file_without_a_hash_is_refused(self, resolving):
        with pytest.raises(BuildError, match=r"no sha256 of a-1.0-py3-none-any.whl"):
            resolving(FakeUv(solution(from_index("a", "1.0", sha256=""))), "a==1.0")


class TestReplacing:
    def test_what_may_be_replaced_is_kept_where_it_can(self, resolving):
        uv = FakeUv(solution(of_base("numpy", "1.26.4"), from_index("faiss-cpu", "1.8.0")))
        lock = resolving(uv, "faiss-cpu==1.8.0", replace=["numpy"])
        assert any(line.startswith("numpy @ ") for line in uv.asked[0].constraints)
        assert (len(uv.asked), lock.replaced) == (1, ())

    def test_what_is_asked_for_in_another_version_is_replaced_at_once(self, resolving):
        uv = FakeUv(solution(from_index("NumPy", "1.26.5"), of_base("pandas", "2.2.2")))
        lock = resolving(uv, "numpy==1.26.5", replace=["NumPy"])
        assert not any(line.startswith("numpy @ ") for line in uv.asked[0].constraints)
        assert (lock.replaced, [wheel.version for wheel in lock.wheels]) == (("numpy",), ["1.26.5"])

    def test_what_the_base_does_with_it_has_to_stay_right(self, resolving):
        uv = FakeUv(solution())
        resolving(uv, "numpy==1.26.5", replace=["numpy"])
        assert uv.asked[0].requirements == ("numpy==1.26.5", "pandas")
        assert "Requires-Dist: numpy<2,>=1.26" in metadata_of(uv.asked[0], "pandas")
        assert "pytz" not in metadata_of(uv.asked[0], "pandas")

    def test_what_a_new_package_needs_replaced_is_found_in_a_second_search(self, resolving):
        uv = FakeUv(
            no_solution("Because only numpy<2 is available and new==1 depends on numpy>=2, …"),
            solution(from_index("new", "1"), from_index("numpy", "2.0.0")),
        )
        lock = resolving(uv, "new==1", replace=["numpy"], packages=(NUMPY,))
        assert lock.replaced == ("numpy",)
        assert uv.asked[1].constraints == ()

    def test_a_step_may_allow_it(self, resolving):
        uv = FakeUv(solution(from_index("numpy", "2.0.0")))
        step = PipStep(packages=("numpy==2.0.0",), replaces=("numpy",))
        assert resolving(uv, step, packages=(NUMPY,)).replaced == ("numpy",)

    def test_the_same_version_is_not_a_replacement(self, resolving):
        uv = FakeUv(no_solution("Because …"), solution(from_index("numpy", "1.26.4"), from_index("new", "1")))
        lock = resolving(uv, "new==1", replace=["numpy"])
        assert ([wheel.name for wheel in lock.wheels], lock.replaced) == (["new"], ())

    def test_a_version_that_cannot_be_compared_is_not_replaced_unasked(self, resolving):
        uv = FakeUv(solution(from_index("odd", "2.0")))
        with pytest.raises(NotAppendableError, match=r"odd 1.0-dirty_x of the base image would be replaced by 2.0"):
            resolving(uv, "odd==2.0", packages=(installed("odd", "1.0-dirty_x"),))

    def test_uninstalling_what_the_base_lacks_is_nothing(self, resolving):
        uv = FakeUv(solution(from_index("opencv-contrib-python", "4.9")))
        step = PipStep(packages=("opencv-contrib-python==4.9",), uninstall=("opencv-python",))
        assert resolving(uv, step).replaced == ()

    def test_uninstalling_what_the_base_has_takes_a_word(self, resolving):
        step = PipStep(packages=("new",), uninstall=("Pandas",))
        with pytest.raises(NotAppendableError, match="uninstall pandas of the base image") as failure:
            resolving(FakeUv(), step)
        assert "replace=['pandas']" in failure.value.hint
        lock = resolving(FakeUv(solution(from_index("new", "1"))), step, replace=["pandas"])
        assert lock.replaced == ("pandas",)


class TestConflicts:
    def test_the_package_of_the_base_is_named(self, resolving):
        cause = "Because only numpy<2 is available and you require numpy>=2, we can conclude that …"
        with pytest.raises(NotAppendableError) as failure:
            resolving(FakeUv(no_solution(cause)), "numpy>=2")
        assert failure.value.message.startswith("numpy>=2 does not go with the base image, which has numpy 1.26.4:\n")
        assert "replace=['numpy']" in failure.value.hint

    def test_what_the_image_is_made_for_is_not_offered_for_replacement(self, resolving):
        cause = "Because only torch<2.4 is available and you require torch>=2.4, we can conclude that …"
        with pytest.raises(NotAppendableError) as failure:
            resolving(FakeUv(no_solution(cause)), "torch>=2.4")
        assert "choose the base image" in failure.value.hint

    def test_source_code_alone(self, resolving):
        cause = "Because all versions of flash-attn have no usable wheels and you require flash-attn, we can …"
        hint = "\n\nhint: Wheels are required for `flash-attn` because building from source is disabled"
        with pytest.raises(NotAppendableError, match=r"^flash-attn has no wheel for Python 3.11.9 on linux/amd64"):
            resolving(FakeUv(no_solution(cause, hint)), "flash-attn")

    def test_older_releases_of_uv_draw_a_tree_and_wrap_lines(self, resolving):
        said = (
            "  × No solution found when resolving dependencies:\n  ╰─▶ Because all versions of flash-attn have no\n"
            "      usable wheels and you require flash-attn, we can conclude that …\n"
        )
        with pytest.raises(NotAppendableError, match=r"^flash-attn has no wheel for"):
            resolving(FakeUv(UvAnswer(code=1, output="", messages=said)), "flash-attn")
        said = "  × No solution found when resolving dependencies:\n  ╰─▶ Because only numpy<2 is available, …\n"
        with pytest.raises(NotAppendableError, match=r":\n    Because only numpy<2 is available, …\n"):
            resolving(FakeUv(UvAnswer(code=1, output="", messages=said)), "numpy>=2")

    def test_wheels_for_others(self, resolving):
        cause = "Because ccc==1.0 has no wheels with a matching platform tag (e.g., `manylinux_2_31_x86_64`) and only …"
        with pytest.raises(NotAppendableError, match=r"^ccc has no wheel for"):
            resolving(FakeUv(no_solution(cause)), "ccc")

    def test_a_package_that_no_index_has_is_not_left_to_another_builder(self, resolving):
        cause = "Because nosuch was not found in the package registry and you require nosuch, we can conclude …"
        with pytest.raises(BuildError, match="a package is on no index that was asked, for nosuch") as failure:
            resolving(FakeUv(no_solution(cause)), "nosuch")
        assert not isinstance(failure.value, NotAppendableError)

    def test_an_index_that_does_not_answer_is_said_without_its_password(self, resolving):
        said = "error: Failed to fetch: https://me:secret@index.example.com/simple/a/"
        with pytest.raises(BuildError, match=r"index.example.com") as failure:
            resolving(FakeUv(UvAnswer(code=2, output="", messages=said)), "a")
        assert "secret" not in str(failure.value)

    def test_the_family_is_named_where_it_is_in_the_way(self, resolving):
        cause = "Because you require torchaudio>2.4 and torchaudio==2.3.*, we can conclude that …"
        with pytest.raises(NotAppendableError, match=r"torchaudio==2\.3\.\* is what is compiled for the base image"):
            resolving(FakeUv(no_solution(cause)), "torchaudio>2.4")

    def test_an_old_release_is_not_taken_because_it_has_a_wheel(self, resolving):
        uv = FakeUv(solution(from_index("deepspeed", "0.3.1.dev5")), newer_sources=True)
        with pytest.raises(NotAppendableError, match=r"deepspeed is source code alone since 0\.3\.1\.dev5"):
            resolving(uv, "deepspeed<1")
        assert uv.asked_for_newer[0].requirements == ("deepspeed<1,>0.3.1.dev5",)
        assert all("--offline" in asked.arguments for asked in uv.asked_for_newer)

    def test_an_older_release_is_taken_where_newer_ones_do_not_go_with_the_base(self, resolving):
        uv = FakeUv(solution(from_index("torchvision", "0.18.0")), newer_sources=True, newer_wheels=True)
        assert resolving(uv, "torchvision").wheels[0].version == "0.18.0"

    def test_nothing_newer_is_looked_for_where_a_version_is_pinned(self, resolving):
        uv = FakeUv(solution(from_index("deepspeed", "0.3.0"), from_index("needed", "1.0")))
        resolving(uv, "deepspeed==0.3.0")
        assert not uv.asked_for_newer


class TestFamilies:
    def test_companions_are_kept_to_what_is_compiled_for_the_base(self, resolving):
        uv = FakeUv(solution(from_index("torchaudio", "2.3.0", "cp311-cp311-manylinux1_x86_64")))
        resolving(uv, "torchaudio")
        assert "torchaudio==2.3.*" in uv.asked[0].constraints

    def test_a_companion_that_does_not_fit_is_refused(self, resolving):
        uv = FakeUv(solution(from_index("torch", "2.4.0")))
        packages = (TORCH, installed("torchaudio", "2.3.0"))
        with pytest.raises(NotAppendableError, match=r"torchaudio 2.3.0 is not compiled for torch 2.4.0"):
            resolving(uv, "torch==2.4.0", packages=packages, replace=["torch"])


class TestSeveralSteps:
    def test_steps_with_the_same_indexes_are_resolved_together(self, resolving):
        uv = FakeUv(solution(from_index("a", "1"), from_index("b", "1")))
        lock = resolving(uv, "a==1", PipStep(packages=("b==1",), constraints=("c<2",)))
        assert uv.asked[0].requirements == ("a==1", "b==1")
        assert "c<2" in uv.asked[0].constraints
        assert [wheel.name for wheel in lock.wheels] == ["a", "b"]

    def test_a_step_with_its_own_index_comes_on_what_came_before(self, resolving):
        uv = FakeUv(
            solution(from_index("torch-scatter", "2.1.2+pt23cu121", host="https://data.example.com/whl")),
            solution(from_index("a", "1")),
        )
        first = PipStep(packages=("torch-scatter",), find_links=("https://data.example.com/whl/torch-2.3.html",))
        lock = resolving(uv, first, "a==1")
        assert uv.asked[0].environment["UV_FIND_LINKS"] == "https://data.example.com/whl/torch-2.3.html"
        assert "UV_FIND_LINKS" not in uv.asked[1].environment
        earlier = "torch-scatter @ https://data.example.com/whl/torch_scatter-2.1.2%2Bpt23cu121-py3-none-any.whl"
        assert earlier in uv.asked[1].constraints
        assert [wheel.name for wheel in lock.wheels] == ["a", "torch-scatter"]

    def test_without_requirements(self, resolving):
        uv = FakeUv(solution(from_index("bitsandbytes", "0.43.1")), solution(from_index("a", "1")))
        lock = resolving(uv, PipStep(packages=("bitsandbytes==0.43.1",), no_deps=True), "a==1")
        assert "--no-deps" in uv.asked[0].arguments
        assert "--no-deps" not in uv.asked[1].arguments
        assert lock.without_requirements == ("bitsandbytes",)


class TestHashes:
    def test_only_a_file_with_the_hash_is_taken(self, resolving):
        uv = FakeUv(solution(from_index("a", "1", sha256="a" * 64)))
        assert resolving(uv, f"a==1 --hash=sha256:{'a' * 64} --hash=sha256:{'c' * 64}").wheels[0].sha256 == "a" * 64
        assert uv.asked[0].requirements == ("a==1",)

    def test_another_hash_is_refused(self, resolving):
        with pytest.raises(NotAppendableError, match="no wheel of a 1 has one of the hashes"):
            resolving(FakeUv(solution(from_index("a", "1"))), f"a==1 --hash=sha256:{'c' * 64}")

    def test_what_has_none_is_refused_as_pip_does(self, resolving):
        uv = FakeUv(solution(from_index("a", "1"), from_index("b", "1")))
        with pytest.raises(NotAppendableError, match="b 1 would be installed without a hash"):
            resolving(uv, f"a==1 --hash=sha256:{'a' * 64}")

    def test_other_kinds_of_hashes_are_for_another_builder(self, resolving):
        with pytest.raises(NotAppendableError, match="a is asked for with a hash other than sha256"):
            resolving(FakeUv(), f"a==1 --hash=sha512:{'c' * 128}")


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (PipStep(packages=("a @ git+https://example.com/a@main",)), "which is source code"),
        (PipStep(packages=("a @ https://example.com/a-1.0.tar.gz",)), "which is source code"),
        (PipStep(packages=("a",), no_build_isolation=True), "a is compiled in the image"),
        (PipStep(packages=("a",), build_packages=("ninja",)), "a is compiled in the image"),
        (PipStep(packages=("a",), env=(("MAX_JOBS", "4"),)), "installed with the variables MAX_JOBS"),
    ],
)
def test_what_has_to_be_built_is_for_another_builder(resolving, step, reason):
    with pytest.raises(NotAppendableError, match=reason):
        resolving(FakeUv(), step)


def test_a_wheel_that_is_named_by_its_url(resolving):
    answer = (
        '\n[[packages]]\nname = "a"\nversion = "1.0"\n'
        f'archive = {{ url = "https://example.com/a-1.0-py3-none-any.whl", hashes = {{ sha256 = "{"a" * 64}" }} }}\n'
    )
    wheel = resolving(FakeUv(solution(answer)), "a @ https://example.com/a-1.0-py3-none-any.whl").wheels[0]
    assert (wheel.filename, wheel.index) == ("a-1.0-py3-none-any.whl", None)


def test_a_url_does_not_replace_what_the_base_has(resolving):
    with pytest.raises(NotAppendableError, match=r"which has numpy 1.26.4"):
        resolving(FakeUv(), "numpy @ https://example.com/numpy-2.0-py3-none-any.whl")


def test_credentials_are_in_no_argument_and_not_in_the_lock(resolving):
    uv = FakeUv(solution(from_index("a", "1", host="https://me:secret@index.example.com")))
    lock = resolving(uv, "a==1", indexes=PipIndexes(index_url="https://me:secret@index.example.com/simple"))
    assert not any("secret" in argument for argument in uv.asked[0].arguments)
    assert uv.asked[0].environment["UV_DEFAULT_INDEX"] == "https://me:secret@index.example.com/simple"
    assert (lock.wheels[0].url, lock.wheels[0].index) == (
        "https://index.example.com/a-1-py3-none-any.whl",
        "https://index.example.com/simple",
    )
    assert "secret" not in lock.to_json()


def test_the_folder_of_a_base_is_made_once(resolving, tmp_path):
    for _ in range(2):
        resolving(FakeUv(solution()), "a")
    folders = list((tmp_path / "bases").iterdir())
    assert len(folders) == 1
    resolving(FakeUv(solution()), "a", packages=(replace(NUMPY, version="1.26.3"),))
    assert len(list((tmp_path / "bases").iterdir())) == 2


def test_an_answer_that_is_no_lock(resolving):
    with pytest.raises(BuildError, match="uv's answer cannot be read"):
        resolving(FakeUv(UvAnswer(code=0, output="nonsense =", messages="")), "a")
