"""What the SDK tells AWS of its use, on either line of it: nothing from local mode, nor against the settings."""

from __future__ import annotations

import threading
from importlib import import_module
from types import SimpleNamespace

import pytest

from sagemaker_custom import CustomPyTorch
from sagemaker_custom.installed_sdk import adapter
from sagemaker_custom.sdk.telemetry import Telemetry, heed_settings

_IN_THE_SDK = "sagemaker.telemetry" if adapter().endswith("v2") else "sagemaker.core.telemetry"


@pytest.fixture
def sdk():
    """The SDK's module, once a class of ours was used."""
    assert CustomPyTorch
    return import_module(f"{_IN_THE_SDK}.telemetry_logging")


class Sent:
    """Counts events in place of what sends them."""

    def __init__(self):
        self.events = []

    def __call__(self, *event):
        self.events.append(event)
        return "sent"


@pytest.mark.parametrize(("local_mode", "setting", "sent"), [(False, "on", 1), (True, "on", 0), (False, "off", 0)])
def test_nothing_is_sent_from_local_mode_or_against_the_settings(monkeypatch, local_mode, setting, sent):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", setting)
    events = Sent()
    said = Telemetry(events)(1, [2], SimpleNamespace(local_mode=local_mode), None)
    assert len(events.events) == sent
    assert said == ("sent" if sent else None)


def test_sdk_has_it_in_place_once(sdk):
    in_place = sdk._send_telemetry_request
    assert isinstance(in_place, Telemetry)
    heed_settings(sdk)
    assert sdk._send_telemetry_request is in_place


class Session:
    """One of the SDK's, in a region that it sends nothing from; tells who asks for AWS."""

    sagemaker_config = None
    boto_region_name = "nowhere-1"

    def __init__(self, *, local_mode):
        self.local_mode = local_mode
        self.asked = 0

    @property
    def boto_session(self):
        self.asked += 1
        return SimpleNamespace(region_name=self.boto_region_name, client=lambda service: None)


@pytest.mark.parametrize(
    ("local_mode", "setting", "asks"), [(False, "on", True), (True, "on", False), (False, "off", False)]
)
def test_call_of_the_sdk_asks_nobody_who_calls(sdk, monkeypatch, local_mode, setting, asks):
    monkeypatch.setenv("SAGEMAKER_CUSTOM_SDK_TELEMETRY", setting)
    feature = next(iter(import_module(f"{_IN_THE_SDK}.constants").Feature))
    caller = SimpleNamespace(sagemaker_session=Session(local_mode=local_mode))
    call = sdk._telemetry_emitter(feature, "test")(lambda caller: "done")

    assert call(caller) == "done"

    for thread in threading.enumerate():
        if thread.name == "sagemaker-telemetry":
            thread.join()
    assert bool(caller.sagemaker_session.asked) is asks
