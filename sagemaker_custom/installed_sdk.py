"""The distributions that are installed → which SageMaker SDK the classes of this package speak; imports none."""

from __future__ import annotations

from collections.abc import Callable
from importlib import metadata

from sagemaker_custom.errors import UsageError

_ADAPTERS = {"2": "sagemaker_custom.sdk_v2", "3": "sagemaker_custom.sdk_v3"}


def adapter(version_of: Callable[[str], str] = metadata.version) -> str:
    """Name the module that has the classes for the SDK that is installed.

    Its metadata decide: an import that fails for some other reason never makes the other adapter answer.

    Args:
        version_of: Distribution → its version.

    Raises:
        UsageError: No SDK is installed, or one that nothing here speaks.
    """
    try:
        version = version_of("sagemaker")
    except metadata.PackageNotFoundError:
        raise UsageError(
            "the SageMaker Python SDK is not installed, which the classes named Custom… stand on",
            hint="pip install 'sagemaker-custom[sdk]'; [v2] and [v3] hold on to one of its two lines",
        ) from None
    module = _ADAPTERS.get(version.partition(".")[0])
    if module is None:
        raise UsageError(
            f"sagemaker {version} is installed, whose classes are not known here",
            hint="pip install 'sagemaker-custom[v3]', or [v2]",
        )
    return module
