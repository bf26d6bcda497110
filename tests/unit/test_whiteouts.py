"""What is deleted of packages that a base loses."""

from __future__ import annotations

from fakes.tiny_wheels import SITE

from sagemaker_custom.wheels.whiteouts import paths_to_delete


def deleted(removed, kept=None):
    paths = {name: tuple(f"{SITE}/{path}" for path in files) for name, files in removed.items()}
    others = None if kept is None else [f"{SITE}/{path}" for path in kept]
    found = paths_to_delete(paths, site_packages=SITE, kept=others)
    return [path.removeprefix(f"{SITE}/") for path in found]


NUMPY = ("numpy/__init__.py", "numpy/core/x.py", "numpy/py.typed", "numpy.libs/blas.so", "numpy-1.26.dist-info/RECORD")


def test_package_of_its_own_folder_goes_with_its_byte_code_and_all():
    assert deleted({"numpy": NUMPY}, kept=["pandas/__init__.py"]) == ["numpy", "numpy-1.26.dist-info", "numpy.libs"]


def test_without_knowledge_of_other_packages_files_go_one_by_one():
    assert deleted({"numpy": NUMPY}) == [
        "numpy-1.26.dist-info",
        "numpy.libs",
        "numpy/__init__.py",
        "numpy/core/x.py",
        "numpy/py.typed",
    ]


def test_folder_that_others_share_stays_and_so_do_their_files():
    cublas = ("nvidia/__init__.py", "nvidia/cublas/__init__.py", "nvidia/cublas/lib/x.so")
    kept = ["nvidia/__init__.py", "nvidia/cudnn/__init__.py"]
    assert deleted({"nvidia-cublas": cublas}, kept=kept) == ["nvidia/cublas"]


def test_folder_without_init_is_not_taken_as_a_whole():
    assert deleted({"google-x": ("google/x/a.py", "google/x/b.py")}, kept=[]) == ["google/x/a.py", "google/x/b.py"]


def test_scripts_and_modules_go_as_files():
    assert deleted({"six": ("six.py", "../../../bin/six", "six-1.dist-info/METADATA")}, kept=[]) == [
        "../../../bin/six",
        "six-1.dist-info",
        "six.py",
    ]


def test_site_packages_itself_is_never_deleted():
    assert deleted({"odd": ("__init__.py", "odd.py")}, kept=[]) == ["__init__.py", "odd.py"]


def test_metadata_folder_of_two_packages_stays():
    assert deleted({"a": ("both.libs/a.so",)}, kept=["both.libs/b.so"]) == ["both.libs/a.so"]


def test_nothing_removed_deletes_nothing():
    assert deleted({}) == []
