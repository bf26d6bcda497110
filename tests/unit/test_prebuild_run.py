"""Many images: what is made when, how many at a time, what each ended as, and what Ctrl-C leaves."""

from __future__ import annotations

import signal
from threading import Event

import pytest
from fakes.fake_maker import FakeBoard, FakeMaker, Meeting, wanted

from sagemaker_custom.errors import BuildError, ImageNotInCatalogError, InterruptedRunError
from sagemaker_custom.prebuild import Prebuild, default_jobs
from sagemaker_custom.settings import Settings


def run(maker, *names, jobs=2, board=None, ask=lambda question: None):
    board = board or FakeBoard()
    outcomes = Prebuild(maker, board=board, jobs=jobs, ask=ask).run([wanted(name) for name in names])
    assert [outcome.wanted.name for outcome in outcomes] == list(names)
    return {outcome.wanted.name: outcome for outcome in outcomes}


def statuses(outcomes):
    return {name: outcome.status for name, outcome in outcomes.items()}


def interrupt():
    signal.raise_signal(signal.SIGINT)


class TestEach:
    def test_what_is_missing_is_built_and_what_is_there_is_not(self):
        maker = FakeMaker(present=["b"])
        outcomes = run(maker, "a", "b")
        assert statuses(outcomes) == {"a": "built", "b": "present"}
        assert maker.made == ["a"]
        assert outcomes["b"].image.endswith("/images:b")

    def test_a_failure_keeps_no_other_from_being_built(self):
        maker = FakeMaker(errors={"a": BuildError("it broke", hint="look"), "plan:c": ImageNotInCatalogError("none")})
        outcomes = run(maker, "a", "b", "c", jobs=1)
        assert statuses(outcomes) == {"a": "failed", "b": "built", "c": "failed"}
        assert outcomes["a"].error.message == "it broke"
        assert outcomes["c"].plan is None

    def test_an_error_that_nobody_knows_is_the_images_own(self):
        outcomes = run(FakeMaker(errors={"a": RuntimeError("odd\nthing")}), "a", "b")
        assert statuses(outcomes) == {"a": "failed", "b": "built"}
        assert outcomes["a"].error.message == "RuntimeError: odd"
        assert "report it" in outcomes["a"].error.hint

    def test_a_warning_of_several_plans_is_told_once(self):
        maker, board = FakeMaker(), FakeBoard()
        maker.warnings = ("old base",)
        run(maker, "a", "b", board=board)
        assert board.said == ["warning: old base"]

    def test_a_row_goes_through_its_states_and_ends_with_the_reason(self):
        board = FakeBoard()
        run(FakeMaker(errors={"a": BuildError("it broke\nlast line", hint="look")}), "a", board=board)
        assert board.states == [("a", "waiting"), ("a", "building"), ("a", "failed")]
        assert board.rows[0].step == "it broke"
        assert board.rows[0].ended >= board.rows[0].began


class TestOrder:
    @pytest.mark.parametrize("jobs", [1, 3])
    def test_as_many_at_a_time_as_are_asked_for(self, jobs):
        maker = FakeMaker()
        maker.making = Meeting(jobs)
        names = "abcdef"
        assert set(statuses(run(maker, *names, jobs=jobs)).values()) == {"built"}
        assert maker.most == jobs

    def test_an_image_comes_after_the_one_that_it_is_built_on(self):
        maker = FakeMaker(bases={"a": "b", "b": "c"})
        run(maker, "a", "b", "c", "d", jobs=4)
        assert [name for name in maker.made if name != "d"] == ["c", "b", "a"]

    def test_what_is_built_on_a_failure_is_tried_all_the_same(self):
        maker = FakeMaker(bases={"a": "b"}, errors={"b": BuildError("it broke")})
        assert statuses(run(maker, "a", "b")) == {"a": "built", "b": "failed"}

    def test_images_that_are_built_on_each_other_are_made_one_after_the_other(self):
        maker = FakeMaker(bases={"a": "b", "b": "a"})
        assert set(statuses(run(maker, "a", "b", jobs=2)).values()) == {"built"}
        assert maker.most == 1

    def test_the_same_image_under_two_names_is_made_by_the_first(self):
        class Same(FakeMaker):
            def plan(self, wanted):
                made = super().plan(wanted)
                return super().plan(type(wanted)(name="a", spec=wanted.spec)) if wanted.name == "b" else made

        maker = Same()
        maker.making = lambda name, attendant: setattr(maker, "present", [name])
        assert statuses(run(maker, "a", "b", jobs=2)) == {"a": "built", "b": "present"}

    def test_images_of_different_bases_are_begun_first(self):
        maker = FakeMaker(bases={"a1": "a", "a2": "a", "b1": "b", "b2": "b"})
        run(maker, "a1", "a2", "b1", "b2", jobs=1)
        assert maker.made == ["a1", "b1", "a2", "b2"]

    def test_jobs_depend_on_where_images_are_built(self):
        assert default_jobs("auto", Settings()) == default_jobs("docker", Settings(builder="codebuild")) == 2
        assert default_jobs("auto", Settings(builder="codebuild")) == default_jobs("codebuild", Settings()) == 4


