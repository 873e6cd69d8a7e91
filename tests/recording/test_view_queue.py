"""Unit: a view beside the loops. What it may cost them, what it may lose, how it may fail."""

import threading
from collections.abc import Callable

import numpy as np
import pytest

from engine.core.camera import Frame
from engine.core.glance import Glance
from engine.core.ports import View
from engine.core.report import Health, Shown
from engine.recording.view_queue import MAX_EVENTS, MAX_GLANCES, NoView, ViewQueue

PICTURE = Glance(Frame(np.zeros((4, 4, 3), np.uint8), 0.0, 0), ())
WORDS = Health("frame", "broken", "skipped it")
SOON_S = 0.05


class Notes:
    """Keeps what it is shown; once `closed_gate` is set, each event waits for it to open."""

    def __init__(self, fails: str = "") -> None:
        self.seen: list[tuple[Shown, float]] = []
        self.gate = threading.Event()
        self.gate.set()
        self.taken = threading.Event()
        self.closed = False
        self._fails = fails

    def show(self, event: Shown, time_s: float) -> None:
        self.taken.set()
        self.gate.wait()
        if self._fails == "show":
            raise ValueError("no space\nleft")
        self.seen.append((event, time_s))

    def close(self) -> None:
        self.closed = True
        if self._fails == "close":
            raise OSError("no space left")


class Case:
    """A view over `notes`, and what it reported."""

    def __init__(self, notes: Notes, **options: float) -> None:
        self.health: list[Health] = []
        self.notes = notes
        self.view = ViewQueue(lambda: notes, self.health.append, **options)

    def hold(self) -> None:
        """Let the viewer take one event and hang on it."""
        self.notes.gate.clear()
        self.view.show(WORDS, -1.0)
        assert self.notes.taken.wait(5.0)


@pytest.mark.parametrize("patience_s", [0.0, 5.0])
def test_all_is_shown_in_order_and_then_closed(patience_s: float) -> None:
    case = Case(Notes(), patience_s=patience_s)
    for number in range(MAX_GLANCES - 1):
        case.view.show(PICTURE, float(number))
    case.view.close()
    assert [time_s for _, time_s in case.notes.seen] == list(range(MAX_GLANCES - 1))
    assert case.notes.closed
    assert not case.health


def test_a_patient_view_leaves_nothing_out() -> None:
    case = Case(Notes(), patience_s=30.0)
    for number in range(20 * MAX_GLANCES):
        case.view.show(PICTURE, float(number))
    case.view.close()
    assert len(case.notes.seen) == 20 * MAX_GLANCES
    assert not case.health


def test_a_slow_viewer_costs_pictures_first_then_words_and_never_time() -> None:
    case = Case(Notes())
    case.hold()
    for _ in range(3 * MAX_GLANCES):
        case.view.show(PICTURE, 0.0)
    for _ in range(MAX_EVENTS):
        case.view.show(WORDS, 1.0)
    case.notes.gate.set()
    case.view.close()
    kinds = [type(event) for event, _ in case.notes.seen]
    assert kinds.count(Glance) == MAX_GLANCES
    assert kinds.count(Health) == 1 + MAX_EVENTS - MAX_GLANCES
    (health,) = case.health
    assert health.what == "view"
    assert health.detail.startswith(f"{2 * MAX_GLANCES + MAX_GLANCES} events came faster")


def test_a_viewer_that_hangs_does_not_hold_the_end() -> None:
    case = Case(Notes(), close_s=SOON_S)
    case.hold()
    case.view.show(PICTURE, 0.0)
    case.view.close()
    (health,) = case.health
    assert "not done" in health.detail
    assert "1 events behind" in health.detail
    case.notes.gate.set()


@pytest.mark.parametrize("how", ["open", "show", "close"])
def test_a_viewer_that_fails_is_reported_once_and_left_alone(how: str) -> None:
    def refuse() -> View:
        raise OSError("no such folder")

    notes = Notes(how)
    health: list[Health] = []
    opens: Callable[[], View] = refuse if how == "open" else lambda: notes
    # patience that a test would never sit out: what has failed must not be waited for
    view = ViewQueue(opens, health.append, patience_s=600.0)
    for _ in range(2 * MAX_EVENTS):
        view.show(PICTURE, 0.0)
    view.close()
    view.close()
    (found,) = health
    assert found.what == "view"
    assert found.action == "went on without it"
    assert "no s" in found.detail
    assert "\n" not in found.detail


def test_nothing_is_opened_before_there_is_something_to_show() -> None:
    opened: list[str] = []

    def refuse() -> View:
        opened.append("opened")
        raise OSError("no such folder")

    health: list[Health] = []
    view = ViewQueue(refuse, health.append)
    assert not opened
    view.close()
    assert not opened
    assert not health


def test_what_comes_after_the_end_is_forgotten() -> None:
    case = Case(Notes())
    case.view.close()
    case.view.show(PICTURE, 0.0)
    case.view.close()
    assert not case.notes.seen
    assert not case.health
    case.view.close()


def test_no_view_takes_everything() -> None:
    view = NoView()
    view.show(PICTURE, 0.0)
    view.close()
