"""What threads share ends once, and never under anybody's hands."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from edgesync.clients.lending import Handover, OverError, Renewed, Shared

LONG = 60.0


class Thing:
    """Something that can be ended once."""

    def __init__(self) -> None:
        self.ended = 0

    def end(self) -> None:
        self.ended += 1


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


class TestShared:
    def test_without_users_it_ends_at_once(self) -> None:
        shared = Shared(Thing(), Thing.end)
        shared.end()
        assert shared.thing.ended == 1

    def test_it_ends_when_the_last_of_its_users_leaves(self) -> None:
        shared = Shared(Thing(), Thing.end)
        shared.enter()
        shared.enter()
        shared.end()
        shared.leave()
        assert shared.thing.ended == 0
        shared.leave()
        assert shared.thing.ended == 1

    def test_it_ends_once(self) -> None:
        shared = Shared(Thing(), Thing.end)
        shared.enter()
        shared.end()
        shared.end()
        shared.leave()
        shared.end()
        assert shared.thing.ended == 1

    def test_nobody_enters_what_is_over(self) -> None:
        shared = Shared(Thing(), Thing.end)
        shared.end()
        with pytest.raises(OverError):
            shared.enter()


class TestRenewed:
    @pytest.fixture
    def renewed(self) -> Renewed[Thing]:
        return Renewed(Thing.end)

    def test_it_is_made_once_for_all(self, renewed: Renewed[Thing]) -> None:
        first = renewed.enter(Thing, patience=LONG)
        second = renewed.enter(Thing, patience=LONG)
        assert first.thing is second.thing
        first.leave()
        second.leave()
        assert first.thing.ended == 0

    def test_a_failure_to_make_it_is_the_caller_s_and_the_next_tries_again(self, renewed: Renewed[Thing]) -> None:
        def fail() -> Thing:
            raise KeyError

        with pytest.raises(KeyError):
            renewed.enter(fail, patience=LONG)
        assert renewed.enter(Thing, patience=LONG).thing.ended == 0

    def test_a_retired_one_is_made_anew_and_ends_with_its_last_user(self, renewed: Renewed[Thing]) -> None:
        old = renewed.enter(Thing, patience=LONG)
        renewed.retire(old.thing)
        new = renewed.enter(Thing, patience=LONG)
        assert new.thing is not old.thing
        assert old.thing.ended == 0
        old.leave()
        assert (old.thing.ended, new.thing.ended) == (1, 0)

    def test_it_is_not_retired_for_the_faults_of_the_one_before(self, renewed: Renewed[Thing]) -> None:
        old = renewed.enter(Thing, patience=LONG)
        renewed.retire(old.thing)
        new = renewed.enter(Thing, patience=LONG)
        renewed.retire(old.thing)
        assert renewed.enter(Thing, patience=LONG).thing is new.thing

    def test_closed_it_is_lent_to_nobody(self, renewed: Renewed[Thing]) -> None:
        shared = renewed.enter(Thing, patience=LONG)
        renewed.close()
        assert shared.thing.ended == 0
        shared.leave()
        assert shared.thing.ended == 1
        with pytest.raises(OverError):
            renewed.enter(Thing, patience=LONG)

    def test_nobody_waits_for_its_making_beyond_their_patience(
        self, renewed: Renewed[Thing], gate: threading.Event
    ) -> None:
        begun = threading.Event()

        def make() -> Thing:
            begun.set()
            gate.wait(LONG)
            return Thing()

        maker = threading.Thread(target=lambda: renewed.enter(make, patience=LONG).leave())
        maker.start()
        begun.wait(LONG)
        with pytest.raises(TimeoutError):
            renewed.enter(Thing, patience=0.01)
        gate.set()
        maker.join(LONG)


class TestHandover:
    def test_what_was_made_is_ended(self) -> None:
        handover: Handover[Thing] = Handover(Thing.end)
        thing = handover.made(Thing)
        assert thing.ended == 0
        handover.end()
        handover.end()
        assert thing.ended == 1

    def test_what_comes_too_late_is_ended_by_its_maker(self) -> None:
        handover: Handover[Thing] = Handover(Thing.end)
        made: list[Thing] = []

        def make() -> Thing:
            # Meanwhile nobody waits any more.
            handover.end()
            made.append(Thing())
            return made[-1]

        with pytest.raises(OverError):
            handover.made(make)
        assert made[0].ended == 1

    def test_what_was_never_made_needs_no_end(self) -> None:
        Handover(Thing.end).end()
