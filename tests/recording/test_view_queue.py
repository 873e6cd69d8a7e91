"""The queue of a view: what it leaves out, how long it waits, how it fails."""

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


class RecordingView:
    """Records the events that it is shown. While `gate` is cleared, each event waits for it."""

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


class Queue:
    """A `ViewQueue` over `viewer`, with its reports."""

    def __init__(self, viewer: RecordingView, **options: float) -> None:
        self.health: list[Health] = []
        self.viewer = viewer
        self.view = ViewQueue(lambda: viewer, self.health.append, **options)

    def hold(self) -> None:
        """Let the viewer take one event and hang."""
        self.viewer.gate.clear()
        self.view.show(WORDS, -1.0)
        assert self.viewer.taken.wait(5.0)


@pytest.mark.parametrize("patience_s", [0.0, 5.0])
def test_all_events_are_shown_in_order_and_the_viewer_is_closed(patience_s: float) -> None:
    queue = Queue(RecordingView(), patience_s=patience_s)
    for number in range(MAX_GLANCES - 1):
        queue.view.show(PICTURE, float(number))
    queue.view.close()
    assert [time_s for _, time_s in queue.viewer.seen] == list(range(MAX_GLANCES - 1))
    assert queue.viewer.closed
    assert not queue.health


def test_a_patient_queue_leaves_nothing_out() -> None:
    queue = Queue(RecordingView(), patience_s=30.0)
    for number in range(20 * MAX_GLANCES):
        queue.view.show(PICTURE, float(number))
    queue.view.close()
    assert len(queue.viewer.seen) == 20 * MAX_GLANCES
    assert not queue.health


def test_a_slow_viewer_loses_glances_first_and_delays_nothing() -> None:
    queue = Queue(RecordingView())
    queue.hold()
    for _ in range(3 * MAX_GLANCES):
        queue.view.show(PICTURE, 0.0)
    for _ in range(MAX_EVENTS):
        queue.view.show(WORDS, 1.0)
    queue.viewer.gate.set()
    queue.view.close()
    kinds = [type(event) for event, _ in queue.viewer.seen]
    assert kinds.count(Glance) == MAX_GLANCES
    assert kinds.count(Health) == 1 + MAX_EVENTS - MAX_GLANCES
    (health,) = queue.health
    assert health.what == "view"
    assert health.detail.startswith(f"{2 * MAX_GLANCES + MAX_GLANCES} events came faster")


def test_a_hung_viewer_does_not_delay_the_end() -> None:
    queue = Queue(RecordingView(), close_s=SOON_S)
    queue.hold()
    queue.view.show(PICTURE, 0.0)
    queue.view.close()
    (health,) = queue.health
    assert "not done" in health.detail
    assert "1 events behind" in health.detail
    queue.viewer.gate.set()


@pytest.mark.parametrize("how", ["open", "show", "close"])
def test_a_failing_viewer_is_reported_once_and_not_called_again(how: str) -> None:
    def refuse() -> View:
        raise OSError("no such folder")

    viewer = RecordingView(how)
    health: list[Health] = []
    opens: Callable[[], View] = refuse if how == "open" else lambda: viewer
    # so patient that the test would never end if it waited for a failed viewer
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


def test_the_viewer_is_opened_with_the_first_event() -> None:
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


def test_events_after_the_end_are_ignored() -> None:
    queue = Queue(RecordingView())
    queue.view.close()
    queue.view.show(PICTURE, 0.0)
    queue.view.close()
    assert not queue.viewer.seen
    assert not queue.health
    queue.view.close()


def test_no_view_accepts_everything() -> None:
    view = NoView()
    view.show(PICTURE, 0.0)
    view.close()
