"""The engine's threads: which still run, and what is closed beside them."""

import threading

import pytest

from engine.core.threads import start_thread, still_running, unless_running


@pytest.mark.parametrize("runs", [True, False])
def test_nothing_is_closed_beside_the_thread_that_uses_it(runs: bool) -> None:
    end = threading.Event()
    name = f"user {runs}"
    thread = start_thread(name, lambda: end.wait(30.0))
    if not runs:
        end.set()
        thread.join()
    closed: list[str] = []
    unless_running(name, lambda: closed.append("closed"))()
    assert still_running(name) == [name] * runs
    assert closed == [] if runs else ["closed"]
    end.set()


def test_what_closing_raises_is_dropped() -> None:
    def fail() -> None:
        raise OSError("the device is busy")

    unless_running("nobody", fail)()
