"""The supervisor: which ends are final, the waits, the signals, and what the parent costs."""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

import pytest

from engine.app.leaving import SAME_S, Interrupt
from engine.app.supervisor import LONGEST_WAIT_S, RESTARTED, Supervisor, in_own_folder
from engine.core.clock import VirtualClock


class Outside:
    """Children that end with given statuses, each after some seconds; and what was told."""

    def __init__(self, *statuses: int, runs_s: float = 0.0) -> None:
        self.clock = VirtualClock()
        self.statuses = list(statuses)
        self.runs_s = runs_s
        self.started: list[tuple[list[str], Mapping[str, str], float]] = []
        self.signals: list[int] = []
        self.told: list[str] = []
        self.supervisor = Supervisor(self.start, self.clock.now, self.clock.sleep, self.told.append)

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> "Outside":
        self.started.append((list(arguments), dict(environment), self.clock.now()))
        return self

    def wait(self) -> int:
        self.clock.sleep(self.runs_s)
        return self.statuses.pop(0)

    def send_signal(self, sig: int, /) -> None:
        self.signals.append(sig)


@pytest.mark.parametrize("status", [0, 2, 130])
def test_these_statuses_end_it(status: int) -> None:
    outside = Outside(status)
    assert outside.supervisor.run(["mode=quick"]) == status
    assert [arguments for arguments, *_ in outside.started] == [["mode=quick"]]
    assert not outside.told


@pytest.mark.parametrize(("status", "shown"), [(1, 1), (134, 134), (-6, 134), (-11, 139)])
def test_after_these_the_engine_is_started_again_and_that_is_said(status: int, shown: int) -> None:
    outside = Outside(status, 0)
    assert outside.supervisor.run([]) == 0
    first, second = outside.started
    assert RESTARTED not in first[1]
    assert second[1][RESTARTED] == "1"
    assert outside.told == [f"the engine ended with status {shown}; starting it again in 1 s"]


def test_the_wait_doubles_to_its_limit_and_a_steady_run_ends_that() -> None:
    outside = Outside(*[1] * 10, 0)
    outside.supervisor.run([])
    times = [time_s for *_, time_s in outside.started]
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[:4] == pytest.approx([1.0, 2.0, 4.0, 8.0], abs=0.2)
    assert max(waits) == pytest.approx(LONGEST_WAIT_S, abs=0.2)
    steady = Outside(1, 1, 1, 0, runs_s=3600.0)
    steady.supervisor.run([])
    assert all("in 1 s" in line for line in steady.told)


def test_a_signal_is_passed_on_and_ends_it() -> None:
    outside = Outside(1)
    wait = outside.wait

    def wait_with_signal() -> int:
        outside.supervisor.pass_on(signal.SIGTERM)
        return wait()

    outside.wait = wait_with_signal  # type: ignore[method-assign]
    assert outside.supervisor.run([]) == 1
    assert outside.signals == [signal.SIGTERM]
    assert len(outside.started) == 1


def test_each_restart_writes_into_a_folder_of_its_own() -> None:
    arguments = ["mode=quick", "hydra.run.dir=out/walk/"]
    assert in_own_folder(arguments, 0) == arguments
    assert in_own_folder(arguments, 2) == ["mode=quick", "hydra.run.dir=out/walk-3"]


def test_the_first_signal_interrupts_and_the_second_leaves_at_once() -> None:
    clock, left = VirtualClock(), list[int]()
    interrupt = Interrupt(clock.now, left.append)
    with pytest.raises(KeyboardInterrupt):
        interrupt(signal.SIGINT, None)
    interrupt(signal.SIGINT, None)  # the same Ctrl-C, passed on by the supervisor
    assert not left
    clock.sleep(2 * SAME_S)
    interrupt(signal.SIGINT, None)
    assert left == [130]


@pytest.mark.command
def test_the_parent_imports_next_to_nothing_and_returns_the_childs_status() -> None:
    """A setting that does not exist ends the child at once, with status 2."""
    code = (
        "import sys, runpy\n"
        "sys.argv = ['engine', '--supervised', 'no_such_setting=1']\n"
        "try:\n    runpy.run_module('engine', run_name='__main__')\n"
        "except SystemExit as end:\n"
        "    heavy = {'numpy', 'hydra', 'pydantic', 'rich', 'engine.config'} & set(sys.modules)\n"
        "    print(end.code, sorted(heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.stdout.strip() == "2 []", done.stderr
    assert "no_such_setting" in done.stderr
