"""Slow output in its own thread: order, bound, losses, and the end."""

import threading

from engine.core.clock import VirtualClock
from engine.core.outlet import Outlet
from engine.core.threads import still_running


def test_jobs_run_in_order_and_all_before_the_end() -> None:
    done: list[int] = []
    outlet = Outlet("order", VirtualClock(), limit=1, patience_s=30.0)
    for number in range(50):
        assert outlet.put(lambda number=number: done.append(number))  # type: ignore[misc]
    assert outlet.close(30.0)
    assert done == list(range(50))
    assert outlet.lost == 0
    assert not still_running("order")


def test_a_hung_job_is_seen_and_abandoned_and_the_waiting_ones_are_counted() -> None:
    clock = VirtualClock()
    outlet = Outlet("hung", clock, limit=2)
    begun, resumed = threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        resumed.wait(30.0)

    outlet.put(hang)
    begun.wait(30.0)
    assert [outlet.put(lambda: None) for _ in range(3)] == [True, True, False]
    clock.sleep(4.0)
    assert outlet.stuck_s() == 4.0
    assert not outlet.close(0.01)
    assert outlet.lost == 4  # the one without room, the two that waited, and the hung one
    assert still_running("hung") == ["hung"]
    resumed.set()


def test_a_job_that_raises_is_counted_and_the_next_one_runs() -> None:
    done: list[str] = []
    outlet = Outlet("raises", VirtualClock(), limit=9)
    outlet.put(lambda: [][0])
    outlet.put(lambda: done.append("next"))
    assert outlet.close(30.0)
    assert (done, outlet.lost) == (["next"], 1)
