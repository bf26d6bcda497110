"""What sends the SDK's telemetry → the same, but silent in local mode and where the settings say no."""

from __future__ import annotations

from typing import Any

from sagemaker_custom.settings import Settings


class Telemetry:
    """Stands in the place of the SDK's own function, on either line.

    Args:
        send: That function.
    """

    def __init__(self, send: Any) -> None:
        self._send = send

    def __call__(self, status: int, feature_list: list[int], session: Any, *details: Any) -> Any:
        """Send an event, or not: local mode needs no AWS."""
        if getattr(session, "local_mode", False) or not Settings.load().sdk_telemetry:
            return None
        return self._send(status, feature_list, session, *details)


def heed_settings(module: Any) -> None:
    """Put it in place; may be called any number of times.

    Args:
        module: Of the SDK, which has ``_send_telemetry_request``.
    """
    if not isinstance(module._send_telemetry_request, Telemetry):  # noqa: SLF001 - it has no public name (ADR 0014)
        module._send_telemetry_request = Telemetry(module._send_telemetry_request)  # noqa: SLF001
