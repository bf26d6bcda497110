"""Many callers want an image that is missing: it is built once, whoever is killed, and whatever fails meanwhile."""

from __future__ import annotations

import os
import time
from collections import Counter
from signal import SIGCONT, SIGINT, SIGKILL, SIGSTOP

import pytest
from callers import POINTS
from crowd import Callery, Crowd, wait_for
from fakes.example_plan import example_plan
from fakes.lease_server import lease_server
from registry_process import running_registry
from whole_flow import WholeFlow

from sagemaker_custom.errors import BuildError

DAY_S = 86400.0


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    """One for all tests, each of which has a repository of its own."""
    with running_registry(tmp_path_factory.mktemp("registry")) as running:
        yield running


@pytest.fixture(scope="module")
def callery():
    running = Callery()
    yield running
    running.close()


@pytest.fixture
def leases():
    with lease_server() as server:
        yield server


@pytest.fixture
def callers(tmp_path, registry, callery, leases):
    crowd = Crowd(tmp_path, registry, callery, leases.environment())
    yield crowd
    crowd.close()


class TestHundred:
    def test_a_hundred_processes_of_one_machine_cause_one_build(self, callers, leases):
        results = callers.run(count=100, build_s=2)

        assert callers.builds == 1
        assert Counter(result.get("digest") for result in results) == {callers.digest(): 100}
        waited = [result["told"][0] for result in results if result["told"] and "waiting" in result["told"][0]]
        assert len(waited) > 50
        assert all(f"who makes {callers.plan.reference} since 20" in told for told in waited if "another" not in told)
        assert not leases.asked

    def test_forty_processes_of_ten_machines_cause_one_build(self, callers):
        results = callers.run(count=40, machines=10, locks="shared")

        assert callers.builds == 1
        assert Counter(result.get("digest") for result in results) == {callers.digest(): 40}
        assert callers.plan.reference.tag in callers.tags()

    def test_without_any_lock_all_get_one_whole_image(self, callers):
        """What the registry alone guarantees: more builds, and never a wrong image."""
        results = callers.run(count=8, locks="none")

        assert callers.builds > 1
        assert {result.get("error") for result in results} == {None}
        assert callers.run_one(locks="none")["digest"] == callers.digest()
        assert callers.plan.reference.tag in callers.tags()


class TestKilled:
    """SIGKILL: the one who builds has no time to tidy up."""

    @pytest.mark.parametrize("point", POINTS)
    def test_the_next_of_the_machine_takes_over_at_once(self, callers, point):
        first = callers.start_stopped(stops_at=point)
        second = callers.start(build_s=0)
        callers.wait_until_told(second)
        os.kill(first, SIGKILL)

        [result] = callers.results(second)

        assert result["digest"] == callers.digest()
        assert result["told"][0].startswith(f"waiting for ada@machine-0 (process {first}), who makes ")
        assert result["told"][1].endswith(f"is gone and left no {callers.plan.reference}: taking over")
        assert callers.builds == 2
        assert callers.plan.reference.tag in callers.tags()

    @pytest.mark.parametrize("point", POINTS)
    def test_another_machine_takes_over_within_the_lease(self, callers, point):
        first = callers.start_stopped(stops_at=point, locks="shared")
        second = callers.start(first_machine=1, build_s=0, locks="shared")
        callers.wait_until_told(second)
        os.kill(first, SIGKILL)

        [result] = callers.results(second)

        assert result["digest"] == callers.digest()
        assert result["told"][0].startswith(f"waiting for ada@machine-0 (process {first}), who makes ")
        assert result["told"][1].endswith("taking over")
        assert result["took_s"] >= 2, "the lease had not ended"
        assert callers.plan.reference.tag in callers.tags()

    def test_no_tag_leads_to_half_an_image_while_nobody_takes_over(self, callers):
        for point in POINTS:
            os.kill(callers.start_stopped(stops_at=point), SIGKILL)
            assert callers.digest() is None
            assert callers.plan.reference.tag not in callers.tags()

    @pytest.mark.parametrize("skew_s", [-DAY_S, DAY_S])
    def test_clocks_that_are_a_day_apart_change_nothing(self, callers, skew_s):
        first = callers.start_stopped(stops_at="building", locks="shared")
        second = callers.start(first_machine=1, build_s=0, locks="shared", skew_s=skew_s)
        # Longer than the lease: the signs of life count, not the dates.
        time.sleep(4)
        assert callers.builds == 1
        os.kill(first, SIGKILL)

        [result] = callers.results(second)

        assert result["told"][1].endswith("taking over")
        assert callers.builds == 2
        assert result["digest"] == callers.digest()

    def test_one_who_was_only_asleep_finds_the_image_of_the_other(self, callers):
        go = callers.folder / "go"
        [first] = callers.start(locks="shared", until=str(go))
        wait_for(lambda: callers.builds)
        os.kill(first, SIGSTOP)
        go.touch()
        second = callers.run_one(first_machine=1, build_s=0, locks="shared")
        os.kill(first, SIGCONT)

        [woken] = callers.results([first])

        assert second["told"][1].endswith("taking over")
        assert woken["digest"] == second["digest"] == callers.digest()
        assert callers.builds == 2