class TestInterruption:
    def test_nothing_more_is_begun_and_what_runs_cleans_up_after_itself(self):
        maker, cleaned = FakeMaker(present=["a"]), []

        def making(name, attendant):
            interrupt()
            try:
                attendant.sleep(60)
            except KeyboardInterrupt:
                # What cleans up tells of it, and waits: that is not interrupted again.
                attendant.step(f"cleaning up {name}")
                attendant.sleep(0)
                cleaned.append(name)
                raise

        maker.making = making
        board = FakeBoard()
        outcomes = run(maker, "a", "b", "c", jobs=1, board=board)
        assert statuses(outcomes) == {"a": "present", "b": "failed", "c": "failed"}
        assert cleaned == ["b"]
        assert outcomes["b"].error.message == "interrupted while it was made"
        assert outcomes["c"].error.message == "interrupted before it was begun"
        assert isinstance(outcomes["c"].error, InterruptedRunError)
        assert board.said == ["interrupted: no more images are begun, and those that are built now are ended"]

    def test_what_is_nearly_done_is_there(self):
        maker = FakeMaker()
        maker.making = lambda name, attendant: interrupt()
        assert statuses(run(maker, "a", "b", jobs=1)) == {"a": "built", "b": "failed"}

    def test_every_thread_that_moves_bytes_ends(self):
        maker, ended = FakeMaker(), []

        def making(name, attendant):
            task = attendant.task("sending", total=10)
            interrupt()
            assert attendant._interruption.wait(30)
            for _ in range(2):
                with pytest.raises(KeyboardInterrupt):
                    task.advance(1)
                ended.append(name)
            attendant.step("the rest")

        maker.making = making
        assert statuses(run(maker, "a")) == {"a": "failed"}
        assert ended == ["a", "a"]

    @pytest.mark.parametrize(("answer", "message"), [(True, "interrupted while"), (False, "its build goes on")])
    def test_a_person_is_asked_once_for_all_builds_elsewhere(self, answer, message):
        maker, questions, answers = FakeMaker(), [], []
        meeting = Meeting(2)

        def making(name, attendant):
            meeting(name, attendant)
            interrupt() if name == "a" else None
            try:
                attendant.sleep(60)
            except KeyboardInterrupt:
                answers.append(attendant.confirm(f"Stop {name}?"))
                raise

        maker.making = making
        board = FakeBoard()
        outcomes = run(
            maker, "a", "b", "c", jobs=2, board=board, ask=lambda question: questions.append(question) or answer
        )
        assert answers == [answer, answer]
        assert questions == ["Stop the builds that run in CodeBuild? Otherwise they go on without you"]
        assert board.pauses == 1
        assert all(message in outcomes[name].error.message for name in "ab")

    def test_ctrl_c_for_an_answer_leaves_the_builds_running(self):
        maker = FakeMaker()

        def making(name, attendant):
            interrupt()
            try:
                attendant.sleep(60)
            except KeyboardInterrupt:
                assert attendant.confirm("?") is False
                raise

        def ask(question):
            raise KeyboardInterrupt

        maker.making = making
        outcomes = run(maker, "a", ask=ask)
        assert outcomes["a"].error.message == "interrupted; its build goes on"

    def test_the_second_time_nobody_is_waited_for(self):
        maker, release = FakeMaker(), Event()

        def making(name, attendant):
            interrupt()
            assert attendant._interruption.wait(30)
            interrupt()
            assert release.wait(30)

        maker.making = making
        try:
            outcomes = run(maker, "a", "b", jobs=1)
        finally:
            release.set()
        assert statuses(outcomes) == {"a": "failed", "b": "failed"}
        assert maker.made == []
