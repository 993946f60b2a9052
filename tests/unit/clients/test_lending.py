"""What threads share ends once, and never under anybody's hands."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

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


class Enterer:
    """Enters in a thread of its own."""

    def __init__(self, renewed: Renewed[Thing], make: Callable[[], Thing]) -> None:
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._enter, args=(renewed, make), daemon=True)
        self.thread.start()

    def _enter(self, renewed: Renewed[Thing], make: Callable[[], Thing]) -> None:
        try:
            renewed.enter(make, patience=LONG)
        except (OverError, KeyError) as error:
            self.error = error


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


class TestWhatIsStillBeingMade:
    """A cluster that doesn't answer holds up nobody but whoever connects to it."""

    @pytest.fixture
    def renewed(self) -> Renewed[Thing]:
        return Renewed(Thing.end)

    @pytest.fixture
    def made(self) -> Thing:
        return Thing()

    @pytest.fixture
    def maker(self, renewed: Renewed[Thing], made: Thing, gate: threading.Event) -> Iterator[Enterer]:
        """Makes it until the gate opens."""
        begun = threading.Event()

        def make() -> Thing:
            begun.set()
            gate.wait(LONG)
            return made

        maker = Enterer(renewed, make)
        begun.wait(LONG)
        yield maker
        gate.set()
        maker.thread.join(LONG)

    def test_closing_does_not_wait_for_it_and_its_maker_ends_it(
        self, renewed: Renewed[Thing], made: Thing, maker: Enterer, gate: threading.Event
    ) -> None:
        # Both would wait for the gate, which nobody has opened.
        renewed.close()
        renewed.close()
        assert made.ended == 0
        gate.set()
        maker.thread.join(LONG)
        assert (made.ended, type(maker.error)) == (1, OverError)

    def test_retiring_the_one_before_does_not_wait_for_it(
        self, renewed: Renewed[Thing], made: Thing, maker: Enterer, gate: threading.Event
    ) -> None:
        renewed.retire(Thing())
        gate.set()
        maker.thread.join(LONG)
        assert (made.ended, maker.error) == (0, None)
        assert renewed.enter(Thing, patience=LONG).thing is made

    def test_who_waits_for_it_is_sent_away_once_it_is_closed(self, renewed: Renewed[Thing], maker: Enterer) -> None:
        waiting = Enterer(renewed, Thing)
        renewed.close()
        waiting.thread.join(LONG)
        assert type(waiting.error) is OverError
        assert maker.thread.is_alive()

    def test_who_waits_for_what_can_not_be_made_makes_it(self, renewed: Renewed[Thing], gate: threading.Event) -> None:
        def fail() -> Thing:
            gate.wait(LONG)
            raise KeyError

        failing = Enterer(renewed, fail)
        waiting = Enterer(renewed, Thing)
        gate.set()
        for one in (failing, waiting):
            one.thread.join(LONG)
        assert (type(failing.error), waiting.error) == (KeyError, None)


class TestHandover:
    def test_what_was_made_is_given_back_once(self) -> None:
        handover: Handover[Thing] = Handover(Thing.end)
        thing = handover.made(Thing)
        assert handover.over() is thing
        assert handover.over() is None
        assert thing.ended == 0

    def test_what_comes_too_late_is_ended_by_its_maker(self) -> None:
        handover: Handover[Thing] = Handover(Thing.end)
        made: list[Thing] = []

        def make() -> Thing:
            # Meanwhile nobody waits any more.
            assert handover.over() is None
            made.append(Thing())
            return made[-1]

        with pytest.raises(OverError):
            handover.made(make)
        assert made[0].ended == 1

    def test_what_was_never_made_needs_no_end(self) -> None:
        assert Handover(Thing.end).over() is None