class TestWaiting:
    @pytest.mark.parametrize("locks", ["machine", "shared"])
    def test_ctrl_c_ends_the_wait_at_once(self, callers, locks):
        callers.start_stopped(stops_at="building", locks=locks)
        [waiting] = callers.start(locks=locks, first_machine=1 if locks == "shared" else 0)
        callers.wait_until_told([waiting])
        os.kill(waiting, SIGINT)

        [result] = callers.results([waiting])

        assert result["error"] == "KeyboardInterrupt: "
        assert callers.builds == 1

    @pytest.mark.parametrize("locks", ["machine", "shared"])
    def test_a_failure_is_told_to_who_waits_and_it_builds(self, callers, locks):
        go = callers.folder / "go"
        failing = callers.start(fails=True, locks=locks, until=str(go))
        wait_for(lambda: callers.builds)
        waiting = callers.start(locks=locks, first_machine=1 if locks == "shared" else 0, build_s=0)
        callers.wait_until_told(waiting)
        go.touch()

        [result] = callers.results(waiting)
        assert callers.results(failing)[0]["error"] == "BuildError: the build broke"
        assert result["told"][1].endswith(f"could not make {callers.plan.reference} (the build broke): trying it here")
        assert result["digest"] == callers.digest()


class TestLeasesFail:
    """The image is built all the same, and it is said that others may do so too."""

    @pytest.mark.parametrize(
        ("refusal", "told"),
        [
            ((403, "AccessDenied"), "access denied: the caller may not s3:PutObject on s3://team/x/leases/"),
            ((404, "NoSuchBucket"), "there is no bucket for s3://team/x/leases/"),
            ((503, "SlowDown"), "AWS limits the rate of requests, also after retries"),
            ((403, "ExpiredToken"), "the AWS credentials have expired"),
        ],
    )
    def test_a_refusal_is_told(self, callers, leases, refusal, told):
        leases.refusal = refusal

        result = callers.run_one(locks="shared", build_s=0)

        assert told in result["told"][0]
        assert result["told"][0].endswith("another machine may make it as well, and whose comes first is used")
        assert result["digest"] == callers.digest()

    def test_nobody_answers(self, callers, leases):
        leases.shutdown()
        leases.server_close()

        result = callers.run_one(locks="shared", build_s=0)

        assert "no answer from AWS" in result["told"][0]
        assert result["digest"] == callers.digest()

    def test_it_goes_away_during_the_build(self, callers, leases):
        first = callers.start(locks="shared", build_s=3)
        wait_for(lambda: callers.builds)
        leases.refusal = (503, "SlowDown")

        [result] = callers.results(first)

        assert result["digest"] == callers.digest()
        assert callers.builds == 1


class TestNoFolder:
    """The folder of locks cannot be used."""

    def test_what_is_in_the_way_is_told(self, callers):
        (callers.folder / "cache-0").write_text("a file")

        result = callers.run_one(build_s=0)

        assert f"{callers.folder}/cache-0/locks cannot be locked (" in result["told"][0]
        assert result["digest"] == callers.digest()

    def test_a_build_by_docker_has_no_place_for_its_log_and_says_so(self, tmp_path):
        (tmp_path / "cache").write_text("a file")
        flow = WholeFlow(tmp_path / "cache")

        with pytest.raises(BuildError) as caught:
            flow.ensure(example_plan())

        assert "cannot be locked (Not a directory)" in flow.progress.steps[0]
        assert "choose a folder that you may write to with the setting cache_dir" in str(caught.value)
        assert flow.tags == []

    def test_a_folder_that_nothing_can_be_made_in(self, callers):
        # Not even root makes a folder there.
        (callers.folder / "cache-0").symlink_to("/proc/1")

        result = callers.run_one(build_s=0)

        assert f"{callers.folder}/cache-0/locks cannot be locked (" in result["told"][0]
        assert result["digest"] == callers.digest()
