"""Starts the engine's threads, and knows which of them still run.

All are daemons, since a thread that hangs in native code cannot be stopped. A process that ends
beside such a thread can crash: `engine.app.leaving` then leaves without the interpreter's cleanup.
"""

import contextlib
import ctypes
import threading
from collections.abc import Callable
from weakref import WeakSet

M_ARENA_MAX = -8  # malloc.h
_lock = threading.Lock()
_started: "WeakSet[threading.Thread]" = WeakSet()


def share_heaps() -> None:
    """Let all threads allocate from two heaps: glibc gives each its own, and keeps there what the
    thread has freed. Call it before the first thread starts. Elsewhere it does nothing."""
    with contextlib.suppress(OSError, AttributeError, TypeError):
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)


def start_thread(name: str, target: Callable[[], object]) -> threading.Thread:
    """Run `target` in a daemon thread called `name`, and return the thread."""
    thread = threading.Thread(target=target, name=name, daemon=True)
    thread.start()
    know(thread)
    return thread


def know(thread: threading.Thread) -> None:
    """Count a thread that was started elsewhere among the engine's."""
    with _lock:
        _started.add(thread)


def still_running(*names: str) -> list[str]:
    """The names of the engine's threads that still run; with `names`, only of these."""
    with _lock:
        threads = list(_started)
    return sorted(t.name for t in threads if t.is_alive() and (not names or t.name in names))


def unless_running(name: str, close: Callable[[], None]) -> Callable[[], None]:
    """`close`, skipped while the thread `name` still runs: to close a native object beside a thread
    that uses it can crash the process. What it raises is dropped: the session is over, and a loop
    that could not close its own device has reported that."""

    def close_unless_used() -> None:
        if not still_running(name):
            with contextlib.suppress(Exception):
                close()

    return close_unless_used
