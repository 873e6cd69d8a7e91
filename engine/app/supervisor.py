"""`python -m engine --supervised`: runs the engine as a child process, and starts it again when it
has failed.

Imports only the standard library: the parent process must stay small, and alive.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

RESTARTED = "SCENE_ARIA_RESTARTED"  # set for a child that was started again: it says so
FINAL = (0, 2, 130)  # done; a setting must be mended first; ended by the wearer
FIRST_WAIT_S, LONGEST_WAIT_S = 1.0, 60.0  # before a restart; doubled after each failure
STEADY_S = 120.0  # after a run this long, the wait begins with FIRST_WAIT_S again
POLL_S = 0.1
PASSED_ON = tuple(
    getattr(signal, name) for name in ("SIGTERM", "SIGINT", "SIGHUP") if hasattr(signal, name)
)
FOLDER = "hydra.run.dir="


class Child(Protocol):
    """A process; `subprocess.Popen` is one."""

    def wait(self) -> int: ...

    def send_signal(self, sig: int, /) -> None: ...


def start(arguments: Sequence[str], environment: Mapping[str, str]) -> Child:
    """Start the engine, on the same terminal."""
    return subprocess.Popen([sys.executable, "-m", "engine", *arguments], env=dict(environment))


def tell(line: str) -> None:
    """Print `line` and ring the terminal's bell: the wearer may hear it while nobody speaks."""
    print(f"\ascene-aria: {line}", file=sys.stderr, flush=True)


class Supervisor:
    """Runs one child after another. The clock and everything outside are injected."""

    def __init__(
        self,
        start: Callable[[Sequence[str], Mapping[str, str]], Child] = start,
        now: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        tell: Callable[[str], None] = tell,
    ) -> None:
        self._start = start
        self._now = now
        self._sleep = sleep
        self._tell = tell
        self._child: Child | None = None
        self._asked = 0  # the signal that asked to end

    def pass_on(self, number: int, _frame: object = None) -> None:
        """Pass a signal on to the child. There is no restart after it."""
        self._asked = number
        if self._child is not None:
            self._child.send_signal(number)

    def run(self, arguments: Sequence[str]) -> int:
        """Run the engine until it ends in one of the FINAL ways or a signal comes; return its exit
        status."""
        environment = dict(os.environ)
        wait_s, restarts = FIRST_WAIT_S, 0
        while True:
            started_s = self._now()
            self._child = self._start(in_own_folder(arguments, restarts), environment)
            status = self._child.wait()
            self._child = None
            status = 128 - status if status < 0 else status  # killed by a signal
            if status in FINAL or self._asked:
                return status
            if self._now() - started_s > STEADY_S:
                wait_s = FIRST_WAIT_S
            self._tell(f"the engine ended with status {status}; starting it again in {wait_s:g} s")
            self._rest(wait_s)
            if self._asked:
                return 128 + self._asked
            wait_s = min(LONGEST_WAIT_S, 2.0 * wait_s)
            restarts += 1
            environment[RESTARTED] = str(restarts)

    def _rest(self, seconds: float) -> None:
        until_s = self._now() + seconds
        while not self._asked and self._now() < until_s:
            self._sleep(POLL_S)


def in_own_folder(arguments: Sequence[str], restarts: int) -> list[str]:
    """The arguments of the child after so many restarts: a session never writes into the folder of
    an earlier one."""
    if restarts == 0:
        return list(arguments)
    return [
        f"{argument.rstrip('/')}-{restarts + 1}" if argument.startswith(FOLDER) else argument
        for argument in arguments
    ]


def supervise(arguments: Sequence[str]) -> int:
    """Run `python -m engine ARGUMENTS` again and again; return the last exit status."""
    supervisor = Supervisor()
    for number in PASSED_ON:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
            signal.signal(number, supervisor.pass_on)
    return supervisor.run(arguments)
