"""Layers with a Python in them → what that Python sees, where pip installs, and which C library there is."""

from __future__ import annotations

import pytest
from fakes.base_images import CONDA, LIBC, Folder, Hard, Link, conda, config_of, layer, package

from sagemaker_custom.errors import BaseImageError
from sagemaker_custom.inventories import combine, scan_layer
from sagemaker_custom.reference import digest_of

BASE = digest_of(b"manifest")


def inventory_and_records(*layers: dict, python="/opt/conda/bin/python", config=None, platform="linux/amd64"):
    facts = [scan_layer([layer(entries)]) for entries in layers]
    return combine(facts, config or config_of(), base=BASE, platform=platform, python=python)


def inventory_of(*layers: dict, **arguments):
    return inventory_and_records(*layers, **arguments)[0]


def versions(inventory) -> dict[str, str]:
    return {package.normalised_name: package.version for package in inventory.packages}


class TestConda:
    def test_everything_about_it(self):
        headers = (
            'Requires-Python: >=3.8\nProvides-Extra: opt\nRequires-Dist: numpy <3\nRequires-Dist: x ; extra == "opt"\n'
        )
        found, records = inventory_and_records(
            conda(), package(CONDA, "torch", "2.3.0+cu121", headers=headers, record=("torch/a.py", "../../../bin/run"))
        )
        assert (found.base, found.platform) == (BASE, "linux/amd64")
        assert (found.python, found.python_version) == ("/opt/conda/bin/python", "3.11.9")
        assert (found.site_packages, found.scripts, found.glibc) == (CONDA, "/opt/conda/bin", "2.31")
        (torch,) = found.packages
        assert (torch.name, torch.version, torch.requires_python) == ("torch", "2.3.0+cu121", ">=3.8")
        assert torch.location == f"{CONDA}/torch-2.3.0+cu121.dist-info"
        assert torch.requires == ("numpy <3", 'x ; extra == "opt"')
        assert torch.provides_extra == ("opt",)
        assert records == {
            "torch": (
                f"{CONDA}/torch/a.py",
                "/opt/conda/bin/run",
                f"{torch.location}/METADATA",
                f"{torch.location}/RECORD",
            )
        }

    def test_name_is_looked_up_in_the_path_of_the_image(self):
        assert inventory_of(conda(), python="python3").python == "/opt/conda/bin/python3"

    def test_patch_release_without_headers_is_that_of_condas_own_list(self):
        files = conda() | {"/opt/conda/conda-meta/python-3.11.8-h955ad1f_0_cpython.json": "{}"}
        del files["/opt/conda/include/python3.11/patchlevel.h"]
        assert inventory_of(files).python_version == "3.11.8"

    def test_patch_release_that_nothing_tells_is_left_out(self):
        files = conda()
        del files["/opt/conda/include/python3.11/patchlevel.h"]
        assert inventory_of(files).python_version == "3.11"

    def test_hard_links_of_condas_package_cache(self):
        cached = package("/opt/conda/pkgs/x-1-0/site-packages", "x", "1")
        linked = {path.replace("/opt/conda/pkgs/x-1-0/site-packages", CONDA): Hard(path) for path in cached}
        assert versions(inventory_of(conda(), cached | linked)) == {"x": "1"}


