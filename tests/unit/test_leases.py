"""Whose turn it is to build: file locks on one machine, leases among machines."""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, fields, replace
from pathlib import Path
from threading import Event

import pytest
from fakes.builders import RecordingProgress
from fakes.example_plan import ECR_HOST, FINGERPRINT
from fakes.fake_leases import FakeClock, FakeVersionedStore
from hypothesis import given
from hypothesis import strategies as st

from sagemaker_custom.errors import AccessDeniedError, AwsError, BuildError, RegistryUnavailableError
from sagemaker_custom.leases import Holder, LockKey, MachineLock, NothingToDo, OwnTurn, SharedLease
from sagemaker_custom.leases.interface import read_holder, this_process
from sagemaker_custom.reference import ImageReference

IMAGE = ImageReference(registry=ECR_HOST, repository="sagemaker-custom-pytorch", tag="2.3.0")
KEY = LockKey(reference=IMAGE, fingerprint=FINGERPRINT)
ADA = Holder(token="a", owner="ada@laptop", pid=11, since="2026-11-20 10:15:00 UTC")
BOB = Holder(token="b", owner="bob@studio", pid=22, since="2026-11-22 10:15:00 UTC")
BUCKET, OBJECT = "team", f"leases/{KEY.name}.json"


def absent():
    return False


def present():
    return True


class TestRecord:
    def test_a_record_is_read_back(self):
        holder = replace(ADA, lease_s=60.0, beat=3, state="failed", failure="it broke")
        assert read_holder(holder.content) == holder

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            b"{",
            b"[]",
            b"null",
            b"\xff",
            b'{"token": 1}',
            b"[" * 4000,
            ADA.content[:-9],
            ADA.content.replace(b": 11", b": Infinity"),
            ADA.content.replace(b'"building"', b'"asleep"'),
            ADA.content.replace(b'"building"', b"[]"),
            ADA.content.replace(b"ada", b"a" * 5000),
        ],
    )
    def test_what_is_no_record_is_nobody(self, content):
        assert read_holder(content) is None

    @given(
        st.binary(max_size=200)
        | st.dictionaries(
            st.sampled_from([item.name for item in fields(Holder)]),
            st.none() | st.text(max_size=9) | st.floats() | st.integers() | st.lists(st.integers(), max_size=2),
        ).map(lambda changes: json.dumps(asdict(ADA) | changes).encode())
    )
    def test_anything_is_a_record_fit_to_be_shown_or_none(self, content):
        found = read_holder(content)
        assert found is None or (f"{found}{found.since}{found.failure}".isprintable() and found.state)

    def test_what_others_wrote_cannot_move_the_cursor(self):
        found = read_holder(replace(ADA, owner="ada\x1b[2J\x07@laptop").content)
        assert found.owner == "ada[2J@laptop"

    def test_a_failure_is_told_in_one_line(self):
        ended = ADA.ended(BuildError("pip failed\nall of its log", hint="look"))
        assert (ended.state, ended.failure) == ("failed", "pip failed")
        assert ADA.ended(KeyboardInterrupt()).failure == "interrupted"
        assert ADA.ended(ZeroDivisionError("secret")).failure == "ZeroDivisionError"
        assert ADA.ended(None).state == "done"

    def test_this_process_has_a_token_of_its_own_each_time(self):
        first, second = this_process(), this_process()
        assert first.pid == os.getpid()
        assert first.token != second.token

    def test_the_same_image_elsewhere_has_another_key(self):
        elsewhere = LockKey(reference=replace(IMAGE, registry="other.example.com"), fingerprint=FINGERPRINT)
        assert elsewhere.name != KEY.name
        assert LockKey(reference=IMAGE).name.startswith("base-")


class Machine:
    """One process: its lock, its clock and what it is told."""

    def __init__(self, folder, holder=ADA):
        self.folder = folder
        self.clock = FakeClock()
        self.progress = RecordingProgress()
        self.lock = MachineLock(
            folder, new_holder=lambda: holder, sleep=self.clock.sleep, monotonic=self.clock.monotonic
        )

    def hold(self, is_there=absent):
        return self.lock.hold(KEY, is_there=is_there, progress=self.progress)


