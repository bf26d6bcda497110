"""Defects of the SDK v2 that none of its hooks reaches, put right by name; v2 is frozen and will not do it.

* Its telemetry waits without limit (it passes the two seconds as query parameters), which blocks ``fit()`` where a
  firewall drops packets.
* Local mode looks for the literal ``v2`` in what ``docker compose version`` prints, so that 5 counts as missing.
* Each subclass, ours included, is announced as a deprecated part of the SDK.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import requests
from sagemaker import deprecations
from sagemaker.local.image import _SageMakerContainer
from sagemaker.telemetry import telemetry_logging

from sagemaker_custom.sdk.compose import compose_command
from sagemaker_custom.sdk.telemetry import heed_settings

logger = logging.getLogger(__name__)

_TELEMETRY_TIMEOUT_S = 2


def repair_sdk(class_names: Iterable[str]) -> None:
    """Put our versions in place; may be called any number of times.

    Args:
        class_names: Of our subclasses. The SDK's own warning, at its import, stays.
    """
    deprecations._v2_deprecation_warned.update(class_names)  # noqa: SLF001
    heed_settings(telemetry_logging)
    telemetry_logging._requests_helper = _get_within_time  # noqa: SLF001
    _SageMakerContainer._get_compose_cmd_prefix = staticmethod(compose_command)  # noqa: SLF001


def _get_within_time(url: str, timeout: float) -> requests.Response | None:
    try:
        return requests.get(url, timeout=min(timeout, _TELEMETRY_TIMEOUT_S))
    except requests.RequestException as error:
        logger.debug("the SDK's telemetry was not sent: %s", error)
        return None