class TestDebian:
    def files(self, release="3.11"):
        return {
            "/bin": Link("usr/bin"),
            "/usr/bin/python3": Link(f"python{release}"),
            f"/usr/bin/python{release}": b"elf",
            f"/usr/lib/python{release}/os.py": "",
            "/var/lib/dpkg/status": f"Package: bash\nVersion: 5\n\nPackage: python{release}-minimal\n"
            f"Status: install ok installed\nVersion: {release}.2-6+deb12u5\nDescription: x\n\n",
            "/lib/x86_64-linux-gnu/libc.so.6": LIBC.replace(b"2.31", b"2.36"),
        }

    def test_pip_installs_beside_debians_own_packages(self):
        found = inventory_of(
            self.files(),
            package("/usr/lib/python3/dist-packages", "six", "1.16.0", record=None)
            | package("/usr/local/lib/python3.11/dist-packages", "six", "1.17.0")
            | package("/usr/local/lib/python3.11/site-packages", "unseen", "1")
            | {"/usr/lib/python3/dist-packages/PyYAML-6.0.egg-info/PKG-INFO": "Name: PyYAML\nVersion: 6.0\n"},
            python="/usr/bin/python3",
        )
        assert found.site_packages == "/usr/local/lib/python3.11/dist-packages"
        assert (found.scripts, found.python_version, found.glibc) == ("/usr/local/bin", "3.11.2", "2.36")
        assert versions(found) == {"pyyaml": "6.0", "six": "1.17.0"}

    def test_environment_that_sees_those_of_the_system(self):
        environment = {
            "/opt/venv/pyvenv.cfg": "home = /usr/bin\ninclude-system-site-packages = true\nversion = 3.11.1\n",
            "/opt/venv/bin/python": Link("python3"),
            "/opt/venv/bin/python3": Link("/usr/bin/python3"),
            "/opt/venv/lib64": Link("lib"),
        }
        found = inventory_of(
            self.files(),
            environment,
            package("/opt/venv/lib/python3.11/site-packages", "torch", "2.6.0"),
            package("/usr/lib/python3/dist-packages", "six", "1.16.0"),
            package("/usr/local/lib/python3.11/dist-packages", "torch", "1.0"),
            python="/opt/venv/bin/python",
        )
        assert found.site_packages == "/opt/venv/lib/python3.11/site-packages"
        assert (found.python, found.scripts) == ("/opt/venv/bin/python", "/opt/venv/bin")
        # What is in the image now counts more than what was there when the environment was made.
        assert found.python_version == "3.11.2"
        assert versions(found) == {"torch": "2.6.0", "six": "1.16.0"}


class TestVirtualEnvironment:
    def environment(self, text):
        return {
            "/opt/venv/pyvenv.cfg": text,
            "/opt/venv/bin/python": Link("/usr/local/bin/python3.12"),
            **package("/opt/venv/lib/python3.12/site-packages", "torch", "2.6.0"),
        }

    BASE = {  # noqa: RUF012
        "/usr/local/bin/python3.12": b"elf",
        "/usr/local/lib/python3.12/os.py": "",
        "/usr/local/include/python3.12/patchlevel.h": '#define PY_VERSION "3.12.8"\n',
        **package("/usr/local/lib/python3.12/site-packages", "pip", "24"),
    }

    @pytest.mark.parametrize("line", ["", "include-system-site-packages = false"])
    def test_packages_of_its_base_are_not_seen(self, line):
        text = f"home = /usr/local/bin\n{line}\nversion_info = 3.12.7.final.0\n"
        found = inventory_of(self.BASE, self.environment(text), python="/opt/venv/bin/python")
        assert versions(found) == {"torch": "2.6.0"}
        assert found.python_version == "3.12.8"

    def test_base_that_is_not_in_the_image(self):
        found = inventory_of(self.environment("home = /gone/bin\nversion = 3.12.7"), python="/opt/venv/bin/python")
        assert (found.python_version, versions(found)) == ("3.12.7", {"torch": "2.6.0"})