class TestMachine:
    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path / "cache" / "locks"

    def test_a_free_lock_is_taken_without_a_word(self, folder):
        ada = Machine(folder)
        with ada.hold() as turn:
            assert turn == OwnTurn()
        assert ada.progress.steps == []

    def test_what_appeared_since_the_question_is_not_made_again(self, folder):
        with Machine(folder).hold(present) as turn:
            assert turn == NothingToDo()

    def test_who_waits_is_told_for_whom_and_since_when(self, folder):
        ada, bob = Machine(folder), Machine(folder, BOB)
        is_built = []
        with ExitStack() as building:
            building.enter_context(ada.hold())
            bob.clock.then = [(130, lambda: (is_built.append(True), building.close()))]
            with bob.hold(lambda: bool(is_built)) as turn:
                assert turn == NothingToDo()
        assert bob.progress.steps == [f"waiting for ada@laptop (process 11), who makes {IMAGE} since {ADA.since}"]
        assert bob.progress.lines == [
            f"still waiting for ada@laptop (process 11), for {seconds} s so far" for seconds in (60, 120)
        ]

    def test_threads_of_one_process_wait_for_each_other(self, folder):
        inside, most = [], []

        def build(number):
            lock = MachineLock(folder)
            with lock.hold(KEY, is_there=absent, progress=RecordingProgress()):
                inside.append(number)
                most.append(len(inside))
                Event().wait(0.01)
                inside.remove(number)

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(build, range(4)))
        assert most == [1, 1, 1, 1]

    def test_a_predecessor_that_failed_is_handed_on(self, folder):
        ada, bob = Machine(folder), Machine(folder, BOB)
        building = ada.hold()
        building.__enter__()

        def fail():
            error = BuildError("no space left")
            assert not building.__exit__(BuildError, error, None)

        bob.clock.then = [(1, fail)]
        with bob.hold() as turn:
            assert turn.predecessor == ADA.ended(BuildError("no space left"))

    def test_a_failure_before_the_own_time_is_not_told(self, folder):
        with pytest.raises(BuildError), Machine(folder).hold():
            raise BuildError("it broke")
        with Machine(folder, BOB).hold() as turn:
            assert turn == OwnTurn()

    def test_a_holder_without_a_name_is_waited_for_all_the_same(self, folder):
        ada, bob = Machine(folder), Machine(folder, BOB)
        with ExitStack() as building:
            building.enter_context(ada.hold())
            (folder / f"{KEY.name}.json").write_bytes(b"{")
            bob.clock.then = [(5, building.close)]
            with bob.hold():
                pass
        assert bob.progress.steps[0] == f"waiting for another process, which makes {IMAGE}"

    def test_a_registry_that_cannot_be_asked_frees_the_lock(self, folder):
        def unknown():
            raise RegistryUnavailableError("it does not answer")

        with pytest.raises(RegistryUnavailableError), Machine(folder).hold(unknown):
            pass
        with Machine(folder, BOB).hold() as turn:
            assert turn == OwnTurn()

    def test_a_folder_that_cannot_be_made_is_told_and_nobody_is_kept_from_building(self, tmp_path):
        (tmp_path / "file").write_text("in the way")
        ada = Machine(tmp_path / "file" / "locks")
        with ada.hold() as turn:
            assert turn == OwnTurn()
        [told] = ada.progress.steps
        assert told == (
            f"{tmp_path}/file/locks cannot be locked (Not a directory): another process may make {IMAGE} as well, "
            "and whose comes first is used"
        )

    def test_a_lock_that_cannot_be_opened_is_told(self, folder):
        (folder / f"{KEY.name}.lock").mkdir(parents=True)
        ada = Machine(folder)
        with ada.hold() as turn:
            assert turn == OwnTurn()
        assert f"{KEY.name}.lock cannot be locked (Is a directory)" in ada.progress.steps[0]

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk_leaves_the_lock_and_takes_the_name(self, folder):
        folder.mkdir(parents=True)
        (folder / f"{KEY.name}.json").symlink_to("/dev/full")
        ada, bob = Machine(folder), Machine(folder, BOB)
        with ExitStack() as building:
            building.enter_context(ada.hold())
            bob.clock.then = [(5, building.close)]
            with bob.hold() as turn:
                assert turn == OwnTurn()
        assert bob.progress.steps == [f"waiting for another process, which makes {IMAGE}"]


