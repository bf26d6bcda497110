"""Whether local mode takes a GPU: the engine is asked, and a missing runtime is told before anything starts."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sagemaker_custom import CustomLocalSession, CustomPyTorch
from sagemaker_custom.errors import EngineUnavailableError
from sagemaker_custom.sdk.local_gpu import local_instance_type, require_gpu

RUNC = {"Runtimes": {"runc": {}, "io.containerd.runc.v2": {}}, "DefaultRuntime": "runc"}
NVIDIA = {"Runtimes": {"runc": {}, "nvidia": {"path": "nvidia-container-runtime"}}, "DefaultRuntime": "runc"}
DEFAULT = {"Runtimes": {"runc": {}}, "DefaultRuntime": "nvidia"}
CDI = {**RUNC, "DiscoveredDevices": [{"Source": "cdi", "ID": "nvidia.com/gpu=0"}]}
OTHER_CDI = {**RUNC, "DiscoveredDevices": [{"Source": "cdi", "ID": "vendor.com/nic=0"}]}


def engine(info, address="unix:///var/run/docker.sock"):
    return SimpleNamespace(address=address, info=lambda: info)


def nothing(program):
    return None


def hook(program):
    return f"/usr/bin/{program}" if program == "nvidia-container-runtime-hook" else None


@pytest.mark.parametrize(
    ("info", "chosen"),
    [
        (RUNC, "local"),
        ({}, "local"),
        (NVIDIA, "local_gpu"),
        (DEFAULT, "local_gpu"),
        (CDI, "local_gpu"),
        (OTHER_CDI, "local"),
        ({**RUNC, "DiscoveredDevices": None}, "local"),
    ],
)
def test_engine_decides(info, chosen):
    assert local_instance_type(engine(info), which=nothing) == chosen


def test_toolkit_that_nobody_configured_is_enough_for_an_engine_of_this_machine():
    assert local_instance_type(engine(RUNC), which=hook) == "local_gpu"
    assert local_instance_type(engine(RUNC, "tcp://elsewhere:2375"), which=hook) == "local"


def test_devices_by_cdi_alone_are_asked_for_by_cdi():
    assert require_gpu(engine(CDI), which=nothing)["driver"] == "cdi"
    assert require_gpu(engine(NVIDIA), which=nothing) == {"count": "all", "capabilities": ["gpu"]}


def test_missing_runtime_is_told_with_its_repair():
    with pytest.raises(EngineUnavailableError) as caught:
        require_gpu(engine(RUNC), which=nothing)
    assert str(caught.value) == (
        "instance_type='local_gpu' needs a GPU, and the Docker Engine at unix:///var/run/docker.sock has no NVIDIA "
        "runtime\n  -> install nvidia-container-toolkit, run 'nvidia-ctk runtime configure --runtime=docker' and "
        "restart Docker; or take instance_type='local', or 'local_auto' to have it chosen"
    )


def test_session_refuses_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    session = CustomLocalSession(engine=engine(RUNC))
    with pytest.raises(EngineUnavailableError, match="has no NVIDIA runtime"):
        session.local_container("local_gpu", 1, "team:1")


@pytest.mark.parametrize(("info", "cuda"), [(RUNC, None), (NVIDIA, "cu121")])
def test_local_auto_chooses_the_image_too(info, cuda, tmp_path):
    (tmp_path / "train.py").write_text("")
    session = CustomLocalSession(engine=engine(info))
    arguments = {"source_dir": str(tmp_path), "framework_version": "2.3", "extras": ["pip:zarr"]}
    estimator = CustomPyTorch(
        "train.py", instance_type="local_auto", instance_count=1, sagemaker_session=session, **arguments
    )
    assert estimator.instance_type == ("local_gpu" if cuda else "local")
    assert estimator.plan_image().base.cuda_version == cuda
    assert estimator.plan_image("inference", "local_auto").is_local