class TestOtherPlaces:
    def test_usr_local_with_its_own_headers(self):
        found = inventory_of(
            TestVirtualEnvironment.BASE, config=config_of(env=("PATH=/usr/local/bin:/usr/bin",)), python="python3.12"
        )
        assert found.site_packages == "/usr/local/lib/python3.12/site-packages"
        assert (found.python, found.scripts) == ("/usr/local/bin/python3.12", "/usr/local/bin")
        assert found.glibc is None

    def test_red_hats_two_libraries(self):
        found = inventory_of(
            {
                "/usr/bin/python3": Link("python3.9"),
                "/usr/bin/python3.9": b"elf",
                "/usr/lib64/python3.9/os.py": "",
                "/lib64": Link("usr/lib64"),
                "/usr/lib64/libc.so.6": LIBC.replace(b"2.31", b"2.34"),
                "/usr/lib/libc.so.6": LIBC,
                **package("/usr/lib64/python3.9/site-packages", "rpm", "4.16"),
                **package("/usr/lib/python3.9/site-packages", "six", "1"),
                **package("/usr/local/lib64/python3.9/site-packages", "numpy", "2"),
            },
            python="/usr/bin/python3",
        )
        assert versions(found) == {"rpm": "4.16", "six": "1", "numpy": "2"}
        assert found.site_packages == "/usr/local/lib/python3.9/site-packages"
        assert found.glibc == "2.34"

    def test_musl(self):
        files = {"/usr/bin/python3.12": b"", "/usr/lib/python3.12/os.py": "", "/lib/ld-musl-x86_64.so.1": b""}
        found = inventory_of(files, python="/usr/bin/python3.12")
        assert found.glibc is None
        assert (found.site_packages, found.scripts) == ("/usr/lib/python3.12/site-packages", "/usr/bin")

    def test_c_library_is_that_of_the_platform(self):
        files = conda() | {"/usr/lib/aarch64-linux-gnu/libc.so.6": LIBC.replace(b"2.31", b"2.35")}
        assert inventory_of(files, platform="linux/arm64").glibc == "2.35"

    def test_c_library_that_only_its_name_tells(self):
        files = conda() | {"/usr/lib/x86_64-linux-gnu/libc-2.31.so": b"stripped of all"}
        assert inventory_of(files).glibc == "2.31"

    def test_folder_that_is_a_link(self):
        files = {path.replace("/opt/conda", "/data/conda"): content for path, content in conda().items()}
        found = inventory_of(files, {"/opt/conda": Link("/data/conda")}, package("/data" + CONDA[4:], "x", "1"))
        assert found.python == "/opt/conda/bin/python"
        assert found.site_packages == "/data/conda/lib/python3.11/site-packages"
        assert versions(found) == {"x": "1"}

    def test_pythonpath_of_the_image_comes_first(self):
        config = config_of(env=("PATH=/opt/conda/bin", "PYTHONPATH=/opt/ml:relative"))
        found = inventory_of(conda(), package("/opt/ml", "x", "2"), package(CONDA, "x", "1"), config=config)
        assert versions(found) == {"x": "2"}