class Far:
    """One machine among several, with a lease in the store they share."""

    def __init__(self, store, holder=ADA, lease_s=60.0):
        self.store = store
        self.clock = FakeClock()
        self.progress = RecordingProgress()
        self.lease = SharedLease(
            store,
            bucket=BUCKET,
            lease_s=lease_s,
            new_holder=lambda: holder,
            sleep=self.clock.sleep,
            monotonic=self.clock.monotonic,
        )

    def hold(self, is_there=absent):
        return self.lease.hold(KEY, is_there=is_there, progress=self.progress)


class TestShared:
    @pytest.fixture
    def store(self):
        return FakeVersionedStore()

    def record(self, store):
        return read_holder(store.objects[BUCKET, OBJECT].content)

    def leave(self, store, holder):
        """Leave a lease as its holder would that is not there any more."""
        found = store.objects.get((BUCKET, OBJECT))
        assert store.replace(BUCKET, OBJECT, holder.content, etag=found.etag if found else None)

    def test_a_lease_is_taken_and_ended(self, store):
        ada = Far(store)
        with ada.hold() as turn:
            assert turn == OwnTurn()
            assert self.record(store) == replace(ADA, lease_s=60.0)
        assert self.record(store).state == "done"
        assert ada.progress.steps == []

    def test_a_failure_is_written_down(self, store):
        with pytest.raises(BuildError), Far(store).hold():
            raise BuildError("it broke")
        assert (self.record(store).state, self.record(store).failure) == ("failed", "it broke")

    def test_what_another_has_ended_is_taken_at_once(self, store):
        self.leave(store, ADA.ended(None))
        bob = Far(store, BOB)
        with bob.hold() as turn:
            assert turn == OwnTurn()
        assert bob.clock.now == 0
        assert bob.progress.steps == []

    def test_all_who_wait_look_as_soon_as_it_is_done_and_take_nothing(self, store):
        self.leave(store, replace(ADA, lease_s=60.0))
        bob = Far(store, BOB)
        is_built = []
        bob.clock.then = [(30, lambda: (is_built.append(True), self.leave(store, ADA.ended(None))))]
        with bob.hold(lambda: bool(is_built)) as turn:
            assert turn == NothingToDo()
        assert self.record(store).token == ADA.token

    def test_a_silent_holder_is_replaced_after_the_time_it_asked_for(self, store):
        self.leave(store, replace(ADA, lease_s=20.0))
        bob = Far(store, BOB, lease_s=60.0)
        with bob.hold() as turn:
            assert turn.predecessor == replace(ADA, lease_s=20.0)
            assert self.record(store).token == BOB.token
        assert 20 <= bob.clock.now <= 22

    def test_a_holder_that_gives_signs_of_life_is_not_replaced(self, store):
        alive = replace(ADA, lease_s=20.0)
        self.leave(store, alive)
        bob = Far(store, BOB)
        beats = [
            (second, lambda second=second: self.leave(store, replace(alive, beat=second)))
            for second in range(15, 90, 15)
        ]
        bob.clock.then = beats
        with bob.hold() as turn:
            assert turn.predecessor.token == ADA.token
        assert 75 + 20 <= bob.clock.now <= 75 + 24
        assert bob.progress.steps == [f"waiting for ada@laptop (process 11), who makes {IMAGE} since {ADA.since}"]
        assert len(bob.progress.lines) == 1

    @pytest.mark.parametrize("since", ["2026-11-20 10:15:00 UTC", "2026-11-22 10:15:00 UTC", "", "\x00"])
    def test_no_date_of_another_machine_counts(self, store, since):
        self.leave(store, replace(ADA, since=since, lease_s=60.0))
        bob = Far(store, BOB)
        with bob.hold():
            pass
        assert 60 <= bob.clock.now <= 63

    @pytest.mark.parametrize("seconds", ["1e30", "NaN", "Infinity"])
    def test_a_lease_without_end_ends(self, store, seconds):
        self.leave(store, replace(ADA, lease_s=float(seconds)))
        bob = Far(store, BOB)
        with bob.hold():
            pass
        assert 3600 <= bob.clock.now <= 3603

    def test_what_is_no_lease_is_replaced_in_time(self, store):
        store.create(BUCKET, OBJECT, b"hello")
        bob = Far(store, BOB)
        with bob.hold() as turn:
            assert turn == OwnTurn()
        assert 60 <= bob.clock.now <= 63

    def test_one_that_is_removed_is_taken(self, store):
        self.leave(store, replace(ADA, lease_s=60.0))
        bob = Far(store, BOB)
        bob.clock.then = [(10, store.objects.clear)]
        with bob.hold():
            assert self.record(store).token == BOB.token
        assert bob.clock.now <= 13

    def test_a_lease_whose_answer_was_lost_is_known_again(self, store):
        store.lost_answers = 1
        ada = Far(store)
        with ada.hold() as turn:
            assert turn == OwnTurn()
        assert ada.clock.now == 0
        assert self.record(store).state == "done"

    def test_an_end_whose_answer_was_lost_is_written(self, store):
        with Far(store).hold():
            store.lost_answers = 1
        assert self.record(store).state == "done"

    def test_of_two_who_replace_one_gets_it(self, store):
        self.leave(store, replace(ADA, lease_s=20.0))
        bob, eve = Far(store, BOB), Far(store, replace(BOB, token="e", owner="eve@ci"))
        with bob.hold() as turn:
            assert turn.predecessor
            eve.clock.then = [(1, lambda: self.leave(store, BOB.ended(None)))]
            with eve.hold() as second:
                assert second.predecessor.token == BOB.token
        assert self.record(store).token == "e"

    def test_signs_of_life_are_given_while_the_work_goes_on(self, store):
        beaten = Event()
        written = store.replace

        def replace_and_tell(bucket, key, content, *, etag):
            answer = written(bucket, key, content, etag=etag)
            if read_holder(content).beat >= 2:
                beaten.set()
            return answer

        store.replace = replace_and_tell
        with Far(store, lease_s=0.04).hold():
            assert beaten.wait(10)
        assert self.record(store).beat >= 2
        assert self.record(store).state == "done"

    def test_a_lost_lease_is_not_written_again(self, store, caplog):
        with Far(store).hold():
            self.leave(store, BOB)
        assert self.record(store) == BOB
        assert "another machine has taken over the build" in caplog.text

    def test_a_store_that_goes_away_ends_no_build(self, store, caplog):
        with Far(store).hold():
            store.failure = AwsError("no answer from AWS")
        assert "gives no sign of life, and others may begin it: no answer from AWS" in caplog.text

    def test_a_store_that_refuses_is_told_and_nobody_is_kept_from_building(self, store):
        store.failure = AccessDeniedError("access denied: ada may not s3:PutObject")
        ada = Far(store)
        with ada.hold() as turn:
            assert turn == OwnTurn()
        [told] = ada.progress.steps
        assert told == (
            f"there is no lease for {IMAGE} (access denied: ada may not s3:PutObject): "
            "another machine may make it as well, and whose comes first is used"
        )

    def test_what_the_registry_raises_is_not_taken_for_a_lack_of_leases(self, store):
        def denied():
            raise AccessDeniedError("access denied: ada may not ecr:GetAuthorizationToken")

        ada = Far(store)
        with pytest.raises(AccessDeniedError, match="ecr:GetAuthorizationToken"), ada.hold(denied):
            pass
        assert ada.progress.steps == []
        assert self.record(store).state == "failed"
