"""uv itself, against a package index of tiny wheels: what is added to a base, and how it gets here."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest
from fakes.tiny_wheels import installed, inventory, make_wheel
from package_index import LOGIN, running_index

from sagemaker_custom.errors import BuildError, NotAppendableError
from sagemaker_custom.inventory import InstalledPackage
from sagemaker_custom.plan import PipIndexes
from sagemaker_custom.progress import NoProgress
from sagemaker_custom.resolve import PipStep
from sagemaker_custom.wheels.download import HttpDownload
from sagemaker_custom.wheels.lock import read_lock
from sagemaker_custom.wheels.pip_configuration import configuration_files, read_pip_configuration
from sagemaker_custom.wheels.resolver import DeltaResolver
from sagemaker_custom.wheels.sources import Sources
from sagemaker_custom.wheels.store import WheelStore
from sagemaker_custom.wheels.uv import SubprocessUv

LINUX = "cp311-cp311-manylinux_2_17_x86_64"
BASE = (
    installed("filelock", "3.14.0"),
    installed("numpy", "1.26.4"),
    installed("pandas", "2.2.2", "numpy>=1.26,<2", "pytz"),
    installed("torch", "2.3.0+cu121", "filelock", "nowhere-to-be-found"),
    InstalledPackage(
        name="fancy", version="1.0", location="/x", requires=("rich-extra; extra == 'rich'",), provides_extra=("rich",)
    ),
)


@pytest.fixture
def index(tmp_path):
    with running_index(tmp_path / "index") as index:
        yield index


@pytest.fixture
def resolve(tmp_path, index):
    def resolve(*steps, indexes=None, replace=(), packages=BASE, pip=None, **variables):
        environment = {
            name: value for name, value in os.environ.items() if not name.startswith(("UV_", "PIP_", "SSL_"))
        }
        environment |= {"UV_CACHE_DIR": str(tmp_path / "uv"), "UV_HTTP_RETRIES": "0", **variables}
        resolver = DeltaResolver(
            SubprocessUv(),
            folder=tmp_path / "bases",
            environment=environment,
            **({"pip": pip} if pip else {}),
        )
        return resolver.resolve(
            inventory(packages=packages),
            [step if isinstance(step, PipStep) else PipStep(packages=(step,)) for step in steps],
            held=("torch",),
            indexes=indexes or PipIndexes(index_url=index.url),
            replace=replace,
        )

    return resolve


def names(lock):
    return [f"{wheel.name}=={wheel.version}" for wheel in lock.wheels]


def make_sdist(folder, name, version):
    path = folder / f"{name}-{version}.tar.gz"
    with tarfile.open(path, "w:gz"):
        pass


def test_nothing_of_the_base_is_added_or_even_looked_for(index, resolve):
    make_wheel(index.folder, "new", "1.0", requires=("torch==2.3.0", "numpy<2", "needed"))
    make_wheel(index.folder, "needed", "0.1")
    make_wheel(index.folder, "numpy", "1.26.4")
    make_wheel(index.folder, "torch", "2.3.0")
    lock = resolve("new")
    assert names(lock) == ["needed==0.1", "new==1.0"]
    assert {path.strip("/") for path in index.asked if path.startswith("/simple")} == {"simple/new", "simple/needed"}
    assert read_lock(lock.to_json()) == lock


def test_an_index_with_a_password(index, resolve, tmp_path):
    index.has_login = True
    fetched = make_wheel(index.folder, "new", "1.0")
    indexes = PipIndexes(index_url=index.url_with_login)
    lock = resolve("new", indexes=indexes)
    assert (lock.wheels[0].url, lock.wheels[0].index) == (
        f"http://{index.host}/files/new-1.0-py3-none-any.whl",
        index.url,
    )
    store = WheelStore(tmp_path / "wheels", download=HttpDownload(Sources(index_url=index.url_with_login)))
    assert store.fetch(lock, NoProgress())[0].path.read_bytes() == fetched.path.read_bytes()


def test_a_password_that_is_missing_is_said(index, resolve, tmp_path):
    index.has_login = True
    fetched = make_wheel(index.folder, "new", "1.0")
    with pytest.raises(BuildError, match=r"(?s)for new:.*401") as failure:
        resolve("new")
    assert not isinstance(failure.value, NotAppendableError)
    store = WheelStore(tmp_path / "wheels", download=HttpDownload(Sources()))
    index.has_login = False
    lock = resolve("new", UV_CACHE_DIR=str(tmp_path / "uv2"))
    index.has_login = True
    with pytest.raises(BuildError, match=f"127.0.0.1 refuses .*{fetched.path.name}: 401") as refused:
        store.fetch(lock, NoProgress())
    assert "pip_index_url" in refused.value.hint


def test_a_password_of_a_netrc_file(index, resolve, tmp_path, monkeypatch):
    index.has_login = True
    make_wheel(index.folder, "new", "1.0")
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine 127.0.0.1 login {LOGIN[0]} password {LOGIN[1]}\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    lock = resolve("new", NETRC=str(netrc))
    store = WheelStore(tmp_path / "wheels", download=HttpDownload(Sources()))
    assert store.fetch(lock, NoProgress())[0].path.is_file()


def test_a_download_that_breaks_off_goes_on(index, resolve, tmp_path):
    fetched = make_wheel(index.folder, "new", "1.0", {"new/data": os.urandom(3 << 20)})
    lock = resolve("new")
    index.asked.clear()
    index.cut_after = (2 << 20) + 5
    store = WheelStore(tmp_path / "wheels", download=HttpDownload(Sources()), sleep=lambda _: None)
    assert store.fetch(lock, NoProgress())[0].path.read_bytes() == fetched.path.read_bytes()
    assert len(index.asked) == 2


def test_a_wheel_that_is_gone_is_said(index, resolve, tmp_path):
    path = make_wheel(index.folder, "new", "1.0").path
    lock = resolve("new")
    path.unlink()
    with pytest.raises(BuildError, match=r"127.0.0.1 does not have .*new-1.0-py3-none-any.whl: 404"):
        WheelStore(tmp_path / "wheels", download=HttpDownload(Sources())).fetch(lock, NoProgress())


def test_an_index_that_is_down(resolve, index):
    with pytest.raises(BuildError, match="uv could not look for new"):
        resolve("new", indexes=PipIndexes(index_url="http://127.0.0.1:1/simple"))


def test_wheels_of_a_folder(index, resolve, tmp_path):
    fetched = make_wheel(index.folder, "new", "1.0")
    lock = resolve(PipStep(packages=("new",), find_links=(str(index.folder),)))
    assert lock.wheels[0].url == fetched.path.as_uri()
    store = WheelStore(tmp_path / "wheels", download=HttpDownload(Sources()))
    assert store.fetch(lock, NoProgress())[0].path.read_bytes() == fetched.path.read_bytes()
    fetched.path.unlink()
    with pytest.raises(BuildError, match="cannot be read: No such file"):
        WheelStore(tmp_path / "others", download=HttpDownload(Sources())).fetch(lock, NoProgress())


def test_extras_of_a_package_of_the_base(index, resolve):
    make_wheel(index.folder, "rich_extra", "1.0")
    assert names(resolve("fancy[rich]")) == ["rich-extra==1.0"]


def test_markers_are_those_of_the_base(index, resolve):
    make_wheel(index.folder, "a", "1.0", requires=("b; python_version < '3.11'", "c; sys_platform == 'linux'"))
    make_wheel(index.folder, "c", "1.0")
    assert names(resolve("a", "d; platform_machine == 'aarch64'")) == ["a==1.0", "c==1.0"]


def test_releases_that_are_not_final_are_taken_on_demand_alone(index, resolve):
    make_wheel(index.folder, "a", "1.0")
    make_wheel(index.folder, "a", "2.0rc1")
    assert names(resolve("a")) == ["a==1.0"]
    assert names(resolve("a>=2.0rc1")) == ["a==2.0rc1"]


def test_withdrawn_releases_are_taken_when_pinned_alone(index, resolve):
    make_wheel(index.folder, "a", "1.0")
    index.yanked.add(make_wheel(index.folder, "a", "2.0").path.name)
    assert names(resolve("a")) == ["a==1.0"]
    assert names(resolve("a==2.0")) == ["a==2.0"]


def test_requires_python_is_that_of_the_base(index, resolve):
    make_wheel(index.folder, "a", "1.0")
    make_wheel(index.folder, "a", "2.0", requires_python=">=3.12")
    assert names(resolve("a")) == ["a==1.0"]


def test_the_best_of_all_indexes_is_taken_as_pip_does(index, resolve, tmp_path):
    make_wheel(index.folder, "a", "1.0")
    with running_index(tmp_path / "second") as second:
        make_wheel(second.folder, "a", "2.0")
        lock = resolve("a", indexes=PipIndexes(index_url=index.url, extra_index_urls=(second.url,)))
    assert names(lock) == ["a==2.0"]


def test_links_without_hashes_and_a_step_upon_them(index, resolve, tmp_path):
    index.has_hashes = False
    make_wheel(index.folder, "torch_scatter", "2.1.2+pt23cu121", tag="cp311-cp311-linux_x86_64", requires=("torch",))
    with running_index(tmp_path / "second") as second:
        make_wheel(second.folder, "upon", "1.0", requires=("torch-scatter>=2",))
        lock = resolve(
            PipStep(packages=("torch-scatter",), find_links=(index.links,)),
            "upon",
            indexes=PipIndexes(index_url=second.url),
        )
        store = WheelStore(tmp_path / "wheels", download=HttpDownload(Sources()))
        assert len(store.fetch(lock, NoProgress())) == 2
    assert names(lock) == ["torch-scatter==2.1.2+pt23cu121", "upon==1.0"]


def test_without_what_it_requires(index, resolve):
    make_wheel(index.folder, "a", "1.0", requires=("torch>=99", "b"))
    lock = resolve(PipStep(packages=("a",), no_deps=True))
    assert (names(lock), lock.without_requirements) == (["a==1.0"], ("a",))


class TestRefusals:
    def test_source_code_alone(self, index, resolve):
        make_sdist(index.folder, "flash_attn", "2.5.8")
        with pytest.raises(NotAppendableError, match=r"^flash-attn has no wheel for Python 3\.11\.9 on linux/amd64"):
            resolve("flash-attn")

    def test_a_newer_release_of_source_code(self, index, resolve):
        make_wheel(index.folder, "deepspeed", "0.3.1")
        make_sdist(index.folder, "deepspeed", "0.14.0")
        with pytest.raises(NotAppendableError, match=r"^deepspeed is source code alone since 0\.3\.1"):
            resolve("deepspeed")
        assert names(resolve("deepspeed==0.3.1")) == ["deepspeed==0.3.1"]

    def test_newer_releases_for_another_python_do_not_count(self, index, resolve):
        make_wheel(index.folder, "a", "1.0")
        make_wheel(index.folder, "a", "2.0", requires_python=">=3.12")
        make_sdist(index.folder, "a", "2.0")
        index.requires_python["a-2.0"] = ">=3.12"
        assert names(resolve("a")) == ["a==1.0"]

    @pytest.mark.parametrize("tag", ["cp312-cp312-manylinux_2_17_x86_64", "cp311-cp311-manylinux_2_35_x86_64"])
    def test_wheels_for_others(self, index, resolve, tag):
        make_wheel(index.folder, "a", "1.0", tag=tag)
        with pytest.raises(NotAppendableError, match=r"^a has no wheel for"):
            resolve("a")

    def test_a_conflict_names_what_is_in_the_base(self, index, resolve):
        make_wheel(index.folder, "a", "1.0", requires=("numpy>=2",))
        with pytest.raises(NotAppendableError, match=r"a does not go with the base image, which has numpy 1\.26\.4"):
            resolve("a")

    def test_what_the_image_is_made_for(self, index, resolve):
        make_wheel(index.folder, "torch", "2.4.0")
        with pytest.raises(NotAppendableError, match=r"torch 2\.3\.0\+cu121") as failure:
            resolve("torch>=2.4")
        assert "choose the base image" in failure.value.hint

    def test_a_companion_that_was_compiled_for_another_release(self, index, resolve):
        make_wheel(index.folder, "torchaudio", "2.11.0", tag=LINUX)
        with pytest.raises(NotAppendableError, match=r"torchaudio==2\.3\.\* is what is compiled for the base image"):
            resolve("torchaudio")
        make_wheel(index.folder, "torchaudio", "2.3.0", tag=LINUX)
        os.utime(index.folder)
        assert names(resolve("torchaudio", UV_NO_CACHE="1")) == ["torchaudio==2.3.0"]

    def test_a_package_that_is_nowhere(self, resolve):
        with pytest.raises(BuildError, match="a package is on no index that was asked, for nosuch") as failure:
            resolve("nosuch")
        assert not isinstance(failure.value, NotAppendableError)


class TestReplacing:
    def test_another_version_and_nothing_else(self, index, resolve):
        make_wheel(index.folder, "numpy", "1.26.5")
        lock = resolve("numpy==1.26.5", replace=["numpy"])
        assert (names(lock), lock.replaced) == (["numpy==1.26.5"], ("numpy",))

    def test_what_the_base_needs_is_asked_too(self, index, resolve):
        make_wheel(index.folder, "numpy", "2.0.0")
        with pytest.raises(NotAppendableError, match=r"which has pandas 2\.2\.2"):
            resolve("numpy==2.0.0", replace=["numpy"])

    def test_what_is_allowed_but_not_needed_is_left_alone(self, index, resolve):
        make_wheel(index.folder, "numpy", "1.26.5")
        make_wheel(index.folder, "a", "1.0", requires=("numpy",))
        lock = resolve("a", replace=["numpy"])
        assert (names(lock), lock.replaced) == (["a==1.0"], ())

    def test_what_a_new_package_needs(self, index, resolve):
        make_wheel(index.folder, "numpy", "1.26.5")
        make_wheel(index.folder, "a", "1.0", requires=("numpy>1.26.4",))
        lock = resolve("a", replace=["numpy"])
        assert (names(lock), lock.replaced) == (["a==1.0", "numpy==1.26.5"], ("numpy",))


def test_pips_own_configuration_is_enough(index, resolve, tmp_path):
    make_wheel(index.folder, "a", "1.0")
    index.has_login = True
    file = tmp_path / "pip.conf"
    file.write_text(f"[global]\nindex-url = {index.url_with_login}\n")
    environment = {"PIP_CONFIG_FILE": str(file)}
    pip = read_pip_configuration(environment, configuration_files(environment))
    assert names(resolve("a", indexes=PipIndexes(), pip=pip)) == ["a==1.0"]


def test_the_project_that_is_worked_on_does_not_count(index, resolve, tmp_path, monkeypatch):
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text(
        '[project]\nname = "p"\nversion = "1"\n[tool.uv]\nconstraint-dependencies = ["a<1"]\n'
    )
    monkeypatch.chdir(project)
    make_wheel(index.folder, "a", "1.0")
    assert names(resolve("a", UV_CONSTRAINT="c.txt", UV_RESOLUTION="lowest")) == ["a==1.0"]
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["pyproject.toml"]


def test_a_program_that_is_not_there(tmp_path):
    with pytest.raises(BuildError, match="uv cannot be started"):
        SubprocessUv().run(["--version"], folder=tmp_path / "missing", environment={})
