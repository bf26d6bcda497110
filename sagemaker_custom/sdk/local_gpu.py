"""A Docker Engine → whether its containers get a GPU, and how local mode asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from typing import Any

from sagemaker_custom.errors import EngineUnavailableError
from sagemaker_custom.sdk.serving import EngineInfo

_HOOK = "nvidia-container-runtime-hook"
_ANY_GPU: Mapping[str, Any] = {"count": "all", "capabilities": ["gpu"]}
_ANY_CDI_GPU: Mapping[str, Any] = {"driver": "cdi", "device_ids": ["nvidia.com/gpu=all"]}


def local_instance_type(engine: EngineInfo, *, which: Callable[[str], str | None] = shutil.which) -> str:
    """Choose what ``instance_type="local_auto"`` means on this machine.

    Args:
        engine: Is asked for the NVIDIA runtime and for devices by CDI.
        which: Looks programs up, since an engine of this machine also finds NVIDIA's hook on the path.

    Returns:
        ``local_gpu`` where containers get a GPU, else ``local``.

    Raises:
        EngineUnavailableError: No engine answers.
    """
    return "local" if _gpu_device(engine, which) is None else "local_gpu"


def require_gpu(engine: EngineInfo, *, which: Callable[[str], str | None] = shutil.which) -> dict[str, Any]:
    """Return how a Compose service asks for all GPUs, before anything is started.

    Args:
        engine: As for :func:`local_instance_type`.
        which: As for :func:`local_instance_type`.

    Raises:
        EngineUnavailableError: Its containers get no GPU, or it does not answer.
    """
    device = _gpu_device(engine, which)
    if device is None:
        raise EngineUnavailableError(
            f"instance_type='local_gpu' needs a GPU, and the Docker Engine at {engine.address} has no NVIDIA runtime",
            hint="install nvidia-container-toolkit, run 'nvidia-ctk runtime configure --runtime=docker' and restart "
            "Docker; or take instance_type='local', or 'local_auto' to have it chosen",
        )
    return dict(device)


def _gpu_device(engine: EngineInfo, which: Callable[[str], str | None]) -> Mapping[str, Any] | None:
    info = engine.info()
    runtimes = info.get("Runtimes")
    names = {*(runtimes if isinstance(runtimes, dict) else ()), info.get("DefaultRuntime")}
    # The toolkit's package alone, without its configuration, is enough for Docker's own way to hand out GPUs.
    if "nvidia" in names or (engine.address.startswith("unix:") and which(_HOOK)):
        return _ANY_GPU
    devices = info.get("DiscoveredDevices")
    found = (
        [device.get("ID", "") for device in devices if isinstance(device, dict)] if isinstance(devices, list) else []
    )
    return _ANY_CDI_GPU if any(str(name).startswith("nvidia.com/gpu") for name in found) else None
