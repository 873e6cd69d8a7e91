"""Loads what a session can begin without, in the order of need, while obstacles are announced.

The obstacle loop needs only the detector. The rest is loaded in one background thread of low
priority. Until a model is there, the stand-ins below raise StillLoading, and the template answers.
"""

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.core.camera import Frame
from engine.core.errors import EngineError, OutOfMemory, RunError, in_one_line
from engine.core.glance import SceneClass
from engine.core.later import Later
from engine.core.ports import DepthModel, Describer, SceneClassifier
from engine.core.report import ModelCard
from engine.core.threads import start_thread
from engine.core.worker import lower_thread_priority
from engine.language.wording import StatusKey

# A process that ends while a library loads is aborted, so its end waits; beside a part that hangs,
# it leaves without cleanup (engine.app.leaving).
CLOSING_S = 6.0


# For one part; it is then said to be missing. All parts together took up to 11 s at a first start on
# a busy machine, which compiles them.
PATIENCE_S = 30.0
STOPPED_S = 1.0  # the most that one look counts: a stopped process loads nothing


@dataclass(frozen=True)
class Part:
    """Something to load, into `later`. `load` returns the card of a model, None for anything else,
    and raises any exception; `failed` is the sentence that then says what the wearer has to do
    without."""

    name: str
    load: Callable[[], ModelCard | None]
    later: Later[Any]
    failed: StatusKey


class Loading:
    """Loads `parts`, in order. `ready` once all are loaded, have failed or are overdue; at once
    without parts.

    A part that hangs is given up by `check`: the others are loaded in another thread, and it is
    still used if it comes. The functions given to `start` are called in the loading threads,
    `on_failed` also in that of `check`.
    """

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        self._left = deque(parts)
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._threads: list[threading.Thread] = []
        self._lock = threading.Lock()
        self._current: Part | None = None  # the part that is waited for
        self._checked: Part | None = None  # the one at the last check, and since when
        self._checked_s = self._waited_s = 0.0
        if not parts:
            self._ready.set()

    @property
    def ready(self) -> bool:
        """Whether nothing is still to be loaded."""
        return self._ready.is_set()

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is ready, at most `timeout_s` seconds; return whether it is."""
        return self._ready.wait(timeout_s)

    def start(
        self,
        on_loaded: Callable[[str, ModelCard], None],
        on_failed: Callable[[Part, EngineError], None],
        on_ready: Callable[[], None],
        on_late: Callable[[Part], None] = lambda part: None,
    ) -> None:
        """Begin to load in the background. `on_late`: a part that was given up has come."""
        self._on_loaded, self._on_failed = on_loaded, on_failed
        self._on_ready, self._on_late = on_ready, on_late
        self._threads.append(start_thread("loading", self._run))

    def check(self, now_s: float) -> None:
        """Give up the part that is being loaded if it has taken PATIENCE_S. To be called several
        times a second, from one thread."""
        with self._lock:
            part = self._current
            self._waited_s += min(now_s - self._checked_s, STOPPED_S)
            self._checked_s = now_s
            if part is not self._checked:
                self._checked, self._waited_s = part, 0.0
            if part is None or self._waited_s <= PATIENCE_S or self._stop.is_set():
                return
            self._current = None
        reason = RunError(f"the {part.name} did not load within {PATIENCE_S:g} s")
        part.later.overdue(reason)
        self._on_failed(part, reason)
        self._threads.append(start_thread("loading", self._run))

    def stop(self) -> None:
        """Begin no further part."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and wait for what is being loaded, CLOSING_S at most."""
        self.stop()
        until_s = time.monotonic() + CLOSING_S
        for thread in self._threads:
            thread.join(timeout=max(0.0, until_s - time.monotonic()))

    def _run(self) -> None:
        lower_thread_priority()
        while self._left:
            if self._stop.is_set():
                return
            with self._lock:
                self._current = part = self._left.popleft()
            if not self._load(part):
                return  # another thread loads the rest
        self._on_ready()
        self._ready.set()

    def _load(self, part: Part) -> bool:
        """Load `part` and tell how that went; return whether it was still waited for."""
        card: ModelCard | None = None
        reason: EngineError | None = None
        try:
            card = part.load()
        except Exception as error:
            reason = _as_engine_error(part.name, error)
        with self._lock:
            in_time = self._current is part
            if in_time:
                self._current = None
        if reason is not None:
            part.later.fail(reason)
            self._on_failed(part, reason)
        elif card is not None:
            self._on_loaded(part.name, card)
        if reason is None and not in_time:
            self._on_late(part)
        return in_time


def _as_engine_error(name: str, error: Exception) -> EngineError:
    if isinstance(error, EngineError):
        return error
    if isinstance(error, MemoryError):
        return OutOfMemory(f"the {name} found no memory")
    return RunError(f"the {name} did not load: {in_one_line(error)}")


class LaterScenes:
    """A scene classifier that may still be loading: `classify` then raises StillLoading."""

    def __init__(self) -> None:
        self.later: Later[SceneClassifier] = Later("the scene classifier")

    def classify(self, frame: Frame) -> SceneClass:
        return self.later.get().classify(frame)


class LaterDescriber:
    """A describer that may still be loading: both methods then raise StillLoading."""

    def __init__(self) -> None:
        self.later: Later[Describer] = Later("the describer")

    def look(self, frame: Frame, prompt: str | None = None) -> Iterator[None]:
        return self.later.get().look(frame, prompt)

    def describe(
        self,
        frame: Frame,
        on_first_token: Callable[[], None] | None = None,
        prompt: str | None = None,
    ) -> Iterator[str]:
        return self.later.get().describe(frame, on_first_token, prompt)

    def stop(self) -> None:
        _stop(self.later)


class LaterDepth:
    """A depth model that may still be loading: `metres` then waits for it."""

    def __init__(self) -> None:
        self.later: Later[DepthModel] = Later("the depth model")

    def metres(self, frame: Frame) -> NDArray[np.float32]:
        self.later.wait()
        return self.later.get().metres(frame)

    def stop(self) -> None:
        _stop(self.later)


def _stop(later: Later[DepthModel] | Later[Describer]) -> None:
    """Stop the model if it is loaded; else its loading ends in an error."""
    if not later.settled:
        later.fail(RunError("the session ends"))
        return
    with contextlib.suppress(EngineError):
        later.get().stop()
