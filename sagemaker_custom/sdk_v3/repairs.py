"""What the SDK v3 has no hook for, put in place by name.

The SDK's own way of turning telemetry off is an entry of its configuration. With any entry it validates all of it again
at each of the dozens of look-ups of a job, a quarter of a second each time.
"""

from __future__ import annotations

from sagemaker.core.telemetry import telemetry_logging

from sagemaker_custom.sdk.telemetry import heed_settings


def repair_sdk() -> None:
    """Put our versions in place; may be called any number of times."""
    heed_settings(telemetry_logging)
