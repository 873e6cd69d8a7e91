"""Loads what a session can begin without, in the order of need, while obstacles are announced.

The obstacle loop needs only the detector. The rest is loaded in one background thread of low
priority. Until a model is there, the stand-ins below raise StillLoading, and the template answers.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class Part:
    """Something to load. `load` returns the card of a model, None for anything else, and raises any
    exception; `failed` is the sentence that then says what the wearer has to do without."""

    name: str
    load: Callable[[], ModelCard | None]
    give_up: Callable[[EngineError], None]
    failed: StatusKey


class Loading:
    """Loads `parts`, in order. `ready` once all are loaded or have failed; at once without parts.

    `on_loaded` and `on_failed` are called in the loading thread, `on_ready` too, at the end.
    """

    def __init__(self, parts: Sequence[Part] = ()) -> None:
        self._parts = parts
        self._stop = threading.Event()
        self._ready = threading.Event()
        self._thread: threading.Thread | None = None
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
    ) -> None:
        """Begin to load in the background."""

        def run() -> None:
            lower_thread_priority()
            for part in self._parts:
                if self._stop.is_set():
                    return
                try:
                    card = part.load()
                except Exception as error:
                    reason = _as_engine_error(part.name, error)
                    part.give_up(reason)
                    on_failed(part, reason)
                else:
                    if card is not None:
                        on_loaded(part.name, card)
            on_ready()
            self._ready.set()

        self._thread = start_thread("loading", run)

    def stop(self) -> None:
        """Begin no further part."""
        self._stop.set()

    def close(self) -> None:
        """Stop, and wait for the part that is being loaded."""
        self.stop()
        if self._thread is not None:
            self._thread.join(timeout=CLOSING_S)


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
