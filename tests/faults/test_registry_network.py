"""A thousand builds and pulls through a proxy that breaks what networks and registries break.

``SAGEMAKER_CUSTOM_FAULT_SEEDS="17 254"`` runs these seeds alone.
"""

from __future__ import annotations

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest
from registry_process import running_registry
from registry_runs import client_at, push_base, run, weather_of

RUNS = 1000
RANGES = 10
# Each range has every kind of fault; the others, which take minutes, are run by `make heavy`.
QUICK = 2
AT_A_TIME = 3
# Read at import, since what begins so is hidden from each test.
ALONE = os.environ.get("SAGEMAKER_CUSTOM_FAULT_SEEDS", "").split()


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def base(registry):
    with client_at(registry.url) as client:
        return push_base(client)


def seeds_of(number):
    return (
        [int(seed) for seed in ALONE] if ALONE else list(range(number * RUNS // RANGES, (number + 1) * RUNS // RANGES))
    )


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=() if number < QUICK else pytest.mark.heavy)
        for number in range(1 if ALONE else RANGES)
    ],
)
def test_each_run_ends_in_the_right_image_or_a_clear_error(registry, base, tmp_path, number):
    def tried(seed):
        try:
            return run(seed, registry, base, tmp_path / str(seed))
        except Exception as error:  # noqa: BLE001
            return f"{weather_of(seed)}: {type(error).__name__}: {error}"

    seeds = seeds_of(number)
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        outcomes = dict(zip(seeds, pool.map(tried, seeds), strict=True))

    failed = {seed: outcome for seed, outcome in outcomes.items() if isinstance(outcome, str)}
    ended, happened = Counter(), Counter()
    for outcome in (outcome for seed, outcome in outcomes.items() if seed not in failed):
        ended[f"{outcome.weather.name}: {type(outcome.error).__name__ if outcome.error else 'succeeded'}"] += 1
        happened.update(outcome.happened)
    # Shown by "pytest -rP": the figures of the docs are their sums.
    print({**dict(sorted(ended.items())), **happened})  # noqa: T201
    assert not failed, f"SAGEMAKER_CUSTOM_FAULT_SEEDS='{' '.join(map(str, failed))}': {failed}"
    assert happened.total() > len(seeds) or ALONE