class TestPackages:
    def test_package_that_a_later_layer_replaced(self):
        later = {f"{CONDA}/.wh.numpy-1.26.4.dist-info": b"", **package(CONDA, "numpy", "2.0.0")}
        assert versions(inventory_of(conda(), package(CONDA, "numpy", "1.26.4"), later)) == {"numpy": "2.0.0"}

    def test_same_folder_written_over_by_a_later_layer(self):
        later = {f"{CONDA}/x-1.dist-info/METADATA": "Name: x\nVersion: 1\nRequires-Dist: y\n"}
        (found,) = inventory_of(conda(), package(CONDA, "x", "1"), later).packages
        assert found.requires == ("y",)

    def test_of_two_versions_in_one_folder_the_later_layer_counts(self):
        found, records = inventory_and_records(
            conda(), package(CONDA, "numpy", "2.2.6"), package(CONDA, "Numpy", "1.26.4")
        )
        assert versions(found) == {"numpy": "1.26.4"}
        assert records["numpy"] == tuple(f"{CONDA}/Numpy-1.26.4.dist-info/{name}" for name in ("METADATA", "RECORD"))

    def test_of_two_versions_in_one_layer_the_higher_one_counts(self):
        both = package(CONDA, "numpy", "1.9") | package(CONDA, "numpy", "1.10")
        assert versions(inventory_of(conda(), both)) == {"numpy": "1.10"}

    def test_version_that_is_none_does_not_hide_one(self):
        both = package(CONDA, "numpy", "1.9") | package(CONDA, "numpy", "unknown")
        assert versions(inventory_of(conda(), both)) == {"numpy": "1.9"}

    def test_package_removed_with_the_whole_environment(self):
        assert not inventory_of(
            conda(), package(CONDA, "x", "1"), {"/opt/.wh.conda": b""}, conda(), {CONDA: Folder}
        ).packages

    def test_egg_infos_as_folder_and_as_file(self):
        found, records = inventory_and_records(
            conda(),
            {
                f"{CONDA}/a-1.egg-info/PKG-INFO": "Name: a\nVersion: 1\nProvides-Extra: fast\n",
                f"{CONDA}/a-1.egg-info/requires.txt": 'b>=2\n\n[:python_version < "4"]\nc\n\n[fast]\nd\n[fast:x]\ne\n',
                f"{CONDA}/a-1.egg-info/installed-files.txt": "../a.py\nPKG-INFO\n",
                f"{CONDA}/b-2.egg-info": "Name: b\nVersion: 2\n",
            },
        )
        a, b = found.packages
        assert a.requires == (
            "b>=2",
            'c ; (python_version < "4")',
            'd ; extra == "fast"',
            'e ; (x) and extra == "fast"',
        )
        assert b.location == f"{CONDA}/b-2.egg-info"
        assert records == {"a": (f"{CONDA}/a.py", f"{CONDA}/a-1.egg-info/PKG-INFO")}

    def test_pth_files_add_folders_and_eggs(self):
        found = inventory_of(
            conda(),
            {
                f"{CONDA}/easy-install.pth": "./egg-1.egg\n/src/app\n# /not/this\nimport sys\n/nowhere\n",
                f"{CONDA}/egg-1.egg/EGG-INFO/PKG-INFO": "Name: egg\nVersion: 1\n",
                f"{CONDA}/other-1.egg/EGG-INFO/PKG-INFO": "Name: other\nVersion: 1\n",
                "/src/app/app.egg-info/PKG-INFO": "Name: app\nVersion: 3\n",
            },
        )
        assert versions(found) == {"egg": "1", "app": "3"}

    def test_package_without_a_list_of_files_has_no_records(self):
        _, records = inventory_and_records(conda(), package(CONDA, "x", "1", record=None))
        assert records == {}

    @pytest.mark.parametrize("text", ["Version: 1\n", "Name: x\n", "\n"])
    def test_metadata_that_lacks_name_or_version_is_no_package(self, text):
        assert not inventory_of(conda(), {f"{CONDA}/y.dist-info/METADATA": text}).packages

    def test_metadata_of_which_only_a_second_name_is_there_is_known_by_its_folder(self):
        found = inventory_of(conda(), {f"{CONDA}/y_z-1.2.dist-info/METADATA": Hard("/cache/4f2a")})
        assert versions(found) == {"y-z": "1.2"}

    def test_names_that_are_written_otherwise_are_one_package(self):
        both = package(CONDA, "Typing_Extensions", "4.12") | package("/opt/ml", "typing-extensions", "4.1")
        config = config_of(env=("PYTHONPATH=/opt/ml",))
        assert versions(inventory_of(conda(), both, config=config)) == {"typing-extensions": "4.1"}


class TestNoPython:
    def test_path_that_is_not_there(self):
        with pytest.raises(BaseImageError) as caught:
            inventory_of(conda(), python="/opt/venv/bin/python")
        assert str(caught.value) == (
            "the base image has no /opt/venv/bin/python\n  -> name the Python that the image runs"
        )

    def test_name_that_is_not_in_the_path(self):
        with pytest.raises(BaseImageError, match=r"^the base image has no python3 in /bin:/usr/bin\n"):
            inventory_of(conda(), python="python3", config=config_of(env=("PATH=/bin:/usr/bin",)))

    def test_config_without_an_environment(self):
        with pytest.raises(BaseImageError, match=r"has no python3 in /usr/local/sbin:"):
            inventory_of(conda(), python="python3", config={"config": None})

    @pytest.mark.parametrize(
        "files",
        [
            {"/x/bin/python": b""},
            {"/x/bin/python": b"", "/x/pyvenv.cfg": "home = /gone\n"},
        ],
    )
    def test_interpreter_without_a_standard_library(self, files):
        with pytest.raises(BaseImageError, match=r"^/x/bin/python of the base image has no standard library"):
            inventory_of(files, python="/x/bin/python")
